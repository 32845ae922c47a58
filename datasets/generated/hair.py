"""Hair on and around the head, beards and stubble."""

import numpy as np

from datasets.generated.fields import Field, gaussian, mix, paint, scaled, smoothstep, strands
from datasets.generated.geometry import View
from datasets.generated.identity import Identity

_STRAND_STREAM = 4
_VOLUME = {"shaved": 0.0, "curly": 2.2, "receding": 0.35, "long": 0.8, "long-fringe": 0.9}


def draw_beard(canvas: Field, view: View, who: Identity) -> None:
    """Paint stubble or a full beard around the mouth."""
    hair, mouth = who.hair, who.mouth
    cover = max(hair.beard, 0.45 * hair.stubble)
    if cover < 0.02:
        return
    part = view.window(0, 0.8, 0.95, 0.75)
    u, v = view.u[part], view.v[part]
    side = np.abs(u)
    cheek = 0.50 - 0.9 * np.maximum(side - 0.35, 0)
    zone = smoothstep(-0.06, 0.10, v - cheek - 0.12 * smoothstep(0.45, 0.2, side))
    clear = gaussian(u, v - (mouth.v + 0.02), mouth.width * 0.75, 0.075)
    zone *= 1 - clear
    lip = gaussian(u, v - (mouth.v - 0.105), 0.20, 0.035)
    zone = np.maximum(zone, lip * max(hair.moustache, 0.6))
    texture = 0.82 + 0.18 * _bristles(u, v)
    colour = mix(hair.colour, scaled(who.skin.colour, 0.3), 0.35)
    paint(canvas[:, *part], colour, zone * texture * (cover * 0.92))


def _bristles(u: Field, v: Field) -> Field:
    """Return short hairs that hang down, -1..1, too irregular to show a pattern."""
    sway = 9 * np.sin(v * 13 + u * 4)
    bristles: Field = np.sin(u * 61 + sway) * np.sin(v * 23 + 3 * sway)
    return bristles


def hair_mask(view: View, who: Identity) -> Field:
    """Return where hair lies over skull and forehead, 0..1."""
    hair = who.hair
    if hair.style == "shaved":
        return np.zeros_like(view.u)
    volume = hair.volume * _VOLUME.get(hair.style, 1.0) + 0.02
    radius = np.sqrt(view.inside)
    if hair.style == "curly":
        radius += 0.02 * np.sin(view.u * 23) * np.sin(view.v * 19)
    outer = smoothstep(1.015 + volume, 0.985 + volume, radius)
    grown = smoothstep(-0.02, 0.03, _front(view, who) - view.v)
    long = hair.style.startswith("long")
    side = np.abs(view.u) / who.head.width
    burns = smoothstep(0.86 - 0.05 * long, 0.95, side)
    burns *= smoothstep(1.4, 1.1, view.v) if long else smoothstep(0.15, 0.0, view.v)
    return outer * np.maximum(grown, burns)


def _front(view: View, who: Identity) -> Field:
    """Return the v above which hair grows: forehead in the middle, temples, sideburns."""
    hair = who.hair
    side = np.abs(view.u) / who.head.width
    line = hair.hairline + 0.22 * side * side
    line = line + hair.peak * gaussian(view.u, view.u * 0, 0.15, 1)
    if hair.style == "receding":
        line = line - 0.26 * gaussian(side - 0.5, side * 0, 0.22, 1)
    if hair.style in {"fringe", "long-fringe"}:
        line = who.eyes.v - who.brows.gap - 0.16 + 0.024 * np.sin(view.u * 17)
    if hair.style in {"side", "long"}:
        swept = view.u - hair.parting
        line = line + 0.22 * np.tanh(np.abs(swept) * 1.5) - 0.1
    return line


def draw_hair(canvas: Field, view: View, who: Identity, mask: Field) -> None:
    """Paint strands, combed away from the parting, where the mask lies."""
    hair = who.hair
    rng = np.random.default_rng([_STRAND_STREAM, who.seed, who.index])
    table = rng.standard_normal(65).astype(np.float32)
    table[-1] = table[0]
    u = view.u - hair.parting
    flow = np.arctan2(u, view.v + 1.9) * 40
    curl = (1.0 + 3.0 * hair.curl) * np.sin(view.v * (6 + 6 * hair.curl))
    grain = strands(table, flow + curl * 0.4) + strands(table, flow * 2.7 + curl)
    tone = np.clip(1 + 0.16 * grain, 0.5, 1.6)
    # Fully hair well before the mask's rim: mixed with skin there it would shine through.
    paint(canvas, hair.colour, np.minimum(mask * 2.5, 1), tone)


def hair_height(view: View, who: Identity) -> Field:
    """Return the height of the hair's surface: a rounder, larger skull."""
    return who.head.depth * (1.02 - 0.72 * view.inside)
