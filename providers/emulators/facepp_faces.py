"""Single faces by their tokens: label, describe, analyse."""

from collections.abc import Callable

from providers.emulators.facepp_facesets import listed
from providers.emulators.facepp_looks import analysis, wanted
from providers.emulators.facepp_store import Face, FaceppStore
from providers.emulators.facepp_wire import (
    Answer,
    Fields,
    ServiceError,
    face_tokens,
    label,
    missing,
    required,
)

_ANALYSED_MAX = 5


class Faces:
    """The operations on faces that have a token."""

    def __init__(self, store: FaceppStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def set_user_id(self, fields: Fields) -> Answer:
        """POST face/setuserid."""
        token, user_id = required(fields, "face_token"), label(fields, "user_id")
        if user_id is None:
            raise missing("user_id")
        self._store.label_face(self._find(token).token, user_id)
        return {"face_token": token, "user_id": user_id}

    async def get_detail(self, fields: Fields) -> Answer:
        """POST face/getdetail."""
        face = self._find(required(fields, "face_token"))
        return {
            "image_id": face.image_id,
            "face_token": face.token,
            "user_id": face.user_id,
            "face_rectangle": face.looks["face_rectangle"],
            "facesets": [listed(faceset) for faceset in self._store.facesets_of(face.token)],
        }

    async def analyze(self, fields: Fields) -> Answer:
        """POST face/analyze."""
        landmark, attributes = wanted(fields)
        tokens = face_tokens(fields, most=_ANALYSED_MAX)
        if not landmark and not attributes:
            raise ServiceError(400, "VOID_REQUEST")
        faces = [self._find(token) for token in tokens]
        return {
            "faces": [
                {"face_token": face.token, "face_rectangle": face.looks["face_rectangle"]}
                | analysis(face.looks, landmark, attributes)
                for face in faces
            ]
        }

    def _find(self, token: str) -> Face:
        face = self._store.face(token, self._clock())
        if face is None:
            raise ServiceError(400, f"INVALID_FACE_TOKEN: {token}")
        return face
