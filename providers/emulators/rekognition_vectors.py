"""A collection's embeddings in memory: searched at once, extended without being read again."""

from collections.abc import Sequence

import numpy as np

from providers.emulators.calibration import Calibration
from providers.emulators.database import Embedding

_CAPACITY_MIN = 64


def similarity(calibration: Calibration, cosine: float) -> float:
    """Return the Similarity, 0..100, of a cosine."""
    return round(100 * calibration.score(cosine), 3)


class FaceVectors:
    """The unit embeddings of faces by their ids, one float32 row each.

    `owned` is for who ranks people: the person and the embedding of every face that has one,
    None while it is not known.
    """

    def __init__(self, ids: Sequence[str], embeddings: Embedding) -> None:
        self.ids = list(ids)
        self._rows = embeddings
        self._places = {face: place for place, face in enumerate(ids)}
        self.owned: tuple[list[str], Embedding] | None = None

    @property
    def matrix(self) -> Embedding:
        """All embeddings, N x D in the order of `ids`."""
        return self._rows[: len(self.ids)]

    def of(self, ids: Sequence[str]) -> Embedding:
        """Return the embeddings of some faces, N x D."""
        return self._rows[[self._places[face] for face in ids]]

    def add(self, ids: Sequence[str], embeddings: Sequence[Sequence[float]]) -> None:
        """Take in further faces."""
        if not ids:
            return
        new = np.asarray(embeddings, np.float32)
        first, wanted = len(self.ids), len(self.ids) + len(ids)
        if wanted > len(self._rows):
            rows = np.empty(
                (max(first + first // 4, wanted, _CAPACITY_MIN), new.shape[1]), np.float32
            )
            if first:
                rows[:first] = self.matrix
            self._rows = rows
        self._rows[first:wanted] = new
        self._places.update({face: first + place for place, face in enumerate(ids)})
        self.ids += ids

    def remove(self, ids: Sequence[str]) -> None:
        """Let go of faces."""
        gone = set(ids)
        kept = [face for face in self.ids if face not in gone]
        self._rows = self.of(kept)
        self.ids = kept
        self._places = {face: place for place, face in enumerate(kept)}

    def nearest(self, probe: Embedding, top: int) -> list[tuple[str, float]]:
        """Return the faces most like a probe with their cosines, best first, `top` at most."""
        if not self.ids:
            return []
        cosines = self.matrix @ probe
        order = np.argsort(-cosines, kind="stable")[:top]
        return [(self.ids[place], float(cosines[place])) for place in order]
