"""Controls: independent noise on every pixel and colour, of the same DSSIM as a cloak."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from cloaker.levels import Parameters
from cloaker.scene import Scene
from cloaker.systems.control import Control

_STRONGEST = 255.0
"""Half the width of uniform noise, and the sigma of Gaussian noise, at strength 1."""


class _Noise(Control):
    """A pattern a face, drawn by the face's seed, times an amplitude."""

    draw: ClassVar[Callable[..., Tensor]]

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._pattern = torch.zeros_like(scene.clean)
        for part, seed in zip(scene.parts(self._pattern), seeds, strict=True):
            # On the CPU, so that every device disturbs alike.
            part.copy_(self.draw(part.shape, generator=torch.Generator().manual_seed(seed)))

    def disturbed(self, strength: Tensor) -> Tensor:
        """Return the faces with noise of so many times 255."""
        amplitude = strength[:, None, None, None] * _STRONGEST
        return self.scene.clean + amplitude * self._pattern


def _uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return 2 * torch.rand(shape, generator=generator) - 1


class UniformNoise(_Noise):
    """Noise spread evenly between plus and minus an amplitude."""

    draw = staticmethod(_uniform)


class GaussianNoise(_Noise):
    """Normal noise."""

    draw = staticmethod(torch.randn)
