"""Find similar faces, and group faces. Faces are compared one to one, not by person."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from providers.emulators.azure_containers import refuse_while_training
from providers.emulators.azure_detected import DetectedFace
from providers.emulators.azure_kinds import FACE_LIST, LARGE_FACE_LIST, Kind
from providers.emulators.azure_recognition import CUT, find_detected, refuse_other_models
from providers.emulators.azure_store import AzureStore
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

_FACES_MAX = 1000
_THRESHOLDS = {"matchPerson": CUT, "matchFace": 0.0}
_SOURCES = (LARGE_FACE_LIST.id_field, FACE_LIST.id_field, "faceIds")


class Similarity:
    """The operations that compare faces without persons."""

    def __init__(
        self, store: AzureStore, calibration: Calibration, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._calibration = calibration
        self._clock = clock

    async def find_similar(self, request: Request) -> Response:
        """POST /findsimilars: among detected faces, or those of a list of either kind."""
        body = await json_body(request)
        face_id = as_uuid(body.get("faceId"))
        if face_id is None:
            raise bad_argument("Face ID is invalid.")
        mode = "matchPerson" if body.get("mode") is None else body["mode"]
        if not isinstance(mode, str) or mode not in _THRESHOLDS:
            raise bad_argument("Mode is invalid.")
        field = "maxNumOfCandidatesReturned"
        most = int(number(body, field, default=20, low=1, high=_FACES_MAX))
        source = _source(body)
        probe = find_detected(self._store, face_id, self._clock())
        key, ids, embeddings = self._candidates(body, source, probe)
        scores = self._best(embeddings, probe, most)
        return JSONResponse(
            [
                {key: ids[row], "confidence": score}
                for row, score in scores
                if score >= _THRESHOLDS[mode]
            ]
        )

    async def group(self, request: Request) -> Response:
        """POST /group: faces are linked if they score as one person, groups are what is linked."""
        ids = list(dict.fromkeys(face_ids(await json_body(request), low=2, high=_FACES_MAX)))
        faces = self._detected(ids)
        refuse_other_models(faces, faces[0].model)
        embeddings = np.stack([face.embedding for face in faces])
        # The score's curve passes one half, the cut, where its argument is zero.
        curve = self._calibration
        linked = curve.slope * (embeddings @ embeddings.T) + curve.offset >= 0
        parts = sorted(_parts(linked), key=len, reverse=True)
        return JSONResponse(
            {
                "groups": [[ids[row] for row in part] for part in parts if len(part) > 1],
                "messyGroup": [ids[part[0]] for part in parts if len(part) == 1],
            }
        )

    def _candidates(
        self, body: Mapping[str, Any], source: str, probe: DetectedFace
    ) -> tuple[str, Sequence[str], Embedding]:
        """Return the key of ids in the answer, the ids and their embeddings N x D."""
        if source == "faceIds":
            ids = face_ids(body, low=1, high=_FACES_MAX)
            faces = self._detected(ids)
            refuse_other_models(faces, probe.model)
            return "faceId", ids, np.stack([face.embedding for face in faces])
        kind = LARGE_FACE_LIST if source == LARGE_FACE_LIST.id_field else FACE_LIST
        owners, embeddings = self._of_list(kind, body[source], probe)
        return "persistedFaceId", [face for _, face in owners], embeddings

    def _of_list(
        self, kind: Kind, name: object, probe: DetectedFace
    ) -> tuple[list[tuple[str, str]], Embedding]:
        if not isinstance(name, str) or not is_container_id(name):
            raise kind.bad_id()
        container = self._store.container(kind.path, name)
        if container is None:
            raise kind.not_found(400)
        now = self._clock()
        refuse_while_training(container, now)
        if kind.trains and container.trained(now) is None:
            message = f"{kind.words} is not trained."
            raise ServiceError(400, f"{kind.noun}NotTrained", message)
        refuse_other_models([probe], container.model)
        owners, embeddings = self._store.matrix(container.key, trained=kind.trains)
        if not owners and not kind.trains:
            raise ServiceError(400, "FaceListNotReady", "Face list is empty.")
        return owners, embeddings

    def _best(
        self, embeddings: Embedding, probe: DetectedFace, most: int
    ) -> list[tuple[int, float]]:
        """Return row and score of the most similar faces, best first."""
        if not len(embeddings):
            return []
        cosines = embeddings @ probe.embedding
        rows = np.argsort(-cosines, kind="stable")[:most]
        return [(int(row), self._calibration.score(float(cosines[row]))) for row in rows]

    def _detected(self, ids: Sequence[str]) -> list[DetectedFace]:
        now = self._clock()
        return [find_detected(self._store, face_id, now) for face_id in ids]


def _source(body: Mapping[str, Any]) -> str:
    """Return the one field that says where to search."""
    named = [field for field in _SOURCES if body.get(field) is not None]
    if not named:
        raise bad_argument("LargeFaceListId, faceListId and faceIds are all null.")
    if len(named) > 1:
        raise bad_argument("2 or more of largeFaceListId, faceListId and faceIds are not null.")
    return named[0]


def _parts(linked: "np.ndarray[tuple[int, int], np.dtype[np.bool_]]") -> list[list[int]]:
    """Return the connected parts of a symmetric N x N relation, as lists of rows in order."""
    left = set(range(len(linked)))
    parts = []
    while left:
        part, fresh = set(), {min(left)}
        while fresh:
            part |= fresh
            fresh = set(np.flatnonzero(linked[list(fresh)].any(axis=0)).tolist()) - part
        left -= part
        parts.append(sorted(part))
    return parts
