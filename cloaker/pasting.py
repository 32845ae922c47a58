"""The saved photo: a PNG, and what the cloak changed in it, measured on the decoded file."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cloaker.faces import Pixels
from cloaker.geometry import planes
from cloaker.networks.base import EmbeddingNetwork
from cloaker.perceptual import WINDOW_PX, dssim
from cloaker.region import FaceRegion


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
