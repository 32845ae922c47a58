"""What the loops share: SSIM with TensorFlow's four window means, and tanh space."""

import functools
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from cloaker.levels import Parameters
from cloaker.networks.base import EmbeddingNetwork

Networks = Sequence[EmbeddingNetwork]
Loop = Callable[[Networks, Tensor, Parameters, int], Tensor]
"""Does so many steps with a clean crop, 1 x 3 x height x width in 0..255; returns the cloaked."""

_TANH_SCALE = 2 - 1e-6
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def to_tanh_space(pixels: Tensor) -> Tensor:
    """Return the variable that gives pixels in 0..255."""
    return torch.atanh((pixels / 255 - 0.5) * _TANH_SCALE)


def to_pixels(variable: Tensor) -> Tensor:
    """Return the pixels in 0..255 of a variable in tanh space."""
    return (torch.tanh(variable) / _TANH_SCALE + 0.5) * 255


def dssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the DSSIM, N, computed as `tf.image.ssim` does; of both pictures each time."""
    windows = partial(conv2d, weight=_window(11, 1.5), groups=3)
    mean_a, mean_b = windows(a), windows(b)
    products, powers = 2 * mean_a * mean_b, mean_a.square() + mean_b.square()
    luminance = (products + _C1) / (powers + _C1)
    both, squares = 2 * windows(a * b), windows(a.square() + b.square())
    structure = (both - products + _C2) / (squares - powers + _C2)
    return (1 - (structure * luminance).mean(dim=(1, 2, 3))) / 2


def blurred(crop: Tensor) -> Tensor:
    """Return a crop blurred by 7 x 7 pixels, sigma 3."""
    return conv2d(pad(crop, (3, 3, 3, 3), mode="reflect"), _window(7, 3.0), groups=3)


@functools.cache
def _window(side: int, sigma: float) -> Tensor:
    """Return Gaussian weights for each of three colours, 3 x 1 x side x side."""
    taps = torch.exp(-((torch.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    return torch.outer(taps, taps).expand(3, 1, side, side).contiguous()
