"""Faces of collections: index, list, delete, search."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audit.types import RecognisedFace
from providers.emulators.calibration import Calibration
from providers.emulators.database import Embedding
from providers.emulators.recognition import FaceFinder
from providers.emulators.rekognition_collections import FACE_MODEL_VERSION, find_collection
from providers.emulators.rekognition_details import SeenFace, look
from providers.emulators.rekognition_images import Photo, derived_id, find_faces
from providers.emulators.rekognition_paging import page
from providers.emulators.rekognition_store import Collection, Face, RekognitionStore
from providers.emulators.rekognition_vectors import similarity
from providers.emulators.rekognition_wire import Call, ServiceError

_PAGE_MAX = 4096
_MATCHES_MAX = 4096
_THRESHOLD = 80.0


def shown_face(face: Face) -> dict[str, Any]:
    """Return a stored face as Face."""
    shown = {
        "FaceId": face.id,
        "BoundingBox": {
            "Width": face.width,
            "Height": face.height,
            "Left": face.left,
            "Top": face.top,
        },
        "ImageId": face.image_id,
        "ExternalImageId": face.external_id,
        "Confidence": face.confidence,
        "IndexFacesModelVersion": FACE_MODEL_VERSION,
        "UserId": face.user,
    }
    return {name: value for name, value in shown.items() if value is not None}


def face_not_found() -> ServiceError:
    """Return the error for a face to search by that is not in the collection."""
    message = "faceId was not found in the collection."
    return ServiceError("InvalidParameterException", message)


async def usable_faces(photo: Photo, quality_filter: str) -> Sequence[RecognisedFace]:
    """Return the faces of a photo that a quality filter lets through, largest first."""
    if quality_filter == "NONE":
        return photo.faces
    return [seen.face for seen in await look(photo) if not seen.flaws(quality_filter)]


class Faces:
    """The operations on the faces of collections."""

    def __init__(
        self,
        store: RekognitionStore,
        finder: FaceFinder,
        calibration: Calibration,
        faces_max: int | None,
    ) -> None:
        self._store = store
        self._finder = finder
        self._calibration = calibration
        self._faces_max = faces_max

    async def index(self, call: Call) -> dict[str, Any]:
        """IndexFaces."""
        asked = call.parameters
        find_collection(self._store, call)
        photo = await find_faces(self._finder, asked["Image"])
        seen = await look(photo)
        flaws = [face.flaws(asked.get("QualityFilter", "AUTO")) for face in seen]
        good = [place for place, found in enumerate(flaws) if not found]
        for place in good[asked.get("MaxFaces", len(good)) :]:
            flaws[place] = ["EXCEEDS_MAX_FACES"]
        attributes = asked.get("DetectionAttributes", [])
        # The collection may have gone while the photo was looked at.
        collection = find_collection(self._store, call)
        kept = {place: seen[place] for place in good if not flaws[place]}
        stored = self._stored(collection, kept, asked.get("ExternalImageId"))
        return {
            "FaceRecords": [
                {"Face": shown_face(face), "FaceDetail": seen[place].detail(attributes)}
                for place, face in stored.items()
            ],
            "FaceModelVersion": FACE_MODEL_VERSION,
            "UnindexedFaces": [
                {"Reasons": reasons, "FaceDetail": face.detail(attributes)}
                for face, reasons in zip(seen, flaws, strict=True)
                if reasons
            ],
        }

    async def list_all(self, call: Call) -> dict[str, Any]:
        """ListFaces. A user or face that does not exist has no faces."""
        asked, collection = call.parameters, find_collection(self._store, call)
        ids, user = asked.get("FaceIds"), asked.get("UserId")
        found, more = page(
            asked,
            ["ListFaces", collection.number, ids, user],
            _PAGE_MAX,
            lambda after, top: self._store.faces(
                collection.number, ids=ids, user=user, after=after, top=top
            ),
        )
        faces = [shown_face(face) for face in found]
        return {"Faces": faces, "FaceModelVersion": FACE_MODEL_VERSION, **more}

    async def delete(self, call: Call) -> dict[str, Any]:
        """DeleteFaces."""
        collection = find_collection(self._store, call)
        ids = list(dict.fromkeys(call.parameters["FaceIds"]))
        found = {face.id: face for face in self._store.faces(collection.number, ids=ids)}
        kept = [face for face in ids if face not in found or found[face].user is not None]
        free = [face for face in ids if face in found and found[face].user is None]
        self._store.delete_faces(collection.number, free)
        return {
            "DeletedFaces": free,
            "UnsuccessfulFaceDeletions": [_not_deleted(face, found.get(face)) for face in kept],
        }

    async def search(self, call: Call) -> dict[str, Any]:
        """SearchFaces: the face itself is no match."""
        collection, face = find_collection(self._store, call), call.parameters["FaceId"]
        if not self._store.faces(collection.number, ids=[face]):
            raise face_not_found()
        [probe] = self._store.vectors(collection.number).of([face])
        return {
            "SearchedFaceId": face,
            "FaceMatches": self._matches(call, collection, probe, but=face),
            "FaceModelVersion": FACE_MODEL_VERSION,
        }

    async def search_by_image(self, call: Call) -> dict[str, Any]:
        """SearchFacesByImage: for the largest face."""
        find_collection(self._store, call)
        photo = await find_faces(self._finder, call.parameters["Image"])
        faces = await usable_faces(photo, call.parameters.get("QualityFilter", "NONE"))
        if not faces:
            message = "There are no faces in the image. Should be at least 1."
            raise ServiceError("InvalidParameterException", message)
        collection = find_collection(self._store, call)
        probe = np.asarray(faces[0].embedding, np.float32)
        return {
            "SearchedFaceBoundingBox": photo.box(faces[0]),
            "SearchedFaceConfidence": 100 * faces[0].confidence,
            "FaceMatches": self._matches(call, collection, probe),
            "FaceModelVersion": FACE_MODEL_VERSION,
        }

    def _stored(
        self, collection: Collection, kept: Mapping[int, SeenFace], external_id: str | None
    ) -> dict[int, Face]:
        """Store faces, by their places in a photo, unless they are; return them as stored."""
        names = {place: _names(seen.photo, place, external_id) for place, seen in kept.items()}
        candidates = [name for pair in names.values() for name in pair]
        known = {face.id: face for face in self._store.faces(collection.number, ids=candidates)}
        chosen = {place: _choice(pair, known, external_id) for place, pair in names.items()}
        new = {place: name for place, name in chosen.items() if name not in known}
        self._refuse_too_many(len(new))
        self._store.add_faces(
            collection.number,
            [_new_face(name, kept[place], external_id) for place, name in new.items()],
            [kept[place].face.embedding for place in new],
        )
        stored = self._store.faces(collection.number, ids=list(chosen.values()))
        by_id = {face.id: face for face in stored}
        return {place: by_id[name] for place, name in chosen.items()}

    def _refuse_too_many(self, new: int) -> None:
        if self._faces_max is not None and self._store.face_count() + new > self._faces_max:
            message = "The number of faces exceeds the maximum that your account may have."
            raise ServiceError("ServiceQuotaExceededException", message)

    def _matches(
        self, call: Call, collection: Collection, probe: Embedding, but: str | None = None
    ) -> list[dict[str, Any]]:
        """Return FaceMatches, most similar first, without the face `but`."""
        most = call.parameters.get("MaxFaces", _MATCHES_MAX)
        threshold = call.parameters.get("FaceMatchThreshold", _THRESHOLD)
        nearest = self._store.vectors(collection.number).nearest(probe, most + 1)
        scores = {
            face: score
            for face, cosine in nearest
            if (score := similarity(self._calibration, cosine)) >= threshold and face != but
        }
        ids = list(scores)[:most]
        faces = {face.id: face for face in self._store.faces(collection.number, ids=ids)}
        return [{"Similarity": scores[face], "Face": shown_face(faces[face])} for face in ids]


def _names(photo: Photo, place: int, external_id: str | None) -> tuple[str, str]:
    """Return the ids that a photo's face can have: equal in all collections, if it is there once.

    What Amazon calls the face when the photo is indexed again under another ExternalImageId is not
    documented: here it is one more face, with an id of its own.
    """
    return derived_id(photo.data, place), derived_id(photo.data, place, external_id)


def _choice(names: Sequence[str], known: Mapping[str, Face], external_id: str | None) -> str:
    """Return the id under which a face is known with this ExternalImageId, or else a free one."""
    same = [name for name in names if name in known and known[name].external_id == external_id]
    return (same or [name for name in names if name not in known])[0]


def _new_face(name: str, seen: SeenFace, external_id: str | None) -> Face:
    box = seen.photo.box(seen.face)
    return Face(
        number=0,
        id=name,
        image_id=seen.photo.image_id,
        external_id=external_id,
        left=box["Left"],
        top=box["Top"],
        width=box["Width"],
        height=box["Height"],
        confidence=100 * seen.face.confidence,
        user=None,
    )


def _not_deleted(name: str, face: Face | None) -> dict[str, Any]:
    if face is None:
        return {"FaceId": name, "Reasons": ["FACE_NOT_FOUND"]}
    reasons = ["ASSOCIATED_TO_AN_EXISTING_USER"]
    return {"FaceId": name, "UserId": face.user, "Reasons": reasons}
