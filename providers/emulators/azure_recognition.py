"""Detect, identify, verify. How enrolled faces become a person's score: see `Matching`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from audit.types import RecognisedFace
from providers.emulators.azure_faces import find_faces, image_body
from providers.emulators.azure_groups import refuse_while_training
from providers.emulators.azure_store import AzureStore, DetectedFace, Gallery
from providers.emulators.azure_wire import (
    DETECTION_MODELS,
    RECOGNITION_MODELS,
    ServiceError,
    bad_argument,
    flag,
    is_group_id,
    json_body,
    model,
    number,
)
from providers.emulators.calibration import Calibration
from providers.emulators.database import Embedding
from providers.emulators.matching import cosine, rank
from providers.emulators.options import Matching
from providers.emulators.recognition import FaceFinder

_CUT = 0.5
_TTL_S = (60, 86400)


class Recognition:
    """The operations on detected faces."""

    def __init__(
        self,
        store: AzureStore,
        finder: FaceFinder,
        calibration: Calibration,
        clock: Callable[[], float],
        matching: Matching,
    ) -> None:
        self._store = store
        self._finder = finder
        self._calibration = calibration
        self._clock = clock
        self._matching = matching

    async def detect(self, request: Request) -> Response:
        """POST /detect."""
        query = request.query_params
        chosen = model(query.get("recognitionModel"), RECOGNITION_MODELS, "recognitionModel")
        model(query.get("detectionModel"), DETECTION_MODELS, "detectionModel")
        with_id = flag(request, "returnFaceId", default=True)
        with_model = flag(request, "returnRecognitionModel", default=False)
        _refuse_what_is_not_emulated(request)
        ttl_s = _ttl_s(query.get("faceIdTimeToLive"))
        found = await find_faces(self._finder, await image_body(request))
        answer = []
        for face in found.faces:
            row: dict[str, Any] = {"faceRectangle": _rectangle(face)}
            if with_id:
                row["faceId"] = self._remember(face, chosen, ttl_s)
            if with_model:
                row["recognitionModel"] = chosen
            answer.append(row)
        return JSONResponse(answer)

    async def identify(self, request: Request) -> Response:
        """POST /identify."""
        body = await json_body(request)
        face_ids = _face_ids(body)
        field = "maxNumOfCandidatesReturned"
        most = int(number(body, field, default=10, low=1, high=100))
        threshold = number(body, "confidenceThreshold", default=_CUT, low=0, high=1)
        gallery = self._group(body)
        refuse_while_training(gallery, self._clock())
        if gallery.last_success is None:
            message = "Large person group not trained."
            raise ServiceError(400, "LargePersonGroupNotTrained", message)
        faces = [self._detected(face_id, 400) for face_id in face_ids]
        _refuse_other_models(faces, gallery.model)
        return JSONResponse(
            [
                {"faceId": face_id, "candidates": self._ranked(gallery, face, threshold)[:most]}
                for face_id, face in zip(face_ids, faces, strict=True)
            ]
        )

    async def verify(self, request: Request) -> Response:
        """POST /verify: two faces, or a face and a person."""
        body = await json_body(request)
        if "faceId1" in body:
            first, second = (self._named(body, field) for field in ("faceId1", "faceId2"))
            _refuse_other_models([second], first.model)
            enrolled = second.embedding[np.newaxis]
        else:
            first = self._named(body, "faceId")
            gallery = self._group(body)
            _refuse_other_models([first], gallery.model)
            enrolled = self._enrolled(gallery, body.get("personId"))
        confidence = self._calibration.score(cosine(enrolled, first.embedding, self._matching))
        return JSONResponse({"isIdentical": confidence >= _CUT, "confidence": confidence})

    def _ranked(
        self, gallery: Gallery, face: DetectedFace, threshold: float
    ) -> list[dict[str, Any]]:
        people, embeddings = self._store.trained_faces(gallery.id)
        ranked = rank(people, embeddings, face.embedding, self._matching)
        scored = [(person, self._calibration.score(cosine)) for person, cosine in ranked]
        return [
            {"personId": person, "confidence": score}
            for person, score in scored
            if score >= threshold
        ]

    def _remember(self, face: RecognisedFace, chosen: str, ttl_s: int) -> str:
        now = self._clock()
        return self._store.add_detected(face.embedding, chosen, now=now, expires=now + ttl_s)

    def _detected(self, face_id: str, status: int) -> DetectedFace:
        face = self._store.detected(face_id, self._clock())
        if face is None:
            raise ServiceError(status, "FaceNotFound", "Face is not found.")
        return face

    def _named(self, body: Mapping[str, Any], field: str) -> DetectedFace:
        if not isinstance(body.get(field), str):
            raise bad_argument("Face ID is invalid.")
        return self._detected(body[field], 404)

    def _group(self, body: Mapping[str, Any]) -> Gallery:
        group = body.get("largePersonGroupId")
        if group is None:
            message = "No identification scope parameter is present in the request."
            raise ServiceError(400, "MissingIdentificationScopeParameters", message)
        if not isinstance(group, str) or not is_group_id(group):
            raise bad_argument("Large person group ID is invalid.")
        gallery = self._store.gallery(group)
        if gallery is None:
            raise ServiceError(400, "LargePersonGroupNotFound", "Large person group is not found.")
        return gallery

    def _enrolled(self, gallery: Gallery, person: object) -> Embedding:
        if not isinstance(person, str):
            raise bad_argument("Person ID is invalid.")
        if self._store.person(gallery.id, person) is None:
            raise ServiceError(404, "PersonNotFound", "Person is not found.")
        embeddings = self._store.embeddings_of(person)
        if not len(embeddings):
            message = "No persisted face of the person is found."
            raise ServiceError(404, "PersistedFaceNotFound", message)
        return embeddings


def _rectangle(face: RecognisedFace) -> dict[str, int]:
    return {"top": face.top, "left": face.left, "width": face.width, "height": face.height}


def _face_ids(body: Mapping[str, Any]) -> Sequence[str]:
    face_ids = body.get("faceIds")
    if not isinstance(face_ids, list) or not 1 <= len(face_ids) <= 10:
        raise bad_argument("The length of faceIds is not in a valid range.")
    if not all(isinstance(face_id, str) for face_id in face_ids):
        raise bad_argument("Face ID is invalid.")
    return face_ids


def _refuse_other_models(faces: Sequence[DetectedFace], wanted: str) -> None:
    if any(face.model != wanted for face in faces):
        raise bad_argument("'recognitionModel' is incompatible.")


def _refuse_what_is_not_emulated(request: Request) -> None:
    """Landmarks and attributes are no part of recognition: rather an error than made-up values."""
    if request.query_params.get("returnFaceAttributes"):
        raise bad_argument("Invalid argument returnFaceAttributes.")
    if flag(request, "returnFaceLandmarks", default=False):
        raise bad_argument("Invalid argument returnFaceLandmarks.")


def _ttl_s(text: str | None) -> int:
    shortest, longest = _TTL_S
    if text is None:
        return longest
    if not text.isdecimal() or not shortest <= int(text) <= longest:
        raise bad_argument("'faceIdTimeToLive' is invalid.")
    return int(text)
