"""The fine relief of a face: brow ridge, sockets, nose, cheeks, lips, folds."""

import numpy as np

from datasets.generated.fields import Field, gaussian, smoothstep
from datasets.generated.geometry import View
from datasets.generated.identity import Identity
from datasets.generated.scene import Expression

_SIDES = (-1.0, 1.0)


def relief(view: View, who: Identity, face: Expression) -> Field:
    """Return the height of each pixel's point, for shading."""
    round_skull = np.maximum(1 - view.inside, 0.0) ** 0.72
    height = who.head.depth * round_skull
    _sockets(height, view, who)
    _nose(height, view, who)
    _cheeks(height, view, who, face)
    _mouth(height, view, who, face)
    return height


def add_bump(
    height: Field, view: View, centre: tuple[float, float], width: tuple[float, float], rise: float
) -> None:
    """Raise (or sink) the height by a bell around a point, in place."""
    part = view.window(centre[0], centre[1], 2.6 * width[0], 2.6 * width[1])
    u, v = view.u[part] - centre[0], view.v[part] - centre[1]
    height[part] += rise * gaussian(u, v, width[0], width[1])


def _sockets(height: Field, view: View, who: Identity) -> None:
    eyes, brows = who.eyes, who.brows
    for side in _SIDES:
        u = side * eyes.spacing
        add_bump(height, view, (u, eyes.v - brows.gap - 0.01), (0.18, 0.05), 0.035)
        add_bump(height, view, (u * 0.93, eyes.v), (0.15, 0.10), -eyes.socket)
        add_bump(height, view, (u, eyes.v), (0.085, 0.058), 0.055)
        bag = 0.012 * who.skin.age
        add_bump(height, view, (u, eyes.v + 0.125), (0.10, 0.025), bag)
        add_bump(height, view, (u, eyes.v + 0.165), (0.11, 0.018), -bag)


def _nose(height: Field, view: View, who: Identity) -> None:
    nose = who.nose
    middle = 0.5 * (nose.bridge + nose.tip)
    reach = 0.5 * (nose.tip - nose.bridge) + 0.25
    part = view.window(0, middle, 0.34, reach)
    u, v = view.u[part], view.v[part]
    along = np.clip((v - nose.bridge) / (nose.tip - nose.bridge), 0, 1)
    width = nose.bridge_width + (0.3 * nose.width) * along * along
    profile = 0.06 + (nose.height - 0.06) * along
    profile *= smoothstep(nose.bridge - 0.14, nose.bridge + 0.06, v)
    profile *= smoothstep(nose.tip + 0.105, nose.tip - 0.005, v)
    height[part] += profile * np.exp(-0.5 * (u / width) ** 2)
    add_bump(height, view, (0, nose.tip - 0.015), (nose.bulb, 0.055), 0.07)
    for side in _SIDES:
        centre = (side * (nose.width - 0.035), nose.tip + 0.02)
        add_bump(height, view, centre, (0.042, 0.042), 0.085)


def _cheeks(height: Field, view: View, who: Identity, face: Expression) -> None:
    smile = max(face.smile, 0.0)
    for side in _SIDES:
        centre = (side * 0.47, who.nose.tip - 0.10 - 0.05 * smile)
        add_bump(height, view, centre, (0.17, 0.13), who.head.cheek + 0.04 * smile)
        add_bump(height, view, (side * 0.46, 0.62), (0.16, 0.14), -0.35 * who.head.cheek)
        _fold(height, view, who, side, 0.012 + 0.02 * who.skin.age + 0.03 * smile)


def _fold(height: Field, view: View, who: Identity, side: float, depth: float) -> None:
    """Sink the line from the wing of the nose to past the corner of the mouth."""
    nose, mouth = who.nose, who.mouth
    part = view.window(side * 0.3, 0.5 * (nose.tip + mouth.v), 0.25, 0.32)
    u, v = view.u[part] * side, view.v[part]
    along = (v - nose.tip) / (mouth.v + 0.05 - nose.tip)
    line = (nose.width + 0.03) + (mouth.width - nose.width + 0.07) * along
    ends = smoothstep(-0.15, 0.15, along) * smoothstep(1.25, 0.7, along)
    height[part] -= depth * ends * np.exp(-(((u - line) / 0.035) ** 2))


def _mouth(height: Field, view: View, who: Identity, face: Expression) -> None:
    mouth = who.mouth
    down = mouth.v + 0.10 * face.open_mouth
    add_bump(height, view, (0, mouth.v), (0.24, 0.16), 0.05)
    add_bump(height, view, (0, mouth.v - 0.5 * mouth.upper - 0.01), (0.14, 0.028), 0.022)
    add_bump(height, view, (0, down + 0.5 * mouth.lower), (0.12, 0.035), 0.035)
    add_bump(height, view, (0, mouth.v - 0.11), (0.022, 0.05), -0.012)
    add_bump(height, view, (0, down + mouth.lower + 0.06), (0.15, 0.035), -0.035)
    add_bump(height, view, (0, who.head.chin - 0.17), (0.15, 0.09), 0.05)
