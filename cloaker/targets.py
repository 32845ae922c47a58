"""Whom a person's photos are cloaked towards (Fawkes, section 4: target class selection)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from audit.errors import UserError


def farthest(own: Tensor, candidates: Mapping[str, Tensor]) -> str:
    """Return the candidate person who is farthest from a person's embeddings, N x D.

    A candidate's distance is that of the person's nearest photo to the centroid of the
    candidate's embeddings. Of equals the first by name is taken. Raises UserError without any
    candidate.
    """
    if not candidates:
        raise UserError(
            "nobody to cloak towards",
            expected="photos with a face of at least one person who is not enrolled",
            remedy="add people to the photo folder, or enrol fewer",
        )
    return max(sorted(candidates), key=lambda name: _nearest(own, candidates[name]))


def _nearest(own: Tensor, candidate: Tensor) -> float:
    gaps = torch.linalg.vector_norm(own - candidate.mean(dim=0), dim=1)
    return float(gaps.min())
