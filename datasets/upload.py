"""Making a photo's bytes fit what a service takes; what fits is sent as it is."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

_JPEG_QUALITIES = (95, 90, 85)
_SHRINK = 0.8
_FACE_MARGIN = 1.15
"""A service's box of a face is not the one measured here: enlarged faces get this much more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service takes: Pillow's format names, bytes, and sides of picture and face."""

    formats: Sequence[str]
    bytes_max: int
    side_min_px: int = 1
    side_max_px: int = 100_000
    face_side_min_px: int = 1


def fit(data: bytes, limits: Limits, face_side_px: float | None = None) -> tuple[bytes, str]:
    """Return `data` itself if a service takes it, else the same picture within its limits.

    The second value says what was changed, "" if nothing was. A picture is changed as little as
    possible: made larger (bicubic) only if its face, `face_side_px` at the shorter side, or
    itself is below the smallest size, made smaller (Lanczos) only if it is above the largest;
    then encoded as PNG, as JPEG if that is too large, and made smaller still if even that is.
    """
    with Image.open(io.BytesIO(data)) as image:
        scale = _scale(image.size, limits, face_side_px)
        if image.format in limits.formats and len(data) <= limits.bytes_max and scale == 1:
            return data, ""
        image.seek(0)
        picture = ImageOps.exif_transpose(image).convert("RGB")
    size = picture.size
    if scale != 1:
        picture = _resized(picture, scale)
    while True:
        for encoded, how in _encodings(picture):
            if len(encoded) <= limits.bytes_max:
                return encoded, _said(size, picture.size, how)
        picture = _resized(picture, _SHRINK)


def _scale(size: tuple[int, int], limits: Limits, face_side_px: float | None) -> float:
    """Return by how much a picture has to be resized; the largest side goes before a face."""
    scale = max(1.0, limits.side_min_px / min(size))
    if face_side_px and face_side_px < limits.face_side_min_px:
        scale = max(scale, _FACE_MARGIN * limits.face_side_min_px / face_side_px)
    return min(scale, limits.side_max_px / max(size))


def _resized(picture: Image.Image, scale: float) -> Image.Image:
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    method = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    return picture.resize(size, method)


def _said(before: tuple[int, int], after: tuple[int, int], how: str) -> str:
    """Say what was done to a picture."""
    resized = f"resized from {before[0]}x{before[1]} to {after[0]}x{after[1]}, "
    return f"{resized if before != after else ''}encoded as {how}"


def _encodings(picture: Image.Image) -> list[tuple[bytes, str]]:
    """Return a PNG and JPEGs of falling quality; every service takes both formats."""
    options: list[tuple[str, dict[str, int]]] = [("PNG", {})]
    options += [("JPEG", {"quality": quality, "subsampling": 0}) for quality in _JPEG_QUALITIES]
    encoded = []
    for name, settings in options:
        buffer = io.BytesIO()
        picture.save(buffer, name, **settings)
        quality = f" of quality {settings['quality']}" if settings else ""
        encoded.append((buffer.getvalue(), f"{name}{quality}"))
    return encoded
