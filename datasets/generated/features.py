"""Skin, eyes, brows, nostrils and lips, painted as reflectance on each pixel's point."""

import numpy as np

from datasets.generated.fields import (
    Colour,
    Field,
    gaussian,
    lit_by,
    mix,
    noise,
    paint,
    scaled,
    smoothstep,
)
from datasets.generated.geometry import View, Window
from datasets.generated.identity import Identity
from datasets.generated.scene import Expression

_SIDES = (-1.0, 1.0)
_PORE_STREAM = 3


def draw_skin(canvas: Field, view: View, who: Identity) -> None:
    """Fill the canvas with skin: blush, beard shadow, mottling, freckles, moles."""
    skin = who.skin
    for channel in range(3):
        canvas[channel] = skin.colour[channel]
    warm = lit_by(skin.colour, (1.10, 0.80, 0.78))
    for side in _SIDES:
        _spot(canvas, view, (side * 0.45, 0.27), (0.16, 0.12), warm, skin.blush)
        _spot(
            canvas,
            view,
            (side * who.eyes.spacing, who.eyes.v),
            (0.15, 0.10),
            scaled(warm, 0.55),
            0.42,
        )
    _spot(canvas, view, (0, who.nose.tip), (0.10, 0.08), warm, 0.8 * skin.blush)
    _mottle(canvas, view, who)
    for u, v, radius in skin.moles:
        _spot(canvas, view, (u, v), (radius, radius), scaled(skin.colour, 0.25), 0.9)


def _mottle(canvas: Field, view: View, who: Identity) -> None:
    """Vary the skin in place; marks stick to the face, not to the photo."""
    rng = np.random.default_rng([_PORE_STREAM, who.seed, who.index])
    tile = noise(rng, 24, 24, 128, 128)
    rows = ((view.v + 1.6) * 39).astype(np.int32) % 128
    columns = ((view.u + 1.6) * 39).astype(np.int32) % 128
    grain = tile[rows, columns]
    canvas *= 1 + 0.035 * grain
    if who.skin.freckles > 0:
        cheeks = gaussian(view.u, view.v - 0.2, 0.45, 0.2)
        spots = smoothstep(1.0, 1.6, grain) * cheeks * who.skin.freckles
        paint(canvas, scaled(who.skin.colour, 0.45), spots)


def _spot(
    canvas: Field,
    view: View,
    centre: tuple[float, float],
    width: tuple[float, float],
    colour: Colour,
    strength: float,
) -> None:
    part = view.window(centre[0], centre[1], 2.6 * width[0], 2.6 * width[1])
    u, v = view.u[part] - centre[0], view.v[part] - centre[1]
    paint(canvas[:, *part], colour, strength * gaussian(u, v, width[0], width[1]))


def draw_brows(canvas: Field, view: View, who: Identity, face: Expression) -> None:
    """Paint the eyebrows: hairs in a tapering arch."""
    brows, eyes = who.brows, who.eyes
    colour = mix(who.hair.colour, scaled(who.skin.colour, 0.12), 0.55)
    v0 = eyes.v - brows.gap - 0.035 * face.brows
    for side in _SIDES:
        part = view.window(side * eyes.spacing, v0, 0.36, 0.18)
        t = (view.u[part] * side - (eyes.spacing + 0.015)) / brows.length
        arch = brows.arch * (t * t - 0.25) - (0.5 * brows.slant * brows.length) * t
        offset = view.v[part] - v0 - arch
        taper = brows.thickness * (1 - 0.5 * np.clip(t, -0.4, 1))
        edge = smoothstep(1.25, 0.45, np.abs(offset) / taper) * smoothstep(1.1, 0.8, np.abs(t))
        hairs = 0.86 + 0.14 * np.sin(t * 41 + offset * 130)
        paint(canvas[:, *part], colour, edge * hairs * brows.density)


def draw_nostrils(canvas: Field, view: View, who: Identity) -> None:
    """Darken the nostrils and the shadow that the nose leaves on the lip."""
    nose = who.nose
    dark = scaled(who.skin.colour, 0.10)
    _spot(
        canvas,
        view,
        (0, nose.tip + 0.105),
        (0.75 * nose.width, 0.03),
        scaled(who.skin.colour, 0.5),
        0.55,
    )
    for side in _SIDES:
        part = view.window(side * 0.5 * nose.width, nose.tip + 0.07, 0.12, 0.08)
        u = view.u[part] * side - (0.50 * nose.width)
        v = view.v[part] - (nose.tip + 0.068) + 0.25 * u
        paint(canvas[:, *part], dark, (0.9 * nose.nostril) * gaussian(u, v, 0.034, 0.015))
        crease = (side * (nose.width + 0.012), nose.tip + 0.02)
        _spot(canvas, view, crease, (0.014, 0.042), scaled(who.skin.colour, 0.4), 0.5)


