"""Where Face-Off's attacks begin: uniform noise, each face's drawn by its own seed."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cloaker.scene import Scene


def noise(scene: Scene, seeds: Sequence[int]) -> Tensor:
    """Return uniform noise in -1..1, N x 3 x height x width; none in the padding."""
    drawn = torch.zeros_like(scene.clean)
    for place, face, seed in zip(scene.parts(drawn), scene.parts(scene.clean), seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        place.copy_(2 * torch.rand(face.shape, generator=generator) - 1)
    return drawn
