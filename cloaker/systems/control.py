"""What the controls have in common: a disturbance that no network has a part in.

A control shows what a change of the same visibility does that nobody optimised. So it is made as
strong as the budget of DSSIM allows, face by face, in its own unit: a weaker noise, not a noise
mixed with the clean face. It takes no steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cloaker.attack import System
from cloaker.levels import Parameters
from cloaker.scene import Scene

_HALVINGS = 16


class Control(System):
    """A disturbance of one strength a face: 0 leaves it alone, 1 is the strongest there is."""

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self.strength = scene.clean.new_ones(len(scene.clean))

    def disturbed(self, strength: Tensor) -> Tensor:
        """Return the clean faces disturbed everywhere, each at its strength in 0..1, N."""
        raise NotImplementedError

    def pictures(self) -> Tensor:
        """Return the faces at their strength; where the mask ends they stay clean."""
        return self._at(self.strength)

    def judge(self, pictures: Tensor) -> Tensor:
        """Return 0 for each: a control aims at nothing."""
        return pictures.new_zeros(len(pictures))

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Do nothing."""

    @torch.no_grad()
    def within(self, pictures: Tensor, budget: float) -> Tensor:
        """Return the faces at the largest strength that the budget of DSSIM allows."""
        low, high = torch.zeros_like(self.strength), self.strength
        low = torch.where(self.scene.visibility(pictures) <= budget, high, low)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            fits = self.scene.visibility(self._at(middle)) <= budget
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        self.strength = low
        return self._at(low)

    def _at(self, strength: Tensor) -> Tensor:
        clean = self.scene.clean
        change = self.disturbed(strength).clamp(0, 255) - clean
        return clean + self.scene.mask * change
