"""How visible a change is: DSSIM, in float32 at least (variances by subtraction fail in less)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

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
        self._mean = _gathered(self._references)
        power = self._mean.square()
        self._variance = _gathered(self._references.square()).sub_(power).add_(_C2)
        self._power = power.add_(_C1)
        self._weights = _weights(self._mean, sizes) if sizes else None

    def leave(self, staying: Tensor) -> None:
        """Go on with some of the references only, N booleans."""
        self._references = self._references[staying]
        self._mean, self._variance = self._mean[staying], self._variance[staying]
        self._power = self._power[staying]
        self._weights = None if self._weights is None else self._weights[staying]

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return the DSSIM of each picture, N."""
        pictures = pictures.to(self._references.dtype)
        fixed = (self._references, self._mean, self._variance, self._power)
        similarity: Tensor = _Similarity.apply(pictures, *fixed)
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


class _Similarity(torch.autograd.Function):
    """SSIM window by window, and its gradient written out.

    On a CPU most of the time goes into temporaries: in place, and with factors of two left to the
    end, it takes a third of the passes over memory that automatic differentiation does.
    """

    @staticmethod
    def forward(
        ctx: Any, pictures: Tensor, references: Tensor, own: Tensor, variance: Tensor, power: Tensor
    ) -> Tensor:
        """Compute it given the references' means, and variances and squared means plus C2, C1."""
        mean = _gathered(pictures)
        square, product = mean.square(), mean * own
        spread = _gathered(pictures.square()).sub_(square).add_(variance)
        structure = _gathered(pictures * references).sub_(product).add_(_C2 / 2).div_(spread)
        brightness = square.add_(power)
        luminance = product.add_(_C1 / 2).div_(brightness)
        ctx.save_for_backward(
            pictures, references, own, mean, spread, structure, brightness, luminance
        )
        return structure * luminance * 4

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the pictures, the only one that is ever wanted."""
        if gradient.is_cuda:  # where to ask which pictures have one would make the host wait
            return _to_pictures(gradient, ctx.saved_tensors), None, None, None, None
        asked = gradient.flatten(1).any(dim=1)
        total = torch.zeros_like(ctx.saved_tensors[0])
        total[asked] = _to_pictures(gradient[asked], [kept[asked] for kept in ctx.saved_tensors])
        return total, None, None, None, None


def _to_pictures(gradient: Tensor, saved: Sequence[Tensor]) -> Tensor:
    """Go back through the mean, the mean square and the mean product of each window."""
    pictures, references, own, mean, spread, structure, brightness, luminance = saved
    by_product = (luminance / spread).mul_(gradient).mul_(4)
    by_square = by_product * structure
    by_mean = (structure / brightness).mul_(gradient).mul_(4)
    inward = (by_mean * luminance).sub_(by_square).mul_(mean).mul_(-4)
    by_mean.sub_(by_product).mul_(own).add_(inward, alpha=0.5)
    total = _scattered(by_mean)
    total.addcmul_(_scattered(by_square), pictures, value=-2)
    return total.addcmul_(_scattered(by_product), references)


# Shifted sums: on a CPU several times as fast as grouped convolution, and free of the TF32
# rounding that convolutions get on some GPUs.
def _gathered(pictures: Tensor) -> Tensor:
    """Return the Gaussian mean of each window inside the pictures."""
    for dim in (2, 3):
        length = pictures.shape[dim] - WINDOW_PX + 1
        total = pictures.narrow(dim, 0, length) * _TAPS[0]
        for start, weight in enumerate(_TAPS[1:], start=1):
            total.add_(pictures.narrow(dim, start, length), alpha=weight)
        pictures = total
    return pictures


def _scattered(gradient: Tensor) -> Tensor:
    """Return what windows' gradients are to the pixels: `_gathered` transposed."""
    for dim in (3, 2):
        length, shape = gradient.shape[dim], list(gradient.shape)
        shape[dim] += WINDOW_PX - 1
        total = gradient.new_zeros(shape)
        for start, weight in enumerate(_TAPS):
            total.narrow(dim, start, length).add_(gradient, alpha=weight)
        gradient = total
    return gradient
