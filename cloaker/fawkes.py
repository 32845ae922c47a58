"""Fawkes 0.3 (Shan et al. 2020; release 0.3.1): towards another person, within a budget of DSSIM.

True to the release: tanh space, Adadelta with TensorFlow 1's constants, raw embeddings, the
squared penalty, and the aim "own embedding + 2 x (target's mean - own mean)". Different on
purpose:

- The means are taken once over all of a person's photos, not over whatever is in the batch.
- The best iterate must be within the budget; the release does not check.
- The penalty's gradient is never longer than twice the distance's. As released, the first excess
  over the budget gives a gradient five orders longer, Adadelta remembers it, and the cloak stands
  still at half its budget for hundreds of steps.
- The change lives in the photo's pixels (`cloaker.region`), and fades to nothing towards the
  border of the aligned crop that the network sees: what is optimised is what is saved.
- The network sees every step through a slightly different alignment. A tracker finds its own
  landmarks, about a pixel off (the cloak itself moves them), and a cloak made for one exact
  alignment loses a third of its effect there.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

_TANH_SCALE = 2 - 1e-6  # keeps black and white off tanh's poles
_START = 1e-6
_RHO = 0.95
_EPSILON = 1e-8
_DECAY = 0.8
_PENALTY_LENGTH_MAX = 2.0


def aim(own: Tensor, own_mean: Tensor, target_mean: Tensor) -> Tensor:
    """Return where to push embeddings N x D, given both people's means (D or N x D)."""
    return own + 2 * (target_mean - own_mean)


class Fawkes03:
    """Fawkes 0.3 on clean faces N x 3 x height x width in 0..255, towards aims N x D.

    `mask` (0..1, broadcast over the faces) is how much of the change reaches each pixel; `parameters` are
    those of a level.
    """

    def __init__(
        self,
        clean: Tensor,
        aims: Tensor,
        mask: Tensor,
        parameters: Mapping[str, float | int | bool | str],
    ) -> None:
        self._clean, self._mask = clean, mask
        self._aims, self._aim_norms = aims, torch.linalg.vector_norm(aims, dim=1)
        self._base = torch.atanh((clean / 255 - 0.5) * _TANH_SCALE)
        self._start = torch.tanh(self._base)
        self._variable = torch.full_like(clean, _START).requires_grad_()
        self._optimiser = Adadelta(
            learning_rate=float(parameters["learning_rate"]),
            decay_every=max(1, int(parameters["steps"]) // 3),
        )
        self._budget = float(parameters["budget"])
        self._penalty = float(parameters["penalty"])

    def faces(self) -> Tensor:
        """Return the iterate: the clean faces with the masked change."""
        moved = torch.tanh(self._base + self._variable) - self._start
        faces: Tensor = self._clean + self._mask * moved * (255 / _TANH_SCALE)
        return faces

    def distance(self, embeddings: Tensor) -> Tensor:
        """Return the distance to the aim, relative to the aim's length."""
        gaps = torch.linalg.vector_norm(self._aims - embeddings, dim=1)
        relative: Tensor = gaps / self._aim_norms
        return relative

    def step(self, distance: Tensor, dssim: Tensor) -> None:
        """Take one step of Adadelta down the distance and the penalty."""
        penalty = self._penalty * (dssim - self._budget).clamp(min=0).square()
        inwards = self._gradient(penalty, keep_graph=True)
        ahead = self._gradient(distance)
        with torch.no_grad():
            allowed = _PENALTY_LENGTH_MAX * _lengths(ahead)
            inwards *= (allowed / _lengths(inwards).clamp(min=1e-30)).clamp(max=1)
            self._optimiser.update(self._variable, ahead + inwards)

    def _gradient(self, values: Tensor, *, keep_graph: bool = False) -> Tensor:
        (gradient,) = torch.autograd.grad(values.sum(), self._variable, retain_graph=keep_graph)
        return gradient


def _lengths(gradient: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(gradient, dim=(1, 2, 3), keepdim=True)
    return lengths


class Adadelta:
    """Adadelta (Zeiler 2012) with TensorFlow 1's constants and Fawkes' falling learning rate.

    Written out because PyTorch's defaults double the first step. Each element has its own state,
    so faces of a batch do not influence each other.
    """

    def __init__(self, *, learning_rate: float, decay_every: int) -> None:
        self._learning_rate = learning_rate
        self._decay_every = decay_every
        self._updates = 0
        self._gradient_power: Tensor | float = 0.0
        self._step_power: Tensor | float = 0.0

    def update(self, variable: Tensor, gradient: Tensor) -> None:
        """Move a variable in place against its gradient."""
        if self._updates == 0:
            self._gradient_power = torch.zeros_like(variable)
            self._step_power = torch.zeros_like(variable)
        self._gradient_power = _RHO * self._gradient_power + (1 - _RHO) * gradient.square()
        ratio = (self._step_power + _EPSILON) / (self._gradient_power + _EPSILON)
        step = ratio**0.5 * gradient
        self._step_power = _RHO * self._step_power + (1 - _RHO) * step.square()
        variable -= self._learning_rate * step
        if self._updates and self._updates % self._decay_every == 0:
            self._learning_rate *= _DECAY
        self._updates += 1
