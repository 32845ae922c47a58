"""The part of a photo that a face's crop covers: where a cloak lives, and what it may change.

A cloak computed in the crop loses half its effect on the way into a photo of about the same
resolution, since interpolation blurs it there and back. So the change is a grid of the photo's own
pixels, and the network sees it through the same alignment that a service applies. Large faces get
a grid a little finer than the crop, which is enlarged into the photo at the end.
"""

import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cloaker.faces import Pixels
from cloaker.geometry import (
    Box,
    Similarity,
    align,
    feather,
    footprint,
    paste,
    planes,
    shifted,
    similarity,
)
from cloaker.networks.base import Crop, Points
from cloaker.perceptual import WINDOW_PX, Dssim, dssim

_WORKING_SCALE = 1.25
"""Working pixels per pixel of the crop, at most."""
_HALVINGS = 7
_STRIP_PIXELS = 2**18


class FaceRegion:
    """The box of a photo that a face's crops cover, and how visible a change of it is.

    `crops` are those of the networks that see the face, `landmarks` its five points in the photo.
    Boxes smaller than SSIM's window are grown by a window on all sides; with `whole` the box is
    the photo. `clean` is the box at the photo's resolution, uint8; `working` the same on the grid
    in which the change is computed, float32: both 3 x height x width in 0..255.
    `working_matrices` map that grid's points to each crop's.
    """

    def __init__(
        self,
        pixels: Pixels,
        landmarks: Points,
        crops: Sequence[Crop],
        device: torch.device,
        *,
        whole: bool = False,
    ) -> None:
        height, width = pixels.shape[:2]
        matrices = {crop: similarity(landmarks, crop.points) for crop in dict.fromkeys(crops)}
        self.box = Box(0, 0, width, height) if whole else _box(matrices, height, width)
        self._matrices = {crop: shifted(matrix, self.box) for crop, matrix in matrices.items()}
        self._device, self._whole = device, whole
        self._visibilities: dict[bytes, tuple[float, float]] = {}
        self.clean = self.cut(pixels)
        self.working, self.working_matrices = self._working()

    @functools.cached_property
    def _at_crops(self) -> dict[Crop, Dssim]:
        crops = self._matrices
        return {crop: Dssim(self.aligned(self.clean, crop)[None]) for crop in crops}

    def cut(self, pixels: Pixels) -> Tensor:
        """Return the region of a photo of the same size, uint8 3 x height x width."""
        return self.box.of(planes(pixels)).to(self._device)

    def aligned(self, region: Tensor, crop: Crop) -> Tensor:
        """Return a region's crop, aligned by the clean photo's landmarks."""
        return align(region, self._matrices[crop], crop)

    def visibility(self, region: Tensor) -> tuple[float, float]:
        """Return the DSSIM of a changed region at the photo's resolution, and the largest crop's.

        The saved file is asked about after the region that went into it, and seldom is another.
        """
        content = self._digest(region)
        if content not in self._visibilities:
            self._visibilities[content] = self._visibility(region)
        return self._visibilities[content]

    def _digest(self, region: Tensor) -> bytes:
        digest = hashlib.blake2b()
        for rows in self._strips():
            digest.update(region[:, rows].cpu().numpy().tobytes())
        return digest.digest()

    def _visibility(self, region: Tensor) -> tuple[float, float]:
        at_crops = [
            float(visibility(self.aligned(region, crop)[None]))
            for crop, visibility in self._at_crops.items()
        ]
        return float(dssim(region[None], self.clean[None])), max(at_crops)

    def mask(self) -> Tensor:
        """Return how much of a change reaches each working pixel: none outside the crops."""
        height, width = self.working.shape[-2:]
        if self._whole:
            return self.working.new_ones(1, height, width)
        masks = [
            paste(feather(crop).to(self._device).expand(3, -1, -1), matrix, height, width)[:1]
            for crop, matrix in self.working_matrices.items()
        ]
        return torch.stack(masks).amax(dim=0)

    def changed(self, change: Tensor, budget: float) -> Tensor:
        """Return the region with a change of the working grid, in whole pixel values.

        The change is scaled down as far as keeping both DSSIMs within the budget demands.
        """
        if change.shape != self.clean.shape:
            size = self.clean.shape[-2:]
            change = nn.functional.interpolate(change[None], size=size, mode="bilinear")[0]

        def at(factor: float) -> Tensor:
            return self._whole_values(change, factor)

        return at(_largest(lambda factor: max(self.visibility(at(factor))) <= budget))

    def added(self, pixels: Pixels, region: Tensor) -> Pixels:
        """Return a copy of a photo, which may hold other changed faces, with this one's change."""
        photo = np.array(pixels)
        part = self.box.of(planes(photo))
        for rows in self._strips():
            before, clean, after = (
                part[:, rows].to(region).short(),
                self.clean[:, rows],
                region[:, rows],
            )
            part[:, rows].copy_(before.add_(after).sub_(clean).clamp_(0, 255))
        return photo

    def _whole_values(self, change: Tensor, factor: float) -> Tensor:
        """Return the region with so much of a change of its own size, uint8."""
        changed = torch.empty_like(self.clean)
        for rows in self._strips():
            values = torch.add(self.clean[:, rows], change[:, rows], alpha=factor)
            changed[:, rows] = values.round_().clamp_(0, 255)
        return changed

    def _strips(self) -> Iterator[slice]:
        """Yield rows, some at a time: as numbers of four bytes a large region needs 100 MB."""
        _, height, width = self.clean.shape
        step = max(1, _STRIP_PIXELS // width)
        return (slice(top, top + step) for top in range(0, height, step))

    def _working(self) -> tuple[Tensor, dict[Crop, Similarity]]:
        photo_scale = max(map(_pixels_per_crop_pixel, self._matrices.values()))
        if photo_scale <= _WORKING_SCALE:
            return self.clean.float(), self._matrices
        shrink = _WORKING_SCALE / photo_scale
        height, width = (max(WINDOW_PX, round(side * shrink)) for side in self.clean.shape[-2:])
        # Channel by channel: as numbers of four bytes a large region needs 100 MB.
        channels = [
            nn.functional.interpolate(
                channel[None, None].float(), size=(height, width), mode="bilinear", antialias=True
            )[0]
            for channel in self.clean
        ]
        working = torch.cat(channels)
        steps = np.array([self.box.width / width, self.box.height / height])
        return working, {crop: _on_grid(m, steps) for crop, m in self._matrices.items()}


def _box(matrices: Mapping[Crop, Similarity], height: int, width: int) -> Box:
    boxes = [footprint(matrix, crop, height, width) for crop, matrix in matrices.items()]
    box = functools.reduce(Box.joined, boxes)
    return box.grown(WINDOW_PX, height, width) if min(box.width, box.height) < WINDOW_PX else box


def _pixels_per_crop_pixel(matrix: Similarity) -> float:
    return 1 / math.sqrt(abs(np.linalg.det(matrix[:, :2])))


def _on_grid(matrix: Similarity, steps: NDArray[np.float64]) -> Similarity:
    """Return a similarity for a grid whose pixels are so many wide and high."""
    moved = matrix.copy()
    moved[:, 2] += moved[:, :2] @ (steps / 2 - 0.5)
    moved[:, :2] *= steps
    return moved


def _largest(fits: Callable[[float], bool]) -> float:
    # The largest fitting factor in 0..1, by bisection; 0 always fits.
    low, high = 0.0, 1.0
    if fits(high):
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
