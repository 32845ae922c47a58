"""What services tell of a face beside who it is: pose, brightness, sharpness.

Measured from five landmarks and the pixels, in place of the services' own networks: good enough
for clients that read these fields, no part of recognition. Everything else that services tell
(age, glasses, emotions) is not measured here.
"""

import io
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps

from audit.types import RecognisedFace

_SHARP_VARIANCE = 500.0
"""Variance of the Laplacian of a well-focused face, in squared grey levels."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """Angles in degrees, as the photo's viewer sees them; brightness and sharpness 0..1."""

    yaw: float
    pitch: float
    roll: float
    brightness: float
    sharpness: float


def appearance(image: bytes, face: RecognisedFace) -> Appearance:
    """Return how a face of a photo (file bytes that can be decoded) looks."""
    grey = _pixels(_grey(image), face)
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    variance = float(np.var(around - 4 * inner)) if inner.size else 0.0
    return Appearance(
        *_pose(face),
        brightness=float(grey.mean()) / 255,
        sharpness=min(1.0, variance / _SHARP_VARIANCE),
    )


@lru_cache(maxsize=1)  # the faces of a photo are looked at one after another
def _grey(image: bytes) -> Image.Image:
    with Image.open(io.BytesIO(image)) as opened:
        return ImageOps.exif_transpose(opened).convert("L")


def _pixels(
    photo: Image.Image, face: RecognisedFace
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    box = (face.left, face.top, face.left + max(face.width, 1), face.top + max(face.height, 1))
    crop = photo.crop(box)
    return np.asarray(crop, np.float64).reshape(crop.height, crop.width)


def _pose(face: RecognisedFace) -> tuple[float, float, float]:
    """Return yaw, pitch and roll; 0 without landmarks.

    Roll is the slope of the eyes. In a frontal face the nose tip lies midway between the eyes and
    a bit over half-way from eyes to mouth; how far it is off tells yaw and pitch.
    """
    if len(face.landmarks) != 5:
        return 0.0, 0.0, 0.0
    left, right, nose, mouth_left, mouth_right = (np.array(point) for point in face.landmarks)
    across = right - left
    eyes = (left + right) / 2
    down = (mouth_left + mouth_right) / 2 - eyes
    distance, height = math.hypot(*across), math.hypot(*down)
    if not distance or not height:
        return 0.0, 0.0, 0.0
    sideways = float((nose - eyes) @ across) / distance**2
    along = float((nose - eyes) @ down) / height**2
    return (
        math.degrees(math.asin(max(-1.0, min(1.0, 1.5 * sideways)))),
        math.degrees(math.asin(max(-1.0, min(1.0, 1.5 * (0.58 - along))))),
        math.degrees(math.atan2(across[1], across[0])),
    )
