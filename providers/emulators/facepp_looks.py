"""What Face++ tells of a face: its rectangle, landmarks and attributes.

Measured here: the five landmarks, headpose, blur and facequality. Every other attribute that a
client asks for has a fixed value of the documented shape, so that it can be read; it says nothing
about the face.
"""

import math
from collections.abc import Mapping
from typing import Any

from audit.types import RecognisedFace
from providers.emulators.appearance import appearance
from providers.emulators.facepp_wire import Fields, bad, whole_number

_BLUR_THRESHOLD = 50.0
_QUALITY_THRESHOLD = 70.1
_EYE = {
    "occlusion": 0.0,
    "no_glass_eye_open": 100.0,
    "no_glass_eye_close": 0.0,
    "normal_glass_eye_open": 0.0,
    "normal_glass_eye_close": 0.0,
    "dark_glasses": 0.0,
}
_GAZE = {
    "position_x_coordinate": 0.5,
    "position_y_coordinate": 0.5,
    "vector_x_component": 0.0,
    "vector_y_component": 0.0,
    "vector_z_component": 1.0,
}
_EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_NOT_MEASURED: Mapping[str, Any] = {
    "gender": {"value": "Female"},
    "age": {"value": 30},
    "smiling": {"value": 0.0, "threshold": 50.0},
    "glass": {"value": "None"},
    "eyestatus": {"left_eye_status": _EYE, "right_eye_status": _EYE},
    "emotion": {name: 100.0 if name == "neutral" else 0.0 for name in _EMOTIONS},
    "ethnicity": {"value": ""},
    "beauty": {"male_score": 50.0, "female_score": 50.0},
    "mouthstatus": {
        "close": 100.0,
        "open": 0.0,
        "surgical_mask_or_respirator": 0.0,
        "other_occlusion": 0.0,
    },
    "eyegaze": {"left_eye_gaze": _GAZE, "right_eye_gaze": _GAZE},
    "skinstatus": {"health": 50.0, "stain": 0.0, "acne": 0.0, "dark_circle": 0.0},
}
_MEASURED = ("headpose", "blur", "facequality")
_NAME_IN_ANSWER = {"smiling": "smile"}
_LANDMARKS = (
    ("left_eye_center", "left_eye_pupil"),
    ("right_eye_center", "right_eye_pupil"),
    ("nose_tip",),
    ("mouth_left_corner",),
    ("mouth_right_corner",),
)


def square(face: RecognisedFace) -> dict[str, int]:
    """Return the square, in pixels, that Face++ draws around a face: as large as the box."""
    side = round(math.sqrt(face.width * face.height))
    return {
        "top": max(0, face.top + (face.height - side) // 2),
        "left": max(0, face.left + (face.width - side) // 2),
        "width": side,
        "height": side,
    }


def looks(image: bytes, face: RecognisedFace) -> dict[str, Any]:
    """Measure all that answers may tell of a face of a picture that can be decoded."""
    seen = appearance(image, face)
    blur = {"value": round(100 * (1 - seen.sharpness), 3), "threshold": _BLUR_THRESHOLD}
    frontal = math.cos(math.radians(seen.yaw)) * math.cos(math.radians(seen.pitch))
    return {
        "face_rectangle": square(face),
        "landmark": {
            name: {"x": round(x), "y": round(y)}
            for names, (x, y) in zip(_LANDMARKS, face.landmarks, strict=False)
            for name in names
        },
        "headpose": {
            "pitch_angle": round(seen.pitch, 6),
            "roll_angle": round(seen.roll, 6),
            "yaw_angle": round(seen.yaw, 6),
        },
        "blur": dict.fromkeys(("blurness", "motionblur", "gaussianblur"), blur),
        "facequality": {
            "value": round(100 * seen.sharpness * frontal, 3),
            "threshold": _QUALITY_THRESHOLD,
        },
    }


def wanted(fields: Fields) -> tuple[int, list[str]]:
    """Return the landmark set (0 = none, 1 = 83 points, 2 = 106) and attributes asked for."""
    landmark = whole_number(fields, "return_landmark", default=0, low=0, high=2)
    names = [name.strip() for name in (fields.text("return_attributes") or "none").split(",")]
    attributes = [name for name in names if name not in {"", "none"}]
    if not set(attributes) <= {*_MEASURED, *_NOT_MEASURED}:
        raise bad("return_attributes")
    return landmark, attributes


def analysis(seen: Mapping[str, Any], landmark: int, attributes: list[str]) -> dict[str, Any]:
    """Return what was asked for of a face's looks. Both landmark sets have the same five points."""
    told: dict[str, Any] = {"landmark": seen["landmark"]} if landmark else {}
    if attributes:
        told["attributes"] = {
            _NAME_IN_ANSWER.get(name, name): seen[name]
            if name in _MEASURED
            else _NOT_MEASURED[name]
            for name in attributes
        }
    return told
