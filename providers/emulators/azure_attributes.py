"""Face attributes: which may be asked for, and their values.

Head pose, blur, exposure and the quality for recognition are measured (see `appearance`). Noise,
mask, glasses, occlusion and accessories are told by nobody here: their values are those of a bare,
clean face, whatever the photo shows.
Rules: learn.microsoft.com, "Specify a face detection model" (2024-06-10) and "Azure AI Face API
error codes" (2025-08-21). Levels: REST reference v1.2.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from audit.types import RecognisedFace
from providers.emulators.appearance import Appearance, appearance
from providers.emulators.azure_wire import ServiceError, bad_argument

_BY_BOTH = frozenset(
    {"blur", "exposure", "glasses", "headPose", "occlusion", "qualityForRecognition"}
)
_BY_DETECTION_MODEL = {
    "detection_01": _BY_BOTH | {"accessories", "noise"},
    "detection_02": frozenset[str](),
    "detection_03": _BY_BOTH | {"mask"},
}
_WITHHELD = frozenset({"age", "emotion", "facialHair", "gender", "hair", "makeup", "smile"})
"""Retired (emotion, gender) or left to those whom Microsoft has approved."""

_RATES_QUALITY = {"recognition_03", "recognition_04"}
_FULL_QUALITY_PX = 200
_FAIR_QUALITY_PX = 100
"""[?] The service's own levels are unpublished; it recommends faces of 200 pixels."""


def asked_attributes(
    texts: Sequence[str], detection_model: str, recognition_model: str
) -> list[str]:
    """Return the names in comma-separated lists; raises for one that the models don't tell."""
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    known = {name.lower(): name for name in (*_VALUES, *_WITHHELD)}
    if any(name.lower() not in known for name in names):
        raise bad_argument("Invalid argument returnFaceAttributes.")
    asked = list(dict.fromkeys(known[name.lower()] for name in names))
    if not _WITHHELD.isdisjoint(asked):
        raise ServiceError(
            403,
            "UnsupportedFeature",
            "Return Attributes (emotion, gender, age, smile, facial hair, hair and makeup) have "
            "been deprecated and are no longer supported.",
        )
    if not _BY_DETECTION_MODEL[detection_model].issuperset(asked):
        raise _unsupported(detection_model)
    if "qualityForRecognition" in asked and recognition_model not in _RATES_QUALITY:
        raise _unsupported(recognition_model)
    return asked


def attributes(
    image: bytes, faces: Sequence[RecognisedFace], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the attributes asked for of each face of a photo (file bytes)."""
    looks = [appearance(image, face) for face in faces]
    return [
        {name: _VALUES[name](face, look) for name in names}
        for face, look in zip(faces, looks, strict=True)
    ]


def _unsupported(model: str) -> ServiceError:
    """[?] The service documents this text for detection_02; other models are told alike here."""
    return bad_argument(f"'returnFaceAttributes' is not supported by {model}.")


def _head_pose(_: RecognisedFace, look: Appearance) -> dict[str, float]:
    return {
        "pitch": round(look.pitch, 1),
        "roll": round(look.roll, 1),
        "yaw": round(look.yaw, 1),
    }


def _blur(_: RecognisedFace, look: Appearance) -> dict[str, Any]:
    value = round(1 - look.sharpness, 2)
    level = "low" if value < 0.25 else "medium" if value < 0.75 else "high"
    return {"blurLevel": level, "value": value}


def _exposure(_: RecognisedFace, look: Appearance) -> dict[str, Any]:
    value = round(look.brightness, 2)
    level = "underExposure" if value < 0.25 else "goodExposure" if value < 0.75 else "overExposure"
    return {"exposureLevel": level, "value": value}


def _quality(face: RecognisedFace, look: Appearance) -> str:
    side_px = min(face.width, face.height)
    if side_px >= _FULL_QUALITY_PX and look.sharpness > 0.75:
        return "high"
    return "medium" if side_px >= _FAIR_QUALITY_PX and look.sharpness > 0.25 else "low"


def _always(value: Any) -> Callable[[RecognisedFace, Appearance], Any]:
    return lambda _face, _look: value


_VALUES: Mapping[str, Callable[[RecognisedFace, Appearance], Any]] = {
    "headPose": _head_pose,
    "blur": _blur,
    "exposure": _exposure,
    "qualityForRecognition": _quality,
    "noise": _always({"noiseLevel": "low", "value": 0.0}),
    "mask": _always({"type": "noMask", "noseAndMouthCovered": False}),
    "glasses": _always("noGlasses"),
    "occlusion": _always({"foreheadOccluded": False, "eyeOccluded": False, "mouthOccluded": False}),
    "accessories": _always([]),
}