def draw_mouth(canvas: Field, view: View, who: Identity, face: Expression) -> None:
    """Paint lips, the line between them and, when open, teeth and the dark behind."""
    mouth = who.mouth
    smile, opened = face.smile, 0.11 * face.open_mouth
    half = mouth.width * (1 + 0.16 * smile)
    part = view.window(0, mouth.v + 0.05, half + 0.08, 0.34)
    t = view.u[part] / half
    arch = np.maximum(1 - t * t, 0)
    v = view.v[part] - mouth.v + (0.075 * smile) * (t * t - 0.35)
    thin = 1 - 0.25 * max(smile, 0.0)
    bow = mouth.cupid * gaussian(t, t * 0, 0.10, 1)
    wave = 0.008 * np.cos(t * 6.0)
    upper = -(thin * mouth.upper) * arch**0.75 + bow - (0.2 * opened) * arch
    gap_top, gap_bottom = (wave - 0.12 * opened) * arch, (wave + opened) * arch
    lower = gap_bottom + (thin * mouth.lower) * arch**0.6
    width = 0.016
    lips = smoothstep(-0.5, 0.5, (v - upper) / width) * smoothstep(-0.5, 0.5, (lower - v) / width)
    lips *= smoothstep(1.0, 0.93, np.abs(t))
    target = canvas[:, *part]
    paint(target, mouth.tint, lips * mouth.tint_strength)
    paint(
        target,
        scaled(mouth.tint, 0.7),
        lips * smoothstep(0.0, -0.02, v - gap_top) * 0.6,
    )
    line = gaussian(v - gap_top, t, 0.010, 0.62) * smoothstep(1.08, 0.9, np.abs(t))
    paint(target, scaled(mouth.tint, 0.16), line * 0.95)
    if opened > 0.004:
        _open(target, v, t, (gap_top, gap_bottom))


def _open(target: Field, v: Field, t: Field, gap: tuple[Field, Field]) -> None:
    soft = 0.012
    hole = smoothstep(0, 1, (v - gap[0]) / soft) * smoothstep(0, 1, (gap[1] - v) / soft)
    paint(target, (0.035, 0.012, 0.012), hole)
    teeth = hole * smoothstep(0.062, 0.045, v - gap[0]) * smoothstep(0.85, 0.6, np.abs(t))
    paint(target, (0.58, 0.54, 0.47), teeth * 0.9)


def draw_eyes(canvas: Field, view: View, who: Identity, face: Expression) -> None:
    """Paint both eyes: white, iris, pupil, lashes and lid fold."""
    for side in _SIDES:
        part = view.window(side * who.eyes.spacing, who.eyes.v, 0.27, 0.19)
        _eye(canvas[:, *part], view, part, who, face, side)


def _eye(
    target: Field, view: View, part: Window, who: Identity, face: Expression, side: float
) -> None:
    eyes = who.eyes
    across = view.u[part] * side - eyes.spacing
    along = view.v[part] - eyes.v + eyes.slant * across
    t = across / eyes.width
    arch = np.maximum(1 - t * t, 0)
    squint = face.eyes * (1 - 0.18 * max(face.smile, 0.0))
    skew = 1 + (0.35 * eyes.peak) * t
    upper = -(1.15 * eyes.opening * squint) * arch**0.62 * skew
    lower = (0.72 * eyes.opening * (0.4 + 0.6 * squint)) * arch**0.8
    soft = 0.014
    inside = smoothstep(-0.5, 0.5, (along - upper) / soft) * smoothstep(
        -0.5, 0.5, (lower - along) / soft
    )
    inside *= smoothstep(1.02, 0.96, np.abs(t))
    _lids(target, who, (across, along, t), (upper, lower))
    shade = 1 - 0.45 * smoothstep(0.035, 0.0, along - upper)
    shade *= 1 - 0.3 * t * t
    # The camera opens up for dark skin; the white of the eye must not glare.
    white = scaled((0.66, 0.61, 0.57), 1 - 0.5 * who.skin.tone)
    paint(target, white, inside, shade)
    gaze = (0.035 * face.gaze_u * side, 0.02 * face.gaze_v - 0.006)
    _iris(target, across - gaze[0], along - gaze[1], inside, who)
    lash = gaussian(along - upper + 0.004, t, eyes.lashes, 0.75)
    paint(target, (0.012, 0.010, 0.010), lash * smoothstep(1.15, 0.95, np.abs(t)) * 0.95)


def _iris(target: Field, across: Field, along: Field, inside: Field, who: Identity) -> None:
    eyes = who.eyes
    radius = np.sqrt(across * across + along * along) / eyes.iris_radius
    disc = smoothstep(1.08, 0.90, radius) * inside
    paint(target, eyes.iris, disc)
    paint(target, scaled(eyes.iris, 0.25), disc * smoothstep(0.7, 1.0, radius) * 0.8)
    paint(target, (0.008, 0.007, 0.007), smoothstep(0.52, 0.36, radius) * inside)


def _lids(
    target: Field, who: Identity, at: tuple[Field, Field, Field], lids: tuple[Field, Field]
) -> None:
    _, along, t = at
    dark = scaled(who.skin.colour, 0.30)
    crease = 0.035 + 0.012 * who.eyes.fold
    fold = gaussian(along - lids[0] + crease, t, 0.011, 0.75)
    paint(target, dark, fold * (0.25 + 0.5 * who.eyes.fold))
    rim = gaussian(along - lids[1] - 0.004, t, 0.009, 0.7)
    paint(target, dark, rim * 0.55)
    corner = gaussian(t + 1.02, along * 8, 0.10, 0.16)
    paint(target, mix(who.skin.colour, (0.35, 0.08, 0.07), 0.6), corner * 0.7)
