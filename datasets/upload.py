"""Making a photo's bytes fit what a service takes; what fits is sent as it is."""

import io
from collections.abc import Sequence

from PIL import Image, ImageOps

_JPEG_QUALITIES = (95, 90, 85)
_SHRINK = 0.8


def fit(data: bytes, *, formats: Sequence[str], bytes_max: int, side_max_px: int) -> bytes:
    """Return `data` itself if a service takes it, else the same picture within its limits.

    A picture is changed as little as possible: re-encoded as PNG, as JPEG if that is too large,
    and made smaller only if even that is too large or its longer side exceeds `side_max_px`.
    """
    with Image.open(io.BytesIO(data)) as image:
        if image.format in formats and len(data) <= bytes_max and max(image.size) <= side_max_px:
            return data
        image.seek(0)
        picture = ImageOps.exif_transpose(image).convert("RGB")
    picture.thumbnail((side_max_px, side_max_px), Image.Resampling.LANCZOS)
    while True:
        for encoded in _encodings(picture):
            if len(encoded) <= bytes_max:
                return encoded
        smaller = (round(picture.width * _SHRINK), round(picture.height * _SHRINK))
        picture = picture.resize(smaller, Image.Resampling.LANCZOS)


def _encodings(picture: Image.Image) -> list[bytes]:
    """Return a PNG and JPEGs of falling quality; every service takes both formats."""
    options: list[tuple[str, dict[str, int]]] = [("PNG", {})]
    options += [("JPEG", {"quality": quality, "subsampling": 0}) for quality in _JPEG_QUALITIES]
    encoded = []
    for name, settings in options:
        buffer = io.BytesIO()
        picture.save(buffer, name, **settings)
        encoded.append(buffer.getvalue())
    return encoded
