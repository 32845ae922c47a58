"""The 27 points of a face that Azure Face tells, of which five are measured here.

Measured are pupils, nose tip and mouth corners. The other 22 are derived from them: each lies at a
fixed offset from the measured point (or the mouth's middle) nearest to it, in a frame spanned by
the line from pupil to pupil and the one from the eyes' middle to the mouth's. The offsets are those
of an upright face at rest, as seen in a few photos. They turn and grow with the face, and show no
expression.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from audit.types import RecognisedFace

_MEASURED = ("pupilLeft", "pupilRight", "noseTip", "mouthLeft", "mouthRight")
_IN_A_FRONTAL_FACE = ((0.31, 0.4), (0.69, 0.4), (0.5, 0.6), (0.35, 0.77), (0.65, 0.77))
"""Where the measured points would be in the face's box, for a recogniser that has none."""

_ONE_SIDE: Mapping[str, tuple[str, float, float]] = {
    "eyebrow{side}Outer": ("pupil{side}", -0.43, -0.05),
    "eyebrow{side}Inner": ("pupil{side}", 0.31, -0.17),
    "eye{side}Outer": ("pupil{side}", -0.17, 0.03),
    "eye{side}Top": ("pupil{side}", 0.0, -0.06),
    "eye{side}Bottom": ("pupil{side}", 0.0, 0.05),
    "eye{side}Inner": ("pupil{side}", 0.17, 0.01),
    "noseRoot{side}": ("noseTip", -0.13, -0.45),
    "nose{side}AlarTop": ("noseTip", -0.21, -0.12),
    "nose{side}AlarOutTip": ("noseTip", -0.33, 0.06),
}
"""Name, nearest point, and offset as fractions of the two spans; at the right, across is mirrored."""

_MIDDLE: Mapping[str, tuple[str, float, float]] = {
    "upperLipTop": ("mouth", 0.0, -0.13),
    "upperLipBottom": ("mouth", 0.0, -0.03),
    "underLipTop": ("mouth", 0.0, 0.02),
    "underLipBottom": ("mouth", 0.0, 0.14),
}


def landmarks(face: RecognisedFace) -> dict[str, dict[str, float]]:
    """Return the 27 points by name, x and y in pixels; left and right are the photo's."""
    points = dict(zip(_MEASURED, map(np.asarray, _five_points(face)), strict=True))
    mouth = (points["mouthLeft"] + points["mouthRight"]) / 2
    across = points["pupilRight"] - points["pupilLeft"]
    down = mouth - (points["pupilLeft"] + points["pupilRight"]) / 2
    nearest = points | {"mouth": mouth}
    for name, (anchor, sideways, along) in _OFFSETS.items():
        points[name] = nearest[anchor] + sideways * across + along * down
    return {
        name: {"x": round(float(x), 1), "y": round(float(y), 1)} for name, (x, y) in points.items()
    }


def _five_points(face: RecognisedFace) -> Sequence[tuple[float, float]]:
    if len(face.landmarks) == len(_MEASURED):
        return face.landmarks
    return [(face.left + x * face.width, face.top + y * face.height) for x, y in _IN_A_FRONTAL_FACE]


def _both_sides() -> dict[str, tuple[str, float, float]]:
    return {
        name.format(side=side): (anchor.format(side=side), sign * sideways, along)
        for side, sign in (("Left", 1), ("Right", -1))
        for name, (anchor, sideways, along) in _ONE_SIDE.items()
    }


_OFFSETS = _both_sides() | dict(_MIDDLE)
