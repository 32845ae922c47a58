"""The part of a photo that a face's crop covers: where a cloak lives, and what it may change.

A cloak computed in the crop loses half its effect on the way into a photo of about the same
resolution, since interpolation blurs it there and back. So the change is a grid of the photo's own
pixels, and the network sees it through the same alignment that a service applies. Large faces get
a grid a little finer than the crop, which is enlarged into the photo at the end.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cloaker.faces import Pixels
from cloaker.geometry import (
    Similarity,
    align,
    feather,
    footprint,
    paste,
    planes,
    sampling_points,
    shifted,
)
from cloaker.networks.base import Crop
from cloaker.perceptual import WINDOW_PX, Dssim

_WORKING_SCALE = 1.25
"""Working pixels per pixel of the crop, at most."""
_HALVINGS = 7


class FaceRegion:
    """The box of a photo that a face's crop covers, and how visible a change of it is.

    Boxes smaller than SSIM's window are grown by a window on all sides. `clean` is the box at the
    photo's resolution, `working` the same on the grid in which the change is computed: float32,
    3 x height x width in 0..255.
    """

    def __init__(
        self, pixels: Pixels, matrix: Similarity, crop: Crop, device: torch.device
    ) -> None:
        height, width = pixels.shape[:2]
        self.box = footprint(matrix, crop, height, width)
        if min(self.box.width, self.box.height) < WINDOW_PX:
            self.box = self.box.grown(WINDOW_PX, height, width)
        self._matrix, self._crop, self._device = shifted(matrix, self.box), crop, device
        self.clean = self.cut(pixels)
        self._at_photo = Dssim(self.clean[None])
        self._at_crop = Dssim(self.aligned(self.clean)[None])
        self.working, self.working_matrix = self._working()

    def cut(self, pixels: Pixels) -> Tensor:
        """Return the region of a photo of the same size, float32 3 x height x width."""
        return self.box.of(planes(pixels)).to(self._device, torch.float32)

    def aligned(self, region: Tensor) -> Tensor:
        """Return a region's crop, aligned by the clean photo's landmarks."""
        return align(region, self._matrix, self._crop)

    def visibility(self, region: Tensor) -> tuple[float, float]:
        """Return the DSSIM of a changed region at the photo's resolution and in the crop."""
        at_crop = self._at_crop(self.aligned(region)[None])
        return float(self._at_photo(region[None])), float(at_crop)

    def mask(self) -> Tensor:
        """Return how much of a change reaches each working pixel: none outside the crop."""
        height, width = self.working.shape[-2:]
        edge = feather(self._crop).to(self._device).expand(3, -1, -1)
        return paste(edge, self.working_matrix, height, width)[:1]

    def changed(self, change: Tensor, budget: float) -> Tensor:
        """Return the region with a change of the working grid, in whole pixel values.

        The change is scaled down as far as keeping both DSSIMs within the budget demands.
        """
        if change.shape != self.clean.shape:
            size = self.clean.shape[-2:]
            change = nn.functional.interpolate(change[None], size=size, mode="bilinear")[0]

        def at(factor: float) -> Tensor:
            return (self.clean + factor * change).round().clamp(0, 255)

        return at(_largest(lambda factor: max(self.visibility(at(factor))) <= budget))

    def put(self, pixels: Pixels, region: Tensor) -> Pixels:
        """Return a copy of a photo with the region in its place."""
        photo = np.array(pixels)
        self.box.of(planes(photo)).copy_(region)
        return photo

    def _working(self) -> tuple[Tensor, Similarity]:
        photo_scale = 1 / math.sqrt(abs(np.linalg.det(self._matrix[:, :2])))
        if photo_scale <= _WORKING_SCALE:
            return self.clean, self._matrix
        shrink = _WORKING_SCALE / photo_scale
        height, width = (max(WINDOW_PX, round(side * shrink)) for side in self.clean.shape[-2:])
        working = nn.functional.interpolate(
            self.clean[None], size=(height, width), mode="bilinear", antialias=True
        )[0]
        matrix = self._matrix.copy()
        steps = np.array([self.box.width / width, self.box.height / height])
        matrix[:, 2] += matrix[:, :2] @ (steps / 2 - 0.5)
        matrix[:, :2] *= steps
        return working, matrix


def _largest(fits: Callable[[float], bool]) -> float:
    # The largest fitting factor in 0..1, by bisection; 0 always fits.
    low, high = 0.0, 1.0
    if fits(high):
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


class Regions:
    """Working regions of several photos as one batch, padded at the right and the bottom.

    `clean` is N x 3 x height x width in 0..255, `mask` N x 1 x height x width in 0..1.
    """

    def __init__(self, regions: Sequence[FaceRegion], crop: Crop) -> None:
        self._sizes = [(region.working.shape[-2], region.working.shape[-1]) for region in regions]
        height, width = (max(sides) for sides in zip(*self._sizes, strict=True))
        self.clean = torch.stack([_padded(region.working, height, width) for region in regions])
        self.mask = torch.stack([_padded(region.mask(), height, width) for region in regions])
        places = [sampling_points(region.working_matrix, crop) for region in regions]
        self._points = torch.stack(places).to(self.clean.device, torch.float32)
        self._at_photo = Dssim(self.clean, self._sizes)
        self._at_crop = Dssim(self.crops(self.clean))

    def crops(self, pictures: Tensor, wobble: Tensor | None = None) -> Tensor:
        """Return the aligned crops of a batch of changed regions, differentiably.

        `wobble` (N x 4: turn in radians, logarithm of scale, shift right and down in pixels) says
        how far each alignment is off.
        """
        points = self._points if wobble is None else _wobbled(self._points, wobble)
        height, width = pictures.shape[-2:]
        last = points.new_tensor([width - 1, height - 1]).clamp(min=1)
        return nn.functional.grid_sample(
            pictures,
            2 * points / last - 1,
            mode="bilinear",
            padding_mode="zeros",
            align_corners=True,
        )

    def visibility(self, pictures: Tensor) -> Tensor:
        """Return the larger of the DSSIMs in the working region and in the crop, N."""
        return torch.maximum(self._at_photo(pictures), self._at_crop(self.crops(pictures)))

    def parts(self, pictures: Tensor) -> list[Tensor]:
        """Return each region of a batch without its padding."""
        return [
            picture[:, :height, :width]
            for picture, (height, width) in zip(pictures, self._sizes, strict=True)
        ]


def _wobbled(points: Tensor, wobble: Tensor) -> Tensor:
    """Return sampling points N x h x w x 2 turned and scaled about their centre, and shifted."""
    turn, scale, right, down = wobble[:, :, None, None].unbind(dim=1)
    centre = points.mean(dim=(1, 2), keepdim=True)
    x, y = (points - centre).unbind(dim=-1)
    cos, sin = scale.exp() * turn.cos(), scale.exp() * turn.sin()
    moved = torch.stack([x * cos - y * sin + right, x * sin + y * cos + down], dim=-1)
    return moved + centre


def _padded(picture: Tensor, height: int, width: int) -> Tensor:
    below, right = height - picture.shape[-2], width - picture.shape[-1]
    return nn.functional.pad(picture, (0, right, 0, below))
