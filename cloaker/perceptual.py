"""How visible a change is: DSSIM, in float32 at least (variances by subtraction fail in less)."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cloaker import device

WINDOW_PX = 11
_SIGMA_PX = 1.5
_STRIP_WINDOWS = 2**18
_BLOCK_WINDOWS = 32
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
        self._weights = _weights(self._mean, sizes)

    def leave(self, staying: Tensor) -> None:
        """Go on with some of the references only, N booleans."""
        self._references = self._references[staying]
        self._mean, self._variance = self._mean[staying], self._variance[staying]
        self._power = self._power[staying]
        self._weights = self._weights[staying]

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return the DSSIM of each picture, N."""
        pictures = pictures.to(self._references.dtype)
        fixed = (self._references, self._mean, self._variance, self._power, self._weights)
        similarity: Tensor = _Similarity.apply(pictures, *fixed)
        return (1 - similarity) / 2


def _weights(windows: Tensor, sizes: Sequence[tuple[int, int]] | None) -> Tensor:
    """Return the share of each window in its picture's mean, N x 1 x height x width or 1 x 1."""
    height, width = (side + WINDOW_PX - 1 for side in windows.shape[-2:])
    if sizes is None or set(sizes) == {(height, width)}:
        return windows.new_full((len(windows), 1, 1, 1), 1 / windows[0].numel())
    weights = windows.new_zeros(len(sizes), 1, *windows.shape[-2:])
    for weight, (down, across) in zip(weights[:, 0], sizes, strict=True):
        rows, columns = down - WINDOW_PX + 1, across - WINDOW_PX + 1
        weight[:rows, :columns] = 1 / (rows * columns * windows.shape[1])
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
    """SSIM picture by picture, and its gradient written out.

    On a CPU most of the time goes into temporaries: in place, and with factors left to the end, it
    takes a third of the passes over memory that automatic differentiation does.
    """

    @staticmethod
    def forward(
        ctx: Any,
        pictures: Tensor,
        references: Tensor,
        own: Tensor,
        variance: Tensor,
        power: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """Compute it given the references' means, and variances and squared means plus C2, C1."""
        mean = _gathered(pictures)
        square, product = mean.square(), mean * own
        spread = _gathered(pictures.square()).sub_(square).add_(variance)
        structure = _gathered(pictures * references).sub_(product).add_(_C2 / 2).div_(spread)
        brightness = square.add_(power)
        luminance = product.add_(_C1 / 2).div_(brightness)
        ctx.save_for_backward(
            pictures, references, own, weights, mean, spread, structure, brightness, luminance
        )
        return (structure * luminance).mul_(weights).sum(dim=(1, 2, 3)) * 4

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the pictures, the only one that is ever wanted."""
        asked = gradient != 0
        if not device.answers_at_once(asked) or bool(asked.all()):
            return _to_pictures(gradient, ctx.saved_tensors), None, None, None, None, None
        total = torch.zeros_like(ctx.saved_tensors[0])
        total[asked] = _to_pictures(gradient[asked], [kept[asked] for kept in ctx.saved_tensors])
        return total, None, None, None, None, None


def _to_pictures(gradient: Tensor, saved: Sequence[Tensor]) -> Tensor:
    """Go back through the mean, the mean square and the mean product of each window."""
    pictures, references, own, weights, mean, spread, structure, brightness, luminance = saved
    factor = 4 * gradient[:, None, None, None] * weights
    by_product = (luminance / spread).mul_(factor)
    by_square = by_product * structure
    by_mean = (structure / brightness).mul_(factor)
    inward = (by_mean * luminance).sub_(by_square).mul_(mean)
    by_mean.sub_(by_product).mul_(own).sub_(inward, alpha=2)
    total = _scattered(by_mean)
    total.addcmul_(_scattered(by_square), pictures, value=-2)
    return total.addcmul_(_scattered(by_product), references)


# Products with banded matrices, some windows at a time: on a CPU three times as fast as shifted
# sums, ten times as grouped convolution, and free of the TF32 rounding that convolutions get on
# some GPUs.
def _gathered(pictures: Tensor) -> Tensor:
    """Return the Gaussian mean of each window inside the pictures."""
    *outer, height, width = pictures.shape
    rows = pictures.reshape(-1, width)
    across = rows.new_empty(len(rows), width - WINDOW_PX + 1)
    for start, band in _bands(width, pictures):
        end = start + len(band)
        torch.mm(rows[:, start:end], band, out=across[:, start : end - WINDOW_PX + 1])
    planes = across.view(-1, height, across.shape[1])
    down = planes.new_empty(len(planes), height - WINDOW_PX + 1, planes.shape[2])
    for start, band in _bands(height, pictures):
        end = start + len(band)
        bands = band.mT.expand(len(planes), -1, -1)
        torch.bmm(bands, planes[:, start:end], out=down[:, start : end - WINDOW_PX + 1])
    return down.view(*outer, *down.shape[1:])


def _scattered(gradient: Tensor) -> Tensor:
    """Return what windows' gradients are to the pixels: `_gathered` transposed."""
    return _gathered(nn.functional.pad(gradient, (WINDOW_PX - 1,) * 4))


def _bands(length: int, like: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield which pixels of a line begin some windows, and the matrix that averages them."""
    windows = length - WINDOW_PX + 1
    for start in range(0, windows, _BLOCK_WINDOWS):
        yield start, _band(min(_BLOCK_WINDOWS, windows - start), like.dtype, like.device)


@functools.cache
def _band(windows: int, dtype: torch.dtype, on: torch.device) -> Tensor:
    band = torch.zeros(windows + WINDOW_PX - 1, windows, dtype=dtype)
    for window in range(windows):
        band[window : window + WINDOW_PX, window] = torch.tensor(_TAPS, dtype=dtype)
    return band.to(on)
