"""What a photo's file holds beside the RGB pixels that are read of it, for copies that keep it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from audit.types import Photo
from datasets.photos import quiet

_COLOUR_SPACE = slice(16, 20)  # ICC.1:2022, 7.2.6


@dataclass(frozen=True, slots=True)
class Carried:
    """A photo's upright pixels with their opacity, uint8 height x width x 4, and its ICC profile.

    `rgba` is None for an opaque photo; `icc_profile` is empty where there is none, or one that is
    not for RGB.
    """

    rgba: NDArray[np.uint8] | None
    icc_profile: bytes


def carried(photo: Photo) -> Carried:
    """Return what the file of a photo holds that `photos.pixels` leaves behind.

    The photo is one that `photos.pixels` could read.
    """
    with quiet(), Image.open(photo.path) as image:
        image.seek(0)
        profile = image.info.get("icc_profile") or b""
        is_rgb = profile[_COLOUR_SPACE] == b"RGB "
        rgba = _rgba(image) if image.has_transparency_data else None
    return Carried(rgba, profile if is_rgb else b"")


def _rgba(image: Image.Image) -> NDArray[np.uint8] | None:
    rgba = np.array(ImageOps.exif_transpose(image).convert("RGBA"))
    return None if (rgba[..., 3] == 255).all() else rgba
