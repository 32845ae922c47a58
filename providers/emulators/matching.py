"""How enrolled faces become one cosine per person: see `options.Matching`."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from providers.emulators.database import Embedding
from providers.emulators.options import Matching

_BLOCK_VALUES = 2**24
"""Cosines held at once while many probes are matched: 64 MB."""


class Faces:
    """The enrolled faces (N x D, unit) of people, made ready for any number of probes.

    `people` names the person of each face, in any order. `names` has each person once, as they
    first appear, and so have the columns of what is returned.
    """

    def __init__(self, people: Sequence[str], embeddings: Embedding) -> None:
        numbers: dict[str, int] = {}
        owners = np.array([numbers.setdefault(person, len(numbers)) for person in people])
        if (np.diff(owners) < 0).any():
            rows = np.argsort(owners, kind="stable")
            owners, embeddings = owners[rows], embeddings[rows]
        self.names = list(numbers)
        self._owners, self._rows = owners, embeddings
        self._first = np.flatnonzero(np.diff(owners, prepend=-1))

    def cosines(self, probe: Embedding, matching: Matching) -> Embedding:
        """Return each person's cosine to a probe (D, unit): equal faces give equal cosines."""
        if matching is Matching.NEAREST:
            return np.maximum.reduceat(_dots(self._rows, probe), self._first)
        return _dots(self._sums, probe) / self._lengths

    def nearest(
        self, probes: Embedding, matching: Matching
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return the nearest person (place in `names`) of each probe (P x D, unit), and the cosine.

        The products are those of BLAS, in blocks of bounded memory: of people whose cosines are
        equal but for rounding, any may be returned.
        """
        of_faces = matching is Matching.NEAREST
        rows = self._rows if of_faces else self._sums / self._lengths[:, None]
        best, cosines = _nearest_rows(rows, probes)
        return (self._owners[best] if of_faces else best), cosines

    def best_first(self, scores: NDArray[np.floating], most: int | None = None) -> list[int]:
        """Return the places of the `most` highest scores, best first and ties by name."""
        if most is None or most >= len(scores):
            everyone: list[int] = np.lexsort((self._name_ranks, -scores)).tolist()
            return everyone[:most]
        found = np.flatnonzero(scores >= np.partition(scores, -most)[-most]).tolist()
        return sorted(found, key=lambda place: (-scores[place], self.names[place]))[:most]

    @cached_property
    def _name_ranks(self) -> NDArray[np.intp]:
        ranks = np.empty(len(self.names), np.intp)
        ranks[sorted(range(len(ranks)), key=self.names.__getitem__)] = np.arange(len(ranks))
        return ranks

    @cached_property
    def _sums(self) -> Embedding:
        # The mean has the direction of the sum.
        return np.add.reduceat(self._rows, self._first, axis=0)

    @cached_property
    def _lengths(self) -> Embedding:
        lengths: Embedding = np.linalg.norm(self._sums, axis=1)
        lengths[lengths == 0] = 1
        return lengths


def cosine(enrolled: Embedding, probe: Embedding, matching: Matching) -> float:
    """Return the cosine of a probe (D) to a person's faces (N x D, N > 0), unit vectors all."""
    return float(Faces([""] * len(enrolled), enrolled).cosines(probe, matching)[0])


def rank(
    people: Sequence[str],
    embeddings: Embedding,
    probe: Embedding,
    matching: Matching,
    most: int | None = None,
) -> list[tuple[str, float]]:
    """Return each person's cosine, best first and ties by name; no more than `most` people.

    `people` names the person of each embedding, in any order.
    """
    if not people:
        return []
    faces = Faces(people, embeddings)
    cosines = faces.cosines(probe, matching)
    return [
        (faces.names[place], float(cosines[place])) for place in faces.best_first(cosines, most)
    ]


def _dots(rows: Embedding, probe: Embedding) -> Embedding:
    """Return the products of N x D and D, equal for equal rows: those of BLAS are not."""
    dots: Embedding = np.einsum("nd,d->n", rows, probe)
    return dots


def _nearest_rows(
    rows: Embedding, probes: Embedding
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return for each probe the row with the highest product, and that product."""
    best = np.empty(len(probes), np.intp)
    cosines = np.empty(len(probes), np.float32)
    size = max(1, _BLOCK_VALUES // len(rows))
    for start in range(0, len(probes), size):
        block = probes[start : start + size] @ rows.T
        best[start : start + size] = found = block.argmax(axis=1)
        cosines[start : start + size] = np.take_along_axis(block, found[:, None], axis=1)[:, 0]
    return best, cosines
