"""Who a generated person is: what stays the same from photo to photo.

Lengths are in face units: the origin lies between the eyes' line and the nose, u points to the
image's right, v down, and half a head is about 0.8 wide. Colours are linear RGB.
"""

from dataclasses import dataclass

import numpy as np

from datasets.generated.fields import Colour, linear, mix

_PERSON_STREAM = 1
_SKIN_TONES: tuple[Colour, ...] = (
    linear(236, 197, 172),
    linear(226, 183, 156),
    linear(205, 156, 124),
    linear(176, 124, 93),
    linear(140, 92, 64),
    linear(100, 66, 48),
    linear(74, 49, 38),
)
_IRISES: tuple[Colour, ...] = (
    linear(52, 32, 20),
    linear(84, 52, 28),
    linear(112, 84, 44),
    linear(92, 112, 84),
    linear(92, 124, 156),
    linear(122, 134, 142),
)
_HAIR_COLOURS: tuple[Colour, ...] = (
    linear(22, 18, 17),
    linear(44, 31, 25),
    linear(78, 52, 36),
    linear(122, 84, 52),
    linear(190, 152, 98),
    linear(150, 74, 40),
    linear(122, 118, 114),
)
HAIR_STYLES = ("shaved", "short", "side", "fringe", "long", "long-fringe", "curly", "receding")


@dataclass(frozen=True, slots=True)
class Head:
    """The outline of skull and jaw. `jaw` and `temple` are shares of `width`, half the head."""

    width: float
    crown: float
    temple: float
    jaw: float
    chin_width: float
    chin: float
    depth: float
    cheek: float
    ears: float
    neck: float


@dataclass(frozen=True, slots=True)
class Eyes:
    """Place and shape of both eyes. `width` and `opening` are half sizes."""

    spacing: float
    v: float
    width: float
    opening: float
    slant: float
    peak: float
    socket: float
    fold: float
    iris: Colour
    iris_radius: float
    lashes: float


@dataclass(frozen=True, slots=True)
class Brows:
    """The eyebrows. `gap` is their height over the eyes."""

    gap: float
    length: float
    thickness: float
    arch: float
    slant: float
    density: float


@dataclass(frozen=True, slots=True)
class Nose:
    """The nose. `tip` and `bridge` are v coordinates, widths are half widths."""

    bridge: float
    tip: float
    width: float
    bridge_width: float
    height: float
    bulb: float
    nostril: float


@dataclass(frozen=True, slots=True)
class Mouth:
    """The lips at rest. `width` is half the mouth, `upper` and `lower` are lip heights."""

    v: float
    width: float
    upper: float
    lower: float
    cupid: float
    tint: Colour
    tint_strength: float


@dataclass(frozen=True, slots=True)
class Hair:
    """Hair on the head and on the face."""

    style: str
    colour: Colour
    hairline: float
    peak: float
    volume: float
    parting: float
    curl: float
    length: float
    beard: float
    moustache: float
    stubble: float


@dataclass(frozen=True, slots=True)
class Skin:
    """Skin colour and marks. `tone` runs from 0, lightest, to 1, darkest.

    `moles` are (u, v, radius); `age` deepens the folds.
    """

    tone: float
    colour: Colour
    blush: float
    freckles: float
    age: float
    gloss: float
    moles: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """One generated person."""

    index: int
    seed: int
    head: Head
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    hair: Hair
    skin: Skin


def person(index: int, seed: int = 0) -> Identity:
    """Return the generated person of this number; equal numbers give equal people everywhere."""
    rng = np.random.default_rng([_PERSON_STREAM, seed, index])
    skin = _skin(rng)
    eyes = _eyes(rng, skin.tone)
    return Identity(
        index=index,
        seed=seed,
        head=_head(rng),
        eyes=eyes,
        brows=_brows(rng),
        nose=_nose(rng, eyes.v),
        mouth=_mouth(rng, skin),
        hair=_hair(rng, skin.tone),
        skin=skin,
    )


def _skin(rng: np.random.Generator) -> Skin:
    tone = float(rng.uniform())
    at = tone * (len(_SKIN_TONES) - 1)
    step = min(int(at), len(_SKIN_TONES) - 2)
    base = mix(_SKIN_TONES[step], _SKIN_TONES[step + 1], at - step)
    red, blue = rng.uniform(0.94, 1.06), rng.uniform(0.88, 1.04)
    moles = tuple(
        (
            float(rng.uniform(-0.6, 0.6)),
            float(rng.uniform(0.1, 0.9)),
            float(rng.uniform(0.01, 0.02)),
        )
        for _ in range(int(rng.integers(0, 4)))
    )
    return Skin(
        tone=tone,
        colour=(base[0] * float(red), base[1], base[2] * float(blue)),
        blush=float(rng.uniform(0.1, 0.6)),
        freckles=float(max(0.0, rng.uniform(-1.5, 0.6))),
        age=float(rng.uniform() ** 1.5),
        gloss=float(rng.uniform(0.4, 1.0)),
        moles=moles,
    )


