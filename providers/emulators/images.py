"""What can be said of an uploaded picture before anyone looks for faces in it."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """A picture's format and size. `format` is Pillow's name for it."""

    format: str
    width: int
    height: int


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
