"""What can be said of an uploaded picture before anyone looks for faces in it."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image

_FULL_HD = (1920, 1080)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """A picture's format and size. `format` is Pillow's name for it."""

    format: str
    width: int
    height: int


def smallest_face_px(width: int, height: int, side_px: int) -> float:
    """Return the smallest side of a face that a service finds in a picture.

    That is `side_px` up to 1920 x 1080, in proportion beyond (Azure: REST reference, Detect;
    Rekognition: developer guide, "Guidelines and quotas").
    """
    sides = sorted((width, height), reverse=True)
    return side_px * max(1.0, *(side / full for side, full in zip(sides, _FULL_HD, strict=True)))


def read_header(data: bytes) -> ImageHeader | None:
    """Return what a picture's header says; None if it is no picture."""
    try:
        with warnings.catch_warnings():
            # A huge picture is refused by its size; it is never decoded here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                return ImageHeader(image.format or "", *image.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
