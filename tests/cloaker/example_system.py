"""A cloaking system in one file and one row: away from the own embedding, by steps of the sign."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cloaker.attack import System
from cloaker.levels import Parameters, Row
from cloaker.scene import Scene

ROW = Row(
    "example_system:Away",
    {"budget": 0.01, "step_px": 1.0},
    {"low": {"steps": 3}, "high": {"steps": 10}},
)


class Away(System):
    """Far from the clean face in every network."""

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._change = torch.zeros_like(scene.clean).requires_grad_()

    def pictures(self) -> Tensor:
        """Return the clean faces with the masked change."""
        return (self.scene.clean + self.scene.mask * self._change).clamp(0, 255)

    def judge(self, pictures: Tensor) -> Tensor:
        """Return the similarity to the clean faces, over all networks."""
        similar = [
            torch.cosine_similarity(view.embed(pictures), view.own) for view in self.scene.views
        ]
        return torch.stack(similar).sum(dim=0)

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Change every pixel by one step."""
        del visibility
        (gradient,) = torch.autograd.grad(judged.sum(), self._change)
        with torch.no_grad():
            self._change -= float(self.parameters["step_px"]) * gradient.sign()
