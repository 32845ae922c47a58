"""The saved photo: a PNG, and what the cloak changed in it, measured on the decoded file."""

import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from cloaker.faces import Pixels
from cloaker.geometry import Box, planes
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
    source: Pixels,
    cloaked: Pixels,
    faces: Sequence[FaceRegion],
    networks: Sequence[EmbeddingNetwork],
) -> Figures:
    """Measure a decoded cloaked photo against its source; DSSIM and shift of the worst face."""
    seen = [face.visibility(face.cut(cloaked)) for face in faces]
    difference = cloaked.astype(np.float64) - source
    shifts = [
        max(_shift(face, face.cut(cloaked), network) for face in faces) for network in networks
    ]
    return Figures(
        dssim=max(at_photo for at_photo, _ in seen),
        dssim_crop=max(at_crop for _, at_crop in seen),
        dssim_photo=_dssim_of_photo(source, cloaked, faces),
        l2=float(np.sqrt(np.square(difference).sum())),
        linf=float(np.abs(difference).max()),
        embedding_shift=sum(shifts) / len(shifts),
    )


def _shift(face: FaceRegion, region: Tensor, network: EmbeddingNetwork) -> float:
    crops = [face.aligned(part, network.crop) for part in (face.clean, region)]
    clean, moved = network.embed(torch.stack(crops))
    return float(torch.linalg.vector_norm(moved - clean))


def _dssim_of_photo(source: Pixels, cloaked: Pixels, faces: Sequence[FaceRegion]) -> float:
    # Windows that miss the faces have a DSSIM of exactly 0, so only the others are computed.
    height, width = source.shape[:2]
    box = functools.reduce(Box.joined, (face.box for face in faces))
    box = box.grown(WINDOW_PX - 1, height, width)
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
