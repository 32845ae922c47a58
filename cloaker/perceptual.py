"""How visible a change is: DSSIM, in float32 at least (variances by subtraction fail in less)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

WINDOW_PX = 11
_SIGMA_PX = 1.5
_STRIP_WINDOWS = 2**18
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2


def _gaussian() -> tuple[float, ...]:
    middle = WINDOW_PX // 2
    raw = [math.exp(-((i - middle) ** 2) / (2 * _SIGMA_PX**2)) for i in range(WINDOW_PX)]
    return tuple(value / sum(raw) for value in raw)


_TAPS = _gaussian()


class Dssim:
    """DSSIM = (1 - SSIM) / 2 of pictures to fixed references, N x 3 x height x width in 0..255.

    SSIM is that of Wang et al. 2004 as TensorFlow computes it: an 11 x 11 Gaussian window of
    sigma 1.5, windows inside the picture only, per colour channel, then the mean. The references'
    means and variances are computed once. Differentiable; returns one value per picture. Pictures
    of a batch that are padded at the right and the bottom have their `sizes` (height, width):
    windows that touch padding don't count.
    """

    def __init__(self, references: Tensor, sizes: Sequence[tuple[int, int]] | None = None) -> None:
        if min(references.shape[-2:]) < WINDOW_PX:
            raise ValueError(f"SSIM needs pictures of at least {WINDOW_PX} x {WINDOW_PX} pixels")
        dtype = torch.promote_types(references.dtype, torch.float32)
        self._references = references.detach().to(dtype)
        self._mean = _blur(self._references)
        self._variance = _blur(self._references.square()) - self._mean.square()
        self._weights = _weights(self._mean, sizes) if sizes else None

    def leave(self, staying: Tensor) -> None:
        """Go on with some of the references only, N booleans."""
        self._references = self._references[staying]
        self._mean, self._variance = self._mean[staying], self._variance[staying]
        self._weights = None if self._weights is None else self._weights[staying]

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return the DSSIM of each picture, N."""
        pictures = pictures.to(self._references.dtype)
        mean = _blur(pictures)
        variance = _blur(pictures.square()) - mean.square()
        covariance = _blur(pictures * self._references) - mean * self._mean
        structure = (2 * covariance + _C2) / (variance + self._variance + _C2)
        luminance = (2 * mean * self._mean + _C1) / (mean.square() + self._mean.square() + _C1)
        similarity = structure * luminance
        if self._weights is not None:
            return (1 - (similarity.mean(dim=1) * self._weights).sum(dim=(1, 2))) / 2
        return (1 - similarity.mean(dim=(1, 2, 3))) / 2


def _weights(windows: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Return the share of each window, N x height x width, in its picture's mean."""
    weights = windows.new_zeros(len(sizes), *windows.shape[-2:])
    for weight, (height, width) in zip(weights, sizes, strict=True):
        rows, columns = height - WINDOW_PX + 1, width - WINDOW_PX + 1
        weight[:rows, :columns] = 1 / (rows * columns)
    return weights


def dssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the DSSIM between pictures of any type pair by pair, N.

    They are looked at in strips of rows: of a large photo, all windows at once need a gigabyte.
    """
    height, width = a.shape[-2:]
    rows = max(1, _STRIP_WINDOWS // width)
    windows = height - WINDOW_PX + 1
    parts = []
    for top in range(0, max(1, windows), rows):
        strip = slice(top, top + rows + WINDOW_PX - 1)
        share = min(rows, windows - top) / windows
        parts.append(share * Dssim(b[..., strip, :])(a[..., strip, :]))
    return torch.stack(parts).sum(dim=0)


class _Blur(torch.autograd.Function):
    # Shifted sums: on a CPU several times as fast as grouped convolution, and free of the TF32
    # rounding that convolutions get on some GPUs. The backward pass adds in place what automatic
    # differentiation would do through eleven full copies.
    @staticmethod
    def forward(_ctx: FunctionCtx, pictures: Tensor) -> Tensor:
        return _gathered(_gathered(pictures, 2), 3)

    @staticmethod
    def backward(_ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        return _scattered(_scattered(gradient, 3), 2)


def _blur(pictures: Tensor) -> Tensor:
    blurred: Tensor = _Blur.apply(pictures)
    return blurred


def _gathered(pictures: Tensor, dim: int) -> Tensor:
    length = pictures.shape[dim] - WINDOW_PX + 1
    total = pictures.narrow(dim, 0, length) * _TAPS[0]
    for start, weight in enumerate(_TAPS[1:], start=1):
        total.add_(pictures.narrow(dim, start, length), alpha=weight)
    return total


def _scattered(gradient: Tensor, dim: int) -> Tensor:
    shape = list(gradient.shape)
    length, shape[dim] = shape[dim], shape[dim] + WINDOW_PX - 1
    total = gradient.new_zeros(shape)
    for start, weight in enumerate(_TAPS):
        total.narrow(dim, start, length).add_(gradient, alpha=weight)
    return total
