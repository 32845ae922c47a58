"""What a tracker does to every photo before it uses it (Fawkes, 2020, section 8.1).

A transform is written `name:value`, a chain of them `blur:1+jpeg:30`, carried out from left to
right. The same bytes always become the same bytes: noise is drawn from a seed that is their hash.
A photo keeps its size, but for `crop`, so that the face stays as large as the service wants it.

`augment` changes no photo: it is more copies of each photo that is enrolled, as `of_copy` has them.
"""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter, ImageOps

JOINED_BY = "+"
_AUGMENT = "augment"
_PNG_COMPRESSION = 1  # of 9: what noise adds doesn't compress anyway


class _Transform(NamedTuple):
    """How a picture is changed, which values it takes, and in words."""

    change: Callable[[Image.Image, float], Image.Image]
    least: float
    most: float
    expected: str


def apply(photo: bytes, transforms: Sequence[str]) -> bytes:
    """Return an upright RGB picture, changed: a JPEG if that comes last, else a PNG.

    Without transforms the bytes themselves. `transforms` are those that `read` takes.
    """
    if not transforms:
        return photo
    with Image.open(io.BytesIO(photo)) as image:
        image.seek(0)
        picture = ImageOps.exif_transpose(image).convert("RGB")
    *first, last = transforms
    for text in first:
        picture = _changed(picture, text)
    if last.startswith("jpeg:"):
        return _jpeg(picture, read(last)[1])
    buffer = io.BytesIO()
    _changed(picture, last).save(buffer, "PNG", compress_level=_PNG_COMPRESSION)
    return buffer.getvalue()


def copies(transforms: Sequence[str]) -> int:
    """Return how many copies a tracker enrols beside each photo."""
    return max((len(_copies(text)) for text in transforms), default=1) - 1


def of_copy(transforms: Sequence[str], copy: int) -> tuple[str, ...]:
    """Return what is done to the so-manieth copy of an enrolled photo; 0 = the photo, or a probe."""
    return tuple(
        step for text in transforms for step in _copies(text)[copy * text.startswith(_AUGMENT)]
    )


def _copies(text: str) -> Sequence[tuple[str, ...]]:
    """Return what a transform does to a photo, and to each of its copies."""
    name, value = read(text)
    if name != _AUGMENT:
        return [(text,)]
    crop = f"crop:{value:g}"
    return [(), ("flip",), (crop,), (crop, "flip")]


def chain(text: str) -> tuple[str, ...]:
    """Read transforms joined by `+`, each written the shortest way; `none` is no transform.

    Raises ValueError, telling what there is, for one that can't be read.
    """
    if text.strip() == "none":
        return ()
    parts = (read(part) for part in text.split(JOINED_BY))
    return tuple(name if name == "flip" else f"{name}:{value:g}" for name, value in parts)


def read(text: str) -> tuple[str, float]:
    """Return a transform's name and value; raises ValueError, telling what there is."""
    name, _, value = text.strip().partition(":")
    found = _TRANSFORMS.get(name)
    try:
        number = float(value) if name != "flip" else float(not value)
    except ValueError:
        found = None
    if found is None or not found.least <= number <= found.most:
        known = "; ".join(each.expected for each in _TRANSFORMS.values())
        raise ValueError(f"{text!r} is no transform: there are {known}")
    if name in ("jpeg", "median") and number % 1:
        raise ValueError(f"{text!r} is no transform: {_TRANSFORMS[name].expected}")
    if name == "median" and not number % 2:
        raise ValueError(f"{text!r} is no transform: {_TRANSFORMS[name].expected}")
    return name, number


def _changed(picture: Image.Image, text: str) -> Image.Image:
    name, value = read(text)
    return _TRANSFORMS[name].change(picture, value)


def _jpeg(picture: Image.Image, quality: float) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(quality))
    return buffer.getvalue()


def _through_jpeg(picture: Image.Image, quality: float) -> Image.Image:
    return Image.open(io.BytesIO(_jpeg(picture, quality))).convert("RGB")


def _shrunk(picture: Image.Image, factor: float) -> Image.Image:
    """Make a picture smaller (Lanczos) and as large as it was again (bicubic)."""
    small = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(small, Image.Resampling.LANCZOS).resize(
        picture.size, Image.Resampling.BICUBIC
    )


def _noisy(picture: Image.Image, sigma: float) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    seed = hashlib.sha256(pixels.tobytes()).digest()
    noise = np.random.default_rng(list(seed)).standard_normal(pixels.shape, np.float32)
    return Image.fromarray((pixels + sigma * noise).round().clip(0, 255).astype(np.uint8))


def _cropped(picture: Image.Image, share: float) -> Image.Image:
    width, height = (max(1, round(side * share)) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


_TRANSFORMS: Mapping[str, _Transform] = {
    "jpeg": _Transform(_through_jpeg, 5, 95, "jpeg:QUALITY, 5 to 95"),
    "resize": _Transform(_shrunk, 0.05, 1, "resize:FACTOR, 0.05 to 1, and back to the old size"),
    "blur": _Transform(
        lambda picture, sigma: picture.filter(ImageFilter.GaussianBlur(sigma)),
        0, 50, "blur:SIGMA in pixels, 0 to 50",
    ),
    "noise": _Transform(_noisy, 0, 128, "noise:SIGMA in levels of 255, 0 to 128"),
    "crop": _Transform(_cropped, 0.2, 1, "crop:SHARE of each side that is kept, 0.2 to 1"),
    "flip": _Transform(lambda picture, _: ImageOps.mirror(picture), 1, 1, "flip"),
    _AUGMENT: _Transform(
        lambda picture, _: picture,
        0.2, 1, "augment:SHARE, enrolled photos also mirrored, cropped, and both, 0.2 to 1",
    ),
    "median": _Transform(
        lambda picture, size: picture.filter(ImageFilter.MedianFilter(int(size))),
        3, 15, "median:SIZE in pixels, odd, 3 to 15 (denoising)",
    ),
}  # fmt: skip
