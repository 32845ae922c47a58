"""The saved photo: a PNG, and what the cloak changed in it, measured on the decoded file."""

import functools
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from cloaker.faces import Pixels
from cloaker.geometry import Box, align, planes, similarity
from cloaker.networks.base import EmbeddingNetwork, Points
from cloaker.perceptual import WINDOW_PX, dssim
from cloaker.region import FaceRegion

_STRIP_ROWS = 64
_COMPRESS_LEVEL = 3  # of photos: 2.4 times as fast as zlib's own 6, and 1 % larger


class Carried(Protocol):
    """What a photo's file holds beside its RGB pixels, and its cloaked copy keeps.

    `rgba` are a transparent photo's pixels, uint8 height x width x 4; None for an opaque one.
    """

    @property
    def rgba(self) -> Pixels | None: ...

    @property
    def icc_profile(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """What a cloak changed; the fields are those of `audit.types.CloakedPhoto`."""

    dssim: float
    dssim_crop: float
    dssim_photo: float
    l2: float
    linf: float
    embedding_shift: float
    embedding_shifts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CloakedFace:
    """A face of a photo: its landmarks, and its region before it was cloaked."""

    landmarks: Points
    region: FaceRegion


def measure(
    source: Pixels,
    cloaked: Pixels,
    faces: Sequence[CloakedFace],
    networks: Sequence[EmbeddingNetwork],
    judges: Sequence[EmbeddingNetwork] = (),
) -> Figures:
    """Measure a decoded cloaked photo against its source; DSSIM and shift of the worst face.

    `networks` are those that the cloak was computed with, `judges` others that are asked too.
    """
    seen = [face.region.visibility(face.region.cut(cloaked)) for face in faces]
    box = functools.reduce(Box.joined, (face.region.box for face in faces))
    l2, linf = _sizes(*(box.of(planes(pixels)) for pixels in (source, cloaked)))
    shifts = {
        network.name: max(_shift(source, cloaked, face, network) for face in faces)
        for network in (*networks, *judges)
    }
    own = [shifts[network.name] for network in networks]
    return Figures(
        dssim=max(at_photo for at_photo, _ in seen),
        dssim_crop=max(at_crop for _, at_crop in seen),
        dssim_photo=_dssim_of_photo(source, cloaked, box),
        l2=l2,
        linf=linf,
        embedding_shift=sum(own) / len(own),
        embedding_shifts=shifts,
    )


def _sizes(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Return the Euclidean and the largest change of pixels, uint8 3 x height x width."""
    squares, largest = 0, 0
    strips = (torch.split(pixels, _STRIP_ROWS, dim=1) for pixels in (before, after))
    for old, new in zip(*strips, strict=True):
        change = new.int() - old.int()
        squares += int(change.square().sum())
        largest = max(largest, int(change.abs().max()))
    return math.sqrt(squares), float(largest)


def _shift(source: Pixels, cloaked: Pixels, face: CloakedFace, network: EmbeddingNetwork) -> float:
    crop, device = network.crop, face.region.clean.device
    matrix = similarity(face.landmarks, crop.points)
    crops = [align(planes(pixels), matrix, crop).to(device) for pixels in (source, cloaked)]
    clean, moved = network.embed(torch.stack(crops))
    return float(torch.linalg.vector_norm(moved - clean))


def _dssim_of_photo(source: Pixels, cloaked: Pixels, changed: Box) -> float:
    # Windows that miss the faces have a DSSIM of exactly 0, so only the others are computed.
    height, width = source.shape[:2]
    box = changed.grown(WINDOW_PX - 1, height, width)
    parts = (box.of(planes(pixels))[None] for pixels in (cloaked, source))
    edge = WINDOW_PX - 1
    windows, of = (
        h * w for h, w in ((box.height - edge, box.width - edge), (height - edge, width - edge))
    )
    return float(dssim(*parts)) * windows / of


def picture_of(source: Pixels, cloaked: Pixels, carried: Carried | None) -> Image.Image:
    """Return a cloaked photo, as transparent as its source's file.

    Both photos are RGB, on white where the file is transparent.
    """
    if carried and carried.rgba is not None:
        cloaked = _transparent(source, cloaked, carried.rgba)
    return Image.fromarray(cloaked)


def encode_png(picture: Image.Image, carried: Carried | None, text: Mapping[str, str]) -> bytes:
    """Return a picture as PNG, with its source's ICC profile, the given text, and no other."""
    info = PngInfo()
    for name, value in text.items():
        info.add_text(name, value)
    profile = carried.icc_profile if carried else b""
    stream = io.BytesIO()
    picture.save(
        stream,
        format="PNG",
        pnginfo=info,
        icc_profile=profile or None,
        compress_level=_COMPRESS_LEVEL,
    )
    return stream.getvalue()


def _transparent(source: Pixels, cloaked: Pixels, rgba: Pixels) -> Pixels:
    """Return the RGBA pixels that show a change when they lie on white."""
    result = rgba.copy()
    changed = (source != cloaked).any(axis=2) & (rgba[..., 3] > 0)
    opacity = rgba[changed][:, 3:] / 255
    change = (cloaked[changed].astype(np.float64) - source[changed]) / opacity
    result[changed, :3] = np.clip(np.rint(rgba[changed][:, :3] + change), 0, 255)
    return result


def decode_png(data: bytes) -> Pixels:
    """Return the pixels of a PNG, height x width x 3 RGB, on white where it is transparent."""
    with Image.open(io.BytesIO(data)) as picture:
        if picture.has_transparency_data:
            colour = picture.convert("RGBA")
            white = Image.new("RGBA", colour.size, "white")
            return _array(Image.alpha_composite(white, colour).convert("RGB"))
        return _array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _array(rgb: Image.Image) -> Pixels:
    """Return a picture's pixels, copied some rows at a time: at once it takes them three times."""
    pixels = np.empty((rgb.height, rgb.width, 3), dtype=np.uint8)
    for top in range(0, rgb.height, _STRIP_ROWS):
        rows = pixels[top : top + _STRIP_ROWS]
        rows[:] = np.asarray(rgb.crop((0, top, rgb.width, top + len(rows))))
    return pixels
