"""From a crop's change to the saved photo: the budget is held, and measured, in whole pixels."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from cloaker.faces import Pixels
from cloaker.geometry import Similarity, align, footprint, paste, planes, shifted
from cloaker.networks.base import Crop, EmbeddingNetwork
from cloaker.perceptual import WINDOW_PX, Dssim, dssim

_HALVINGS = 7


class FaceRegion:
    """The box of a photo that a face's crop covers, and how visible a change of it is.

    Boxes smaller than SSIM's window are grown by a window on all sides.
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

    def pasted(self, delta: Tensor, budget: float) -> Tensor:
        """Return the region with a change of the crop, in whole pixel values.

        The change is scaled down as far as keeping both DSSIMs within the budget demands.
        """
        change = paste(delta, self._matrix, self.box.local)
        # Interpolation blurs the change there and back; one correction recovers most of it.
        lost = delta - self.aligned(change)
        change += paste(lost, self._matrix, self.box.local)

        def changed(factor: float) -> Tensor:
            return (self.clean + factor * change).round().clamp(0, 255)

        factor = _largest(lambda part: max(self.visibility(changed(part))) <= budget)
        return changed(factor)

    def put(self, pixels: Pixels, region: Tensor) -> Pixels:
        """Return a copy of a photo with the region in its place."""
        photo = np.array(pixels)
        self.box.of(planes(photo)).copy_(region)
        return photo


def _largest(fits: Callable[[float], bool]) -> float:
    # The largest fitting factor in 0..1, by bisection; 0 always fits.
    low, high = 0.0, 1.0
    if fits(high):
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class Figures:
    """What a cloak changed; the fields are those of `audit.types.CloakedPhoto`."""

    dssim: float
    dssim_crop: float
    dssim_photo: float
    l2: float
    linf: float
    embedding_shift: float


def measure(
    source: Pixels, cloaked: Pixels, face: FaceRegion, network: EmbeddingNetwork
) -> Figures:
    """Measure a decoded cloaked photo against its source."""
    region = face.cut(cloaked)
    at_photo, at_crop = face.visibility(region)
    difference = cloaked.astype(np.float64) - source
    crops = torch.stack([face.aligned(face.clean), face.aligned(region)])
    clean, moved = network.embed(crops)
    return Figures(
        dssim=at_photo,
        dssim_crop=at_crop,
        dssim_photo=_dssim_of_photo(source, cloaked, face),
        l2=float(np.sqrt(np.square(difference).sum())),
        linf=float(np.abs(difference).max()),
        embedding_shift=float(torch.linalg.vector_norm(moved - clean)),
    )


def _dssim_of_photo(source: Pixels, cloaked: Pixels, face: FaceRegion) -> float:
    # Windows that miss the face have a DSSIM of exactly 0, so only the others are computed.
    height, width = source.shape[:2]
    box = face.box.grown(WINDOW_PX - 1, height, width)
    parts = (box.of(planes(pixels)).float()[None] for pixels in (cloaked, source))
    edge = WINDOW_PX - 1
    windows, of = (
        h * w for h, w in ((box.height - edge, box.width - edge), (height - edge, width - edge))
    )
    return float(dssim(*parts)) * windows / of


def encode_png(pixels: Pixels, text: Mapping[str, str]) -> bytes:
    """Return a photo as PNG, with no metadata but the given text."""
    info = PngInfo()
    for name, value in text.items():
        info.add_text(name, value)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", pnginfo=info)
    return stream.getvalue()


def decode_png(data: bytes) -> Pixels:
    """Return the pixels of a PNG, height x width x 3 RGB."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture.convert("RGB"))
