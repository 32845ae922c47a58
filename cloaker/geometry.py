"""From landmarks to a network's crop and back: similarity, alignment, paste.

Pixel (x, y) is a sample at its centre, x to the right and y down, counted from 0. A similarity
is a 2 x 3 float64 array that maps photo points to crop points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cloaker.networks.base import Crop

Similarity = NDArray[np.float64]
_SUPERSAMPLING_MAX = 16
_STRIP_POINTS = 2**18


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels inside a photo."""

    left: int
    top: int
    width: int
    height: int

    def of(self, picture: Tensor) -> Tensor:
        """Return the part of a picture (... x height x width) inside the box, as a view."""
        rows = slice(self.top, self.top + self.height)
        return picture[..., rows, self.left : self.left + self.width]

    def grown(self, margin: int, height: int, width: int) -> "Box":
        """Return the box with a margin on all sides, cut to a photo of height x width."""
        left, top = max(0, self.left - margin), max(0, self.top - margin)
        right = min(width, self.left + self.width + margin)
        bottom = min(height, self.top + self.height + margin)
        return Box(left, top, right - left, bottom - top)

    def joined(self, other: "Box") -> "Box":
        """Return the smallest box that holds both."""
        left, top = min(self.left, other.left), min(self.top, other.top)
        right = max(self.left + self.width, other.left + other.width)
        bottom = max(self.top + self.height, other.top + other.height)
        return Box(left, top, right - left, bottom - top)


def planes(pixels: NDArray[np.uint8]) -> Tensor:
    """Return a height x width x 3 photo as a uint8 tensor 3 x height x width."""
    # Arrays that Pillow owns are read-only, which torch warns of; `require` copies those.
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)


def similarity(
    source: Sequence[tuple[float, float]], target: Sequence[tuple[float, float]]
) -> Similarity:
    """Return the least-squares similarity from source to target points, without reflection.

    In the plane Umeyama's problem (1991) is a linear regression of complex numbers. Raises
    ValueError when all source points are one.
    """
    a = np.array(source, dtype=np.float64) @ (1, 1j)
    b = np.array(target, dtype=np.float64) @ (1, 1j)
    spread = a - a.mean()
    power = float(np.vdot(spread, spread).real)
    if power == 0:
        raise ValueError("all landmarks are one point")
    turn = np.vdot(spread, b - b.mean()) / power
    shift = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def inverse(matrix: Similarity) -> Similarity:
    """Return the similarity that maps back."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def shifted(matrix: Similarity, box: Box) -> Similarity:
    """Return a photo's similarity for a cut-out of it: the cut-out's points to crop points."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (box.left, box.top)
    return moved


def footprint(matrix: Similarity, crop: Crop, height: int, width: int) -> Box:
    """Return the smallest box in a photo of height x width that holds what `align` reads.

    Raises ValueError when the crop lies outside the photo.
    """
    right, bottom = crop.width - 0.5, crop.height - 0.5
    corners = np.array([(-0.5, -0.5), (right, -0.5), (-0.5, bottom), (right, bottom)])
    back = inverse(matrix)
    points = corners @ back[:, :2].T + back[:, 2]
    first = np.clip(np.floor(points.min(axis=0)), 0, None).astype(int)
    last = np.clip(np.ceil(points.max(axis=0)), None, (width - 1, height - 1)).astype(int)
    if (last < first).any():
        raise ValueError("the face lies outside the photo")
    return Box(int(first[0]), int(first[1]), *(int(side) for side in last - first + 1))


def align(photo: Tensor, matrix: Similarity, crop: Crop) -> Tensor:
    """Return the crop, 3 x height x width float32, of a 3 x H x W photo; black outside the photo.

    A face larger than the crop is averaged down by supersampling, so that nothing aliases.
    """
    box = footprint(matrix, crop, photo.shape[-2], photo.shape[-1])
    back = inverse(shifted(matrix, box))
    return _warp(box.of(photo), back, crop.height, crop.width)


def paste(delta: Tensor, matrix: Similarity, height: int, width: int) -> Tensor:
    """Return a change of the crop, 3 x h x w, as seen in a picture, 3 x height x width.

    Exactly zero outside the crop's footprint; when the face is smaller than the crop, the change
    is averaged down.
    """
    return _warp(delta, matrix, height, width)


def feather(crop: Crop, width_px: int = 8) -> Tensor:
    """Return a mask, height x width, that rises smoothly from 0 at the crop's border to 1."""
    down, across = (_ramp(side, width_px) for side in (crop.height, crop.width))
    return down[:, None] * across[None, :]


def _ramp(length: int, width_px: int) -> Tensor:
    place = torch.arange(length, dtype=torch.float32)
    rise = (torch.minimum(place, length - 1 - place) / width_px).clamp(0, 1)
    return rise * rise * (3 - 2 * rise)


def _warp(picture: Tensor, back: Similarity, height: int, width: int) -> Tensor:
    # `back` maps points of the result to points of `picture`. In strips of rows: 256 samples a
    # pixel, and a large photo as numbers of four bytes, would need hundreds of megabytes at once.
    scale = math.sqrt(abs(float(np.linalg.det(back[:, :2]))))
    fold = min(max(1, round(scale)), _SUPERSAMPLING_MAX)
    rows = max(1, _STRIP_POINTS // (width * fold * fold))
    strips = []
    for top in range(0, height, rows):
        strip = range(top, min(top + rows, height))
        part, grid = _seen_through(picture, back, strip, width, fold)
        sampled = nn.functional.grid_sample(
            part[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=True
        )
        strips.append(nn.functional.avg_pool2d(sampled, fold)[0])
    return torch.cat(strips, dim=1)


def _seen_through(
    picture: Tensor, back: Similarity, rows: range, width: int, fold: int
) -> tuple[Tensor, Tensor]:
    """Return the rows of a picture that some of the result see, float32, and these points' grid."""
    x, y = (
        (np.arange(side.start * fold, side.stop * fold) + 0.5) / fold - 0.5
        for side in (range(width), rows)
    )
    # A point's place is the sum of what its column and what its row adds.
    across, down = np.outer(back[:, 0], x) + back[:, 2:], np.outer(back[:, 1], y)
    last = picture.shape[-2] - 1
    top = min(max(math.floor(across[1].min() + down[1].min()), 0), max(last - 1, 0))
    end = min(max(math.ceil(across[1].max() + down[1].max()) + 1, top + 1), last)
    part = picture[..., top : end + 1, :].float()
    across[1] -= top
    sides = np.array([[part.shape[-1] - 1], [part.shape[-2] - 1]]).clip(min=1)
    columns, lines = (torch.from_numpy(one) for one in (2 * across / sides - 1, 2 * down / sides))
    axes = [(column + line[:, None]).float() for column, line in zip(columns, lines, strict=True)]
    return part, torch.stack(axes, dim=-1).to(picture.device)
