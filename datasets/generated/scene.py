"""What changes from photo to photo: pose, expression, light, camera, clothes."""

from dataclasses import dataclass

import numpy as np

from datasets.generated.fields import Colour

SIZE_PX = 250
_PHOTO_STREAM = 2


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles in radians, `scale` in pixels per face unit, centre in pixels."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    centre_x: float
    centre_y: float


@dataclass(frozen=True, slots=True)
class Expression:
    """How the face moves; all 0 at rest but `eyes`, the share of the rested opening."""

    smile: float
    open_mouth: float
    brows: float
    eyes: float
    gaze_u: float
    gaze_v: float


@dataclass(frozen=True, slots=True)
class Light:
    """One lamp far away (unit vector towards it; y down, z to the viewer) and light all around."""

    direction: Colour
    lamp: Colour
    ambient: Colour


@dataclass(frozen=True, slots=True)
class Camera:
    """`noise` and `blur_px` as standard deviations, noise in 0..255; `quality` is JPEG's."""

    exposure: float
    noise: float
    blur_px: float
    quality: int


@dataclass(frozen=True, slots=True)
class Scene:
    """One photo's circumstances."""

    pose: Pose
    expression: Expression
    light: Light
    camera: Camera
    clothes: Colour
    backdrop: tuple[Colour, Colour]


def photo_rng(index: int, photo_index: int, seed: int) -> np.random.Generator:
    """Return the source of chance of one photo of one person."""
    return np.random.default_rng([_PHOTO_STREAM, seed, index, photo_index])


def scene(rng: np.random.Generator) -> Scene:
    """Draw one photo's circumstances."""
    return Scene(
        pose=_pose(rng),
        expression=_expression(rng),
        light=_light(rng),
        camera=Camera(
            exposure=float(rng.uniform(0.85, 1.2)),
            noise=float(rng.uniform(0.5, 3.5)),
            blur_px=float(rng.uniform(0.35, 0.85)),
            quality=int(rng.integers(78, 96)),
        ),
        clothes=_cloth(rng),
        backdrop=(_wall(rng), _wall(rng)),
    )


def _within(rng: np.random.Generator, deviation: float, limit: float) -> float:
    return float(np.clip(rng.normal(0, deviation), -limit, limit))


def _pose(rng: np.random.Generator) -> Pose:
    return Pose(
        yaw=_within(rng, 0.17, 0.38),
        pitch=_within(rng, 0.08, 0.18),
        roll=_within(rng, 0.07, 0.17),
        scale=float(rng.uniform(74, 86)),
        centre_x=125 + _within(rng, 4, 9),
        centre_y=126 + _within(rng, 4, 9),
    )


def _expression(rng: np.random.Generator) -> Expression:
    return Expression(
        smile=float(rng.uniform(-0.25, 1.0)),
        open_mouth=float(max(0.0, rng.uniform(-1.2, 0.9))),
        brows=_within(rng, 0.4, 1.0),
        eyes=float(rng.uniform(0.75, 1.12)),
        gaze_u=_within(rng, 0.3, 0.7),
        gaze_v=_within(rng, 0.2, 0.5),
    )


def _light(rng: np.random.Generator) -> Light:
    azimuth, height = _within(rng, 0.5, 1.0), float(rng.uniform(0.0, 0.85))
    direction = (
        float(np.sin(azimuth) * np.cos(height)),
        float(-np.sin(height)),
        float(np.cos(azimuth) * np.cos(height)),
    )
    warm, share = _within(rng, 0.07, 0.15), float(rng.uniform(0.25, 0.55))
    fill = _within(rng, 0.05, 0.1)
    strength = 1.1
    return Light(
        direction=direction,
        lamp=_tinted(warm, strength * (1 - share)),
        ambient=_tinted(fill, strength * share),
    )


def _tinted(warmth: float, strength: float) -> Colour:
    return (strength * (1 + warmth), strength, strength * (1 - 1.3 * warmth))


def _cloth(rng: np.random.Generator) -> Colour:
    value = float(rng.uniform(0.02, 0.5))
    tint = rng.uniform(0.5, 1.2, 3)
    return (value * float(tint[0]), value * float(tint[1]), value * float(tint[2]))


def _wall(rng: np.random.Generator) -> Colour:
    value = float(rng.uniform(0.03, 0.5))
    tint = rng.uniform(0.75, 1.15, 3)
    return (value * float(tint[0]), value * float(tint[1]), value * float(tint[2]))
