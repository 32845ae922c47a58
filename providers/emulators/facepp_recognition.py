"""Detect, compare, search. Search ranks single faces: it has no persons to match.

Confidences are 100 times the calibrated score of the emulator's own network.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from providers.emulators.calibration import Calibration
from providers.emulators.database import Embedding
from providers.emulators.facepp_facesets import find_faceset
from providers.emulators.facepp_looks import analysis, wanted
from providers.emulators.facepp_pictures import ONE, PAIR, PICTURE, Found, Names, Pictures
from providers.emulators.facepp_store import FaceppStore, FaceSet
from providers.emulators.facepp_wire import (
    Answer,
    Fields,
    ServiceError,
    refuse_paid,
    whole_number,
)

_ANALYSED_MAX = 5
_RESULTS_MAX = 5
_COMPARED_FACE_MIN_PX = 150
"""For pictures. Whether the service holds tokens to it is not documented; here it does not."""

_THRESHOLDS = {"1e-3": 62.327, "1e-4": 69.101, "1e-5": 73.975}
_THRESHOLDS_SPREAD = 0.5


class Recognition:
    """The operations that look at faces."""

    def __init__(
        self,
        store: FaceppStore,
        pictures: Pictures,
        calibration: Calibration,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._calibration = calibration
        self._clock = clock

    async def detect(self, fields: Fields) -> Answer:
        """POST detect: every face, the five largest with landmarks and attributes."""
        landmark, attributes = wanted(fields)
        refuse_paid(fields, "calculate_all", "face_rectangle")
        found = await self._pictures.find(fields, PICTURE)
        shown = found.shown()
        for row, face in zip(shown[:_ANALYSED_MAX], found.faces, strict=False):
            row.update(analysis(face.looks, landmark, attributes))
        return {"image_id": found.image_id, "faces": shown, "face_num": len(shown)}

    async def compare(self, fields: Fields) -> Answer:
        """POST compare: the largest face of each side."""
        refuse_paid(fields, "face_rectangle1", "face_rectangle2")
        answer: Answer = {}
        sides = []
        for number, names in enumerate(PAIR, 1):
            embedding, found = await self._face(fields, names)
            if found is not None:
                answer[f"image_id{number}"] = found.image_id
                answer[f"faces{number}"] = found.shown()
            sides.append(embedding)
        left, right = sides
        if left is not None and right is not None:
            answer["confidence"] = self._confidence(float(left @ right))
            answer["thresholds"] = _thresholds(left, right)
        return answer

    async def search(self, fields: Fields) -> Answer:
        """POST search: the faces of a FaceSet that are most like one face."""
        refuse_paid(fields, "face_rectangle")
        most = whole_number(fields, "return_result_count", default=1, low=1, high=_RESULTS_MAX)
        self._filled_faceset(fields)
        embedding, found = await self._face(fields, ONE)
        answer: Answer = {}
        if found is not None:
            answer |= {"image_id": found.image_id, "faces": found.shown()}
        if embedding is not None:
            # The FaceSet may have changed while the picture was looked at.
            answer["results"] = self._results(self._filled_faceset(fields), embedding, most)
            answer["thresholds"] = _thresholds(embedding)
        return answer

    async def _face(self, fields: Fields, names: Names) -> tuple[Embedding | None, Found | None]:
        """Return the face that a token names, or a picture's largest one and all its faces."""
        token = fields.text(names.token)
        if token is None:
            found = await self._pictures.find(fields, names, smallest_px=_COMPARED_FACE_MIN_PX)
            return (found.faces[0].embedding if found.faces else None), found
        face = self._store.face(token, self._clock())
        if face is None:
            raise ServiceError(400, f"INVALID_FACE_TOKEN: {token}")
        return face.embedding, None

    def _filled_faceset(self, fields: Fields) -> FaceSet:
        faceset = find_faceset(self._store, fields)
        if not self._store.count(faceset.token):
            raise ServiceError(400, "EMPTY_FACESET")
        return faceset

    def _results(self, faceset: FaceSet, probe: Embedding, most: int) -> list[dict[str, Any]]:
        tokens, embeddings = self._store.embeddings(faceset.token)
        cosines = embeddings @ probe
        best = np.argsort(-cosines, kind="stable")[:most]
        labels = self._store.labels([tokens[row] for row in best])
        return [
            {
                "face_token": tokens[row],
                "user_id": labels[tokens[row]],
                "confidence": self._confidence(float(cosines[row])),
            }
            for row in best
        ]

    def _confidence(self, cosine: float) -> float:
        return round(100 * self._calibration.score(cosine), 3)


def _thresholds(*faces: Embedding) -> dict[str, float]:
    """Return the three reference thresholds; the service's differ from answer to answer.

    Here the faces asked about decide, so that the same question has the same answer.
    """
    digest = hashlib.sha256(b"".join(face.tobytes() for face in faces)).digest()
    shift = (digest[0] / 255 - 0.5) * 2 * _THRESHOLDS_SPREAD
    return {rate: round(threshold + shift, 3) for rate, threshold in _THRESHOLDS.items()}
