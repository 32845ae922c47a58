"""Noise that a face's own seed and size decide: neither its batch mates nor the device."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from cloaker.scene import Scene


def uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Return noise spread evenly over -1..1."""
    return 2 * torch.rand(shape, generator=generator) - 1


def noise(scene: Scene, seeds: Sequence[int], draw: Callable[..., Tensor] = uniform) -> Tensor:
    """Return noise for each face, N x 3 x height x width; none in the padding.

    `draw` takes a shape and a generator. It is drawn on the CPU, so that every device has the same.
    """
    drawn = torch.zeros_like(scene.clean)
    for part, seed in zip(scene.parts(drawn), seeds, strict=True):
        part.copy_(draw(part.shape, generator=torch.Generator().manual_seed(seed)))
    return drawn
