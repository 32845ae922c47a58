"""Face-Off's projected gradient descent: steps of one size inside a ball around the clean face.

Sizes are in shares of the pixels' range. `pgd-linf` is what the release does whatever it is told
(the norm gets lost on the way): each pixel moves `learning_rate` by its gradient's sign and stays
within `epsilon` of the clean one. `pgd-l2` is what the paper says: the whole change has such a
length. Pixels stay within black and white; the release lets them leave.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cloaker.attack import System
from cloaker.levels import Parameters
from cloaker.scene import Scene
from cloaker.systems.faceoff_margin import standing
from cloaker.systems.seeded_noise import noise


class Pgd(System):
    """Descends the loss; a face that has its margin is finished."""

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._epsilon = 255 * float(parameters["epsilon"])
        self._stride = 255 * float(parameters["learning_rate"])
        start = noise(scene, seeds) * self._epsilon * float(parameters["random_start"])
        self.rows = {"change": self._inside(start)}
        self._lack = scene.clean.new_ones(len(scene.clean))

    def pictures(self) -> Tensor:
        """Return the clean faces with the masked change."""
        self._variable = self.rows["change"].requires_grad_()
        return self.scene.clean + self.scene.mask * self._variable

    def judge(self, pictures: Tensor) -> Tensor:
        """Return the loss."""
        stand = standing(self.scene, pictures, self.parameters)
        self._lack = stand.lack
        return stand.loss

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Move against the gradient, and back into the ball."""
        del visibility
        (gradient,) = torch.autograd.grad(judged.sum(), self._variable)
        way = self._direction(gradient)
        self.rows["change"] = self._inside(self._variable.detach() - self._stride * way)

    def finished(self) -> Tensor | None:
        """Return which faces had their margin, when it is all that is asked for."""
        return self._lack <= 0 if self.parameters["loss"] == "hinge" else None

    def _direction(self, gradient: Tensor) -> Tensor:
        raise NotImplementedError

    def _inside(self, change: Tensor) -> Tensor:
        clean = self.scene.clean
        return (clean + self._projected(change)).clamp(0, 255) - clean

    def _projected(self, change: Tensor) -> Tensor:
        raise NotImplementedError


class PgdLinf(Pgd):
    """Each pixel by itself."""

    def _direction(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def _projected(self, change: Tensor) -> Tensor:
        return change.clamp(-self._epsilon, self._epsilon)


class PgdL2(Pgd):
    """All pixels of a face together."""

    def _direction(self, gradient: Tensor) -> Tensor:
        return gradient / _lengths(gradient).clamp(min=1e-30)

    def _projected(self, change: Tensor) -> Tensor:
        return change * (self._epsilon / _lengths(change).clamp(min=1e-30)).clamp(max=1)


def _lengths(change: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(change, dim=(1, 2, 3), keepdim=True)
    return lengths
