"""Controls: independent noise on every pixel and colour, of the same DSSIM as a cloak."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from cloaker.levels import Parameters
from cloaker.scene import Scene
from cloaker.systems import seeded_noise
from cloaker.systems.control import Control

_STRONGEST = 255.0
"""Half the width of uniform noise, and the sigma of Gaussian noise, at strength 1."""


class _Noise(Control):
    """A pattern a face, drawn by the face's seed, times an amplitude."""

    draw: ClassVar[Callable[..., Tensor]]

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._pattern = seeded_noise.noise(scene, seeds, self.draw)

    def disturbed(self, strength: Tensor) -> Tensor:
        """Return the faces with noise of so many times 255."""
        amplitude = strength[:, None, None, None] * _STRONGEST
        return self.scene.clean + amplitude * self._pattern


class UniformNoise(_Noise):
    """Noise spread evenly between plus and minus an amplitude."""

    draw = staticmethod(seeded_noise.uniform)


class GaussianNoise(_Noise):
    """Normal noise."""

    draw = staticmethod(torch.randn)
