"""Pixels as tanh of a variable that may take any value (Carlini and Wagner 2017)."""

import torch
from torch import Tensor

_SCALE = 2 - 1e-6  # keeps black and white off tanh's poles


class TanhSpace:
    """Clean faces N x 3 x height x width in 0..255, and the way to faces moved in tanh space."""

    def __init__(self, clean: Tensor, mask: Tensor) -> None:
        self._clean, self._reach = clean, mask * (255 / _SCALE)
        self._base = torch.atanh((clean / 255 - 0.5) * _SCALE)
        self._start = torch.tanh(self._base)

    def moved(self, variable: Tensor) -> Tensor:
        """Return the faces in 0..255 with the masked change of a variable in tanh units."""
        return torch.addcmul(self._clean, self._reach, self._turned(variable))

    def change(self, variable: Tensor) -> Tensor:
        """Return the masked change alone, in levels of 0..255."""
        return self._reach * self._turned(variable)

    def _turned(self, variable: Tensor) -> Tensor:
        return torch.tanh(self._base + variable) - self._start
