"""How enrolled faces become one cosine per person: see `options.Matching`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from providers.emulators.database import Embedding
from providers.emulators.options import Matching


def cosine(enrolled: Embedding, probe: Embedding, matching: Matching) -> float:
    """Return the cosine of a probe (D) to a person's faces (N x D, N > 0), unit vectors all."""
    return float(_cosines(enrolled, np.zeros(1, np.intp), probe, matching)[0])


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
    numbers: dict[str, int] = {}
    owners = np.array([numbers.setdefault(person, len(numbers)) for person in people])
    if (np.diff(owners) < 0).any():
        rows = np.argsort(owners, kind="stable")
        owners, embeddings = owners[rows], embeddings[rows]
    first = np.flatnonzero(np.diff(owners, prepend=-1))
    cosines = _cosines(embeddings, first, probe, matching)
    names = list(numbers)
    found = [(names[place], float(cosines[place])) for place in _best(cosines, most)]
    return sorted(found, key=lambda item: (-item[1], item[0]))[:most]


def _cosines(
    embeddings: Embedding, first: NDArray[np.intp], probe: Embedding, matching: Matching
) -> Embedding:
    """Return the cosine of each person, whose rows of `embeddings` begin at `first`."""
    if matching is Matching.NEAREST:
        return np.maximum.reduceat(_dots(embeddings, probe), first)
    # The mean has the direction of the sum.
    sums = np.add.reduceat(embeddings, first, axis=0)
    lengths: Embedding = np.linalg.norm(sums, axis=1)
    lengths[lengths == 0] = 1
    return _dots(sums, probe) / lengths


def _dots(rows: Embedding, probe: Embedding) -> Embedding:
    """Return the products of N x D and D, equal for equal rows: those of BLAS are not."""
    dots: Embedding = np.einsum("nd,d->n", rows, probe)
    return dots


def _best(cosines: Embedding, most: int | None) -> list[int]:
    """Return the places of the `most` highest cosines, and of all that tie with the last one."""
    if most is None or most >= len(cosines):
        return list(range(len(cosines)))
    return np.flatnonzero(cosines >= np.partition(cosines, -most)[-most]).tolist()
