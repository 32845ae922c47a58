"""Whom photos are cloaked towards (Fawkes, section 4: target class selection)."""

import random
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from audit.errors import UserError

_SHARE_MAX = 0.1


def ranked(own: Tensor, candidates: Mapping[str, Tensor]) -> list[str]:
    """Return the candidates from the farthest to the nearest to a person's embeddings, N x D.

    A candidate's distance is that of the person's nearest photo to the centroid of the
    candidate's embeddings. Equals are ordered by name. Raises UserError without any candidate.
    """
    _require(candidates)
    return sorted(sorted(candidates), key=lambda name: -_nearest(own, candidates[name]))


def choose(own: Tensor, candidates: Mapping[str, Tensor], among: int, seed: int) -> str:
    """Return one of the `among` farthest candidates, drawn with a seed.

    Fawkes' code draws among 20 of 18,947 people. Of a small pool at most a tenth counts as far.
    """
    names = ranked(own, candidates)
    far = names[: max(1, min(among, int(len(names) * _SHARE_MAX)))]
    return random.Random(seed).choice(far)


def farthest(own: Tensor, candidates: Mapping[str, Tensor], among: int, seed: int) -> str:
    """Return the farthest of at most `among` candidates, which are drawn with a seed (the paper)."""
    names = sorted(candidates)
    drawn = random.Random(seed).sample(names, min(among, len(names)))
    return ranked(own, {name: candidates[name] for name in drawn})[0]


def drawn(candidates: Collection[str], seed: int) -> str:
    """Return one of the candidates, drawn with a seed. Raises UserError without any."""
    _require(candidates)
    return random.Random(seed).choice(sorted(candidates))


def _require(candidates: Collection[str]) -> None:
    if not candidates:
        raise UserError(
            "nobody to cloak towards",
            expected="photos with a face of at least one person who is not enrolled",
            remedy="add people to the photo folder, or enrol fewer",
        )


def _nearest(own: Tensor, candidate: Tensor) -> float:
    gaps = torch.linalg.vector_norm(own - candidate.mean(dim=0), dim=1)
    return float(gaps.min())
