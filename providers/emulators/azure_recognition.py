"""Identify and verify. How enrolled faces become a person's score: see `Matching`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from providers.emulators.azure_containers import refuse_while_training
from providers.emulators.azure_detected import DetectedFace
from providers.emulators.azure_kinds import KINDS, LARGE_PERSON_GROUP, PERSON_GROUP
from providers.emulators.azure_store import AzureStore, Container
from providers.emulators.azure_wire import (
    ServiceError,
    as_uuid,
    bad_argument,
    face_ids,
    is_container_id,
    json_body,
    number,
)
from providers.emulators.calibration import Calibration
from providers.emulators.database import Embedding
from providers.emulators.matching import cosine, rank
from providers.emulators.options import Matching

CUT = 0.5
"""From this score on, two faces are told to be one person's."""


def find_detected(
    store: AzureStore, face_id: str, now: float, *, status: int = 400
) -> DetectedFace:
    """Return a detected face that is still known."""
    face = store.detected.find(face_id, now)
    if face is None:
        raise ServiceError(status, "FaceNotFound", "Face is not found.")
    return face


def refuse_other_models(faces: Sequence[DetectedFace], wanted: str) -> None:
    """Raise for faces that another recognition model has seen."""
    if any(face.model != wanted for face in faces):
        raise bad_argument("'recognitionModel' is incompatible.")


class Recognition:
    """The operations on detected faces and groups of persons."""

    def __init__(
        self,
        store: AzureStore,
        calibration: Calibration,
        clock: Callable[[], float],
        matching: Matching,
    ) -> None:
        self._store = store
        self._calibration = calibration
        self._clock = clock
        self._matching = matching

    async def identify(self, request: Request) -> Response:
        """POST /identify."""
        body = await json_body(request)
        ids = face_ids(body, low=1, high=10)
        field = "maxNumOfCandidatesReturned"
        most = int(number(body, field, default=10, low=1, high=100))
        threshold = number(body, "confidenceThreshold", default=CUT, low=0, high=1)
        group = self._group(body)
        now = self._clock()
        refuse_while_training(group, now)
        if group.trained(now) is None:
            raise KINDS[group.kind].not_trained(400)
        faces = [find_detected(self._store, face_id, now) for face_id in ids]
        refuse_other_models(faces, group.model)
        return JSONResponse(
            [
                {"faceId": face_id, "candidates": self._ranked(group, face, threshold, most)}
                for face_id, face in zip(ids, faces, strict=True)
            ]
        )

    async def verify(self, request: Request) -> Response:
        """POST /verify: two faces, or a face and a person."""
        body = await json_body(request)
        if body.get("faceId1") is not None:
            first, second = (self._named(body, field) for field in ("faceId1", "faceId2"))
            refuse_other_models([second], first.model)
            enrolled = second.embedding[np.newaxis]
        else:
            first = self._named(body, "faceId")
            group = self._group(body, titled=True)
            refuse_other_models([first], group.model)
            enrolled = self._enrolled(group, body.get("personId"))
        confidence = self._calibration.score(cosine(enrolled, first.embedding, self._matching))
        return JSONResponse({"isIdentical": confidence >= CUT, "confidence": confidence})

    def _ranked(
        self, group: Container, face: DetectedFace, threshold: float, most: int
    ) -> list[dict[str, Any]]:
        owners, embeddings = self._store.matrix(group.key, trained=True)
        people = [person for person, _ in owners]
        ranked = rank(people, embeddings, face.embedding, self._matching, most)
        scored = [(person, self._calibration.score(cosine)) for person, cosine in ranked]
        return [
            {"personId": person, "confidence": score}
            for person, score in scored
            if score >= threshold
        ]

    def _named(self, body: Mapping[str, Any], field: str) -> DetectedFace:
        face_id = as_uuid(body.get(field))
        if face_id is None:
            raise bad_argument("Face ID is invalid.")
        return find_detected(self._store, face_id, self._clock(), status=404)

    def _group(self, body: Mapping[str, Any], *, titled: bool = False) -> Container:
        """Return the group that a body names; `titled`: verify writes groups with capitals."""
        kinds = (LARGE_PERSON_GROUP, PERSON_GROUP)
        named = [kind for kind in kinds if body.get(kind.id_field) is not None]
        if not named:
            message = "No identification scope parameter is present in the request."
            raise ServiceError(400, "MissingIdentificationScopeParameters", message)
        if len(named) > 1:
            message = "Large person group ID and person group ID are both not null."
            raise ServiceError(400, "PersonGroupIdAndLargePersonGroupIdBothNotNull", message)
        kind, group = named[0], body[named[0].id_field]
        if not isinstance(group, str) or not is_container_id(group):
            raise kind.bad_id()
        container = self._store.container(kind.path, group)
        if container is None:
            words = kind.words.title() if titled else kind.words
            raise kind.not_found(400, f"{words} is not found.")
        return container

    def _enrolled(self, group: Container, person: object) -> Embedding:
        wanted = as_uuid(person)
        if wanted is None:
            raise bad_argument("Person ID is invalid.")
        if self._store.person(group.key, wanted) is None:
            raise ServiceError(404, "PersonNotFound", "Person is not found.")
        embeddings = self._store.embeddings_of(wanted)
        if not len(embeddings):
            message = "No persisted face of the person is found."
            raise ServiceError(404, "PersistedFaceNotFound", message)
        return embeddings
