"""How enrolled faces become one cosine per person: see `options.Matching`."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from providers.emulators.database import Embedding
from providers.emulators.options import Matching


def cosine(enrolled: Embedding, probe: Embedding, matching: Matching) -> float:
    """Return the cosine of a probe (D) to a person's faces (N x D, N > 0), unit vectors all."""
    if matching is Matching.NEAREST:
        return float((enrolled @ probe).max())
    centroid = enrolled.mean(axis=0)
    length = float(np.linalg.norm(centroid))
    return float(centroid @ probe) / length if length else 0.0


def rank(
    people: Sequence[str], embeddings: Embedding, probe: Embedding, matching: Matching
) -> list[tuple[str, float]]:
    """Return each person's cosine, best first; `people` names the person of each embedding."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, person in enumerate(people):
        rows[person].append(row)
    cosines = {person: cosine(embeddings[own], probe, matching) for person, own in rows.items()}
    return sorted(cosines.items(), key=lambda item: (-item[1], item[0]))