def _head(rng: np.random.Generator) -> Head:
    return Head(
        width=float(rng.uniform(0.735, 0.855)),
        crown=float(rng.uniform(-1.40, -1.26)),
        temple=float(rng.uniform(0.88, 0.98)),
        jaw=float(rng.uniform(0.66, 0.86)),
        chin_width=float(rng.uniform(0.16, 0.34)),
        chin=float(rng.uniform(0.99, 1.11)),
        depth=float(rng.uniform(0.66, 0.80)),
        cheek=float(rng.uniform(0.02, 0.08)),
        ears=float(rng.uniform(0.8, 1.2)),
        neck=float(rng.uniform(0.40, 0.52)),
    )


def _eyes(rng: np.random.Generator, tone: float) -> Eyes:
    # Light irises are rare in dark skin.
    kind = int(rng.integers(0, len(_IRISES) if tone < 0.45 else 2))
    return Eyes(
        spacing=float(rng.uniform(0.315, 0.385)),
        v=float(rng.uniform(-0.17, -0.07)),
        width=float(rng.uniform(0.145, 0.180)),
        opening=float(rng.uniform(0.054, 0.086)),
        slant=float(rng.uniform(-0.10, 0.20)),
        peak=float(rng.uniform(-0.25, 0.20)),
        socket=float(rng.uniform(0.06, 0.13)),
        fold=float(rng.uniform(0.0, 1.0)),
        iris=_IRISES[kind],
        iris_radius=float(rng.uniform(0.066, 0.077)),
        lashes=float(rng.uniform(0.010, 0.020)),
    )


def _brows(rng: np.random.Generator) -> Brows:
    return Brows(
        gap=float(rng.uniform(0.155, 0.235)),
        length=float(rng.uniform(0.19, 0.25)),
        thickness=float(rng.uniform(0.026, 0.056)),
        arch=float(rng.uniform(0.0, 0.07)),
        slant=float(rng.uniform(-0.15, 0.20)),
        density=float(rng.uniform(0.65, 1.0)),
    )


def _nose(rng: np.random.Generator, eyes_v: float) -> Nose:
    return Nose(
        bridge=eyes_v - 0.06,
        tip=float(rng.uniform(0.25, 0.37)),
        width=float(rng.uniform(0.115, 0.195)),
        bridge_width=float(rng.uniform(0.045, 0.085)),
        height=float(rng.uniform(0.19, 0.30)),
        bulb=float(rng.uniform(0.05, 0.11)),
        nostril=float(rng.uniform(0.6, 1.0)),
    )


def _mouth(rng: np.random.Generator, skin: Skin) -> Mouth:
    red, green, blue = skin.colour
    natural = (red * 0.80, green * 0.52, blue * 0.55)
    painted = linear(150, 30, 48) if rng.uniform() < 0.5 else linear(186, 80, 86)
    make_up = float(max(0.0, rng.uniform(-1.2, 0.8)))
    return Mouth(
        v=float(rng.uniform(0.59, 0.67)),
        width=float(rng.uniform(0.235, 0.325)),
        upper=float(rng.uniform(0.030, 0.070)),
        lower=float(rng.uniform(0.050, 0.095)),
        cupid=float(rng.uniform(0.0, 0.020)),
        tint=mix(natural, painted, make_up),
        tint_strength=float(rng.uniform(0.65, 1.0)),
    )


def _hair(rng: np.random.Generator, tone: float) -> Hair:
    style = HAIR_STYLES[int(rng.integers(0, len(HAIR_STYLES)))]
    kinds = len(_HAIR_COLOURS) - 1 if tone < 0.5 else 2
    colour = _HAIR_COLOURS[int(rng.integers(0, kinds))]
    if rng.uniform() < 0.10:
        colour = _HAIR_COLOURS[-1]
    bearded = style not in {"long", "long-fringe"} and rng.uniform() < 0.35
    return Hair(
        style=style,
        colour=mix(colour, (0.05, 0.035, 0.03), float(rng.uniform(0.0, 0.3))),
        hairline=float(rng.uniform(-0.90, -0.72)),
        peak=float(rng.uniform(-0.08, 0.10)),
        volume=float(rng.uniform(0.05, 0.14)),
        parting=float(rng.uniform(-0.5, 0.5)),
        curl=float(rng.uniform()),
        length=float(rng.uniform(0.7, 1.9)),
        beard=float(rng.uniform(0.5, 1.0)) if bearded else 0.0,
        moustache=float(rng.uniform(0.4, 1.0)) if bearded else 0.0,
        stubble=float(max(0.0, rng.uniform(-0.5, 0.5))) if style != "long" else 0.0,
    )
