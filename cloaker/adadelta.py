"""Adadelta (Zeiler 2012), written out: PyTorch's constants double the first step of Fawkes."""

import torch
from torch import Tensor


class Adadelta:
    """Moves a variable; each element has its own state, so faces don't influence each other.

    TensorFlow 1 has rho .95 and epsilon 1e-8, Keras rho .95 and epsilon 1e-7.
    """

    def __init__(self, variable: Tensor, *, rho: float = 0.95, epsilon: float) -> None:
        self._rho, self._epsilon = rho, epsilon
        self._gradient_power = torch.zeros_like(variable, requires_grad=False)
        self._step_power = torch.zeros_like(variable, requires_grad=False)

    @torch.no_grad()
    def update(self, variable: Tensor, gradient: Tensor, learning_rate: float) -> None:
        """Move the variable in place against its gradient."""
        rho, epsilon = self._rho, self._epsilon
        self._gradient_power.mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
        ratio = (self._step_power + epsilon) / (self._gradient_power + epsilon)
        step = ratio.sqrt_().mul_(gradient)
        self._step_power.mul_(rho).addcmul_(step, step, value=1 - rho)
        variable.sub_(step, alpha=learning_rate)
