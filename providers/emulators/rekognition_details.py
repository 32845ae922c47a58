"""What Rekognition tells of a face beside who it is, and which faces its quality filter drops.

BoundingBox, Confidence, Landmarks, Pose and Quality are measured. Every other attribute is a
neutral placeholder with a confidence of 50 or so: nobody here looks for age, glasses or emotions.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.types import RecognisedFace
from providers.emulators.appearance import Appearance, appearance
from providers.emulators.rekognition_images import Photo

_LANDMARKS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")
_UNSURE = 50.0
_EMOTIONS = ("CALM", "HAPPY", "SAD", "ANGRY", "CONFUSED", "DISGUSTED", "SURPRISED", "FEAR")


@dataclass(frozen=True, slots=True)
class Bar:
    """What a face must reach: pixels, degrees off the frontal pose, and shares of 1."""

    side_px: int
    angle_max: float
    brightness: float
    sharpness: float
    confidence: float


_BARS: Mapping[str, Bar] = {
    "LOW": Bar(40, 70.0, 0.06, 0.01, 0.50),
    "MEDIUM": Bar(45, 60.0, 0.10, 0.02, 0.80),
    "HIGH": Bar(60, 45.0, 0.20, 0.10, 0.95),
}
"""Amazon tells which reasons there are, not where its bars lie; AUTO is taken to be MEDIUM."""


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face of a photo, and how it looks."""

    photo: Photo
    face: RecognisedFace
    appearance: Appearance

    def detail(self, attributes: Sequence[str] = ()) -> dict[str, Any]:
        """Return the FaceDetail with the attributes asked for beside the default ones."""
        looks, width, height = self.appearance, self.photo.width, self.photo.height
        points = zip(_LANDMARKS, self.face.landmarks, strict=False)
        detail: dict[str, Any] = {
            "BoundingBox": self.photo.box(self.face),
            "Confidence": 100 * self.face.confidence,
            "Landmarks": [
                {"Type": name, "X": x / width, "Y": y / height} for name, (x, y) in points
            ],
            "Pose": {"Roll": looks.roll, "Yaw": looks.yaw, "Pitch": looks.pitch},
            "Quality": {"Brightness": 100 * looks.brightness, "Sharpness": 100 * looks.sharpness},
        }
        if "ALL" in attributes:
            return {**detail, **_PLACEHOLDERS}
        asked = {_MEMBERS[attribute] for attribute in attributes if attribute in _MEMBERS}
        return detail | {name: value for name, value in _PLACEHOLDERS.items() if name in asked}

    def flaws(self, quality_filter: str) -> list[str]:
        """Return for which Reasons a quality filter drops this face."""
        if quality_filter == "NONE":
            return []
        bar = _BARS["MEDIUM" if quality_filter == "AUTO" else quality_filter]
        looks = self.appearance
        flaws = {
            "EXTREME_POSE": max(map(abs, (looks.yaw, looks.pitch))) > bar.angle_max,
            "LOW_BRIGHTNESS": looks.brightness < bar.brightness,
            "LOW_SHARPNESS": looks.sharpness < bar.sharpness,
            "LOW_CONFIDENCE": self.face.confidence < bar.confidence,
            "SMALL_BOUNDING_BOX": min(self.face.width, self.face.height) < bar.side_px,
        }
        return [reason for reason, is_so in flaws.items() if is_so]


async def look(photo: Photo) -> list[SeenFace]:
    """Return a photo's faces and how they look, away from the event loop."""
    return await asyncio.to_thread(
        lambda: [SeenFace(photo, face, appearance(photo.data, face)) for face in photo.faces]
    )


def _guess(value: object) -> dict[str, Any]:
    return {"Value": value, "Confidence": _UNSURE}


_PLACEHOLDERS: Mapping[str, Any] = {
    "AgeRange": {"Low": 18, "High": 60},
    "Smile": _guess(False),
    "Eyeglasses": _guess(False),
    "Sunglasses": _guess(False),
    "Gender": _guess("Female"),
    "Beard": _guess(False),
    "Mustache": _guess(False),
    "EyesOpen": _guess(True),
    "MouthOpen": _guess(False),
    "Emotions": [{"Type": name, "Confidence": 100 / len(_EMOTIONS)} for name in _EMOTIONS],
    "FaceOccluded": _guess(False),
    "EyeDirection": {"Yaw": 0.0, "Pitch": 0.0, "Confidence": _UNSURE},
}
_MEMBERS: Mapping[str, str] = {
    "AGE_RANGE": "AgeRange",
    "BEARD": "Beard",
    "EMOTIONS": "Emotions",
    "EYE_DIRECTION": "EyeDirection",
    "EYEGLASSES": "Eyeglasses",
    "EYES_OPEN": "EyesOpen",
    "GENDER": "Gender",
    "MOUTH_OPEN": "MouthOpen",
    "MUSTACHE": "Mustache",
    "FACE_OCCLUDED": "FaceOccluded",
    "SMILE": "Smile",
    "SUNGLASSES": "Sunglasses",
}
