"""Users of a collection by likeness. How a user's faces become one score: see `Matching`."""

from typing import Any

import numpy as np

from providers.emulators.calibration import Calibration
from providers.emulators.database import Embedding
from providers.emulators.matching import rank
from providers.emulators.options import Options
from providers.emulators.recognition import FaceFinder
from providers.emulators.rekognition_collections import FACE_MODEL_VERSION, find_collection
from providers.emulators.rekognition_details import look
from providers.emulators.rekognition_faces import face_not_found
from providers.emulators.rekognition_images import find_faces
from providers.emulators.rekognition_store import Collection, RekognitionStore
from providers.emulators.rekognition_users import find_user, status
from providers.emulators.rekognition_users_store import UserStore
from providers.emulators.rekognition_vectors import similarity
from providers.emulators.rekognition_wire import Call, invalid_parameters

_USERS_MAX = 500
_THRESHOLD = 80.0


class UserSearch:
    """The operations that look for users."""

    def __init__(
        self,
        store: RekognitionStore,
        users: UserStore,
        finder: FaceFinder,
        calibration: Calibration,
        options: Options,
    ) -> None:
        self._store = store
        self._users = users
        self._finder = finder
        self._calibration = calibration
        self._options = options

    async def search(self, call: Call) -> dict[str, Any]:
        """SearchUsers: by a face, or by a user, who is no match then."""
        asked = call.parameters
        collection = find_collection(self._store, call)
        if ("FaceId" in asked) == ("UserId" in asked):
            raise invalid_parameters()
        if "FaceId" in asked:
            faces = self._store.faces(collection.number, ids=[asked["FaceId"]])
            if not faces:
                raise face_not_found()
            searched = {"SearchedFace": {"FaceId": asked["FaceId"]}}
        else:
            user = find_user(self._users, collection, asked["UserId"])
            faces = self._store.faces(collection.number, user=user.id)
            searched = {"SearchedUser": {"UserId": user.id}}
        probe = self._store.vectors(collection.number).of([face.id for face in faces])
        return {
            "UserMatches": self._matches(call, collection, probe.sum(0)) if faces else [],
            "FaceModelVersion": FACE_MODEL_VERSION,
            **searched,
        }

    async def search_by_image(self, call: Call) -> dict[str, Any]:
        """SearchUsersByImage: for the largest face; without any, an answer without matches."""
        find_collection(self._store, call)
        photo = await find_faces(self._finder, call.parameters["Image"])
        seen = await look(photo)
        quality_filter = call.parameters.get("QualityFilter", "NONE")
        reasons = {place: face.flaws(quality_filter) for place, face in enumerate(seen)}
        searched = next((place for place, flaws in reasons.items() if not flaws), None)
        collection = find_collection(self._store, call)
        answer: dict[str, Any] = {
            "UserMatches": [],
            "FaceModelVersion": FACE_MODEL_VERSION,
            "UnsearchedFaces": [
                {"FaceDetails": face.detail(), "Reasons": reasons[place] or ["FACE_NOT_LARGEST"]}
                for place, face in enumerate(seen)
                if place != searched
            ],
        }
        if searched is not None:
            probe = np.asarray(seen[searched].face.embedding, np.float32)
            answer["UserMatches"] = self._matches(call, collection, probe)
            answer["SearchedFace"] = {"FaceDetail": seen[searched].detail()}
        return answer

    def _matches(
        self, call: Call, collection: Collection, probe: Embedding
    ) -> list[dict[str, Any]]:
        """Return UserMatches, most similar first; `probe` is a direction of any length."""
        asked = call.parameters
        most = asked.get("MaxUsers", _USERS_MAX)
        length = float(np.linalg.norm(probe))
        ranked = rank(
            *self._users.owned_faces(collection.number),
            probe / length if length else probe,
            self._options.matching,
            most + 1,
        )
        scores = {name: similarity(self._calibration, alike) for name, alike in ranked}
        threshold = asked.get("UserMatchThreshold", _THRESHOLD)
        found = [
            name
            for name, score in scores.items()
            if score >= threshold and name != asked.get("UserId")
        ]
        return [
            {"Similarity": scores[name], "User": self._shown(collection, name)}
            for name in found[:most]
        ]

    def _shown(self, collection: Collection, name: str) -> dict[str, str]:
        user = find_user(self._users, collection, name)
        return {"UserId": name, "UserStatus": status(user, self._options.clock())}
