"""Control: Gaussian blur of the same DSSIM as a cloak."""

import torch
from torch import Tensor

from cloaker.systems.control import Control

_STRONGEST_PX = 16.0
"""Sigma at strength 1, in pixels of the working grid."""
_SMALLEST_PX = 1e-3


class Blur(Control):
    """A Gaussian of one sigma a face."""

    def disturbed(self, strength: Tensor) -> Tensor:
        """Return the blurred faces; beyond a face's border there is nothing to blend in."""
        sigma = (strength * _STRONGEST_PX).clamp(min=_SMALLEST_PX)
        heights, widths = zip(
            *(part.shape[-2:] for part in self.scene.parts(self.scene.clean)), strict=True
        )
        height, width = self.scene.clean.shape[-2:]
        down = _gaussian(sigma, heights, height)
        across = _gaussian(sigma, widths, width)
        blurred: Tensor = down @ self.scene.clean @ across.mT
        return blurred


def _gaussian(sigma: Tensor, lengths: tuple[int, ...], padded: int) -> Tensor:
    """Return matrices that blur a line of so many pixels, N x 1 x padded x padded."""
    place = torch.arange(padded, device=sigma.device)
    gaps = (place[:, None] - place).square() / (2 * sigma[:, None, None].square())
    inside = place < torch.tensor(lengths, device=sigma.device)[:, None]
    # Padding keeps to itself: its rows have to sum to 1 too.
    together = inside[:, :, None] == inside[:, None, :]
    return torch.where(together, -gaps, -torch.inf).softmax(dim=-1)[:, None]
