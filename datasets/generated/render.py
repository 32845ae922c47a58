"""One photo of a generated person: backdrop, shoulders, head, light, camera."""

import math
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from datasets.generated import features, hair
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
from datasets.generated.geometry import View, look, normals
from datasets.generated.identity import Identity
from datasets.generated.relief import relief
from datasets.generated.scene import SIZE_PX, Camera, Light, Scene, photo_rng, scene

Picture = NDArray[np.uint8]


def render(identity: Identity, photo_index: int, seed: int = 0) -> Picture:
    """Render one photo, height x width x 3, RGB."""
    rng = photo_rng(identity.index, photo_index, seed)
    set_up = scene(rng)
    canvas = _backdrop(set_up, rng)
    view = look(identity.head, identity.nose, set_up.pose, SIZE_PX)
    _body(canvas, identity, set_up)
    _head(canvas, view, identity, set_up)
    return _expose(canvas, identity, set_up.camera, rng)


def _backdrop(set_up: Scene, rng: np.random.Generator) -> Field:
    """Return a wall out of focus: two colours that run into each other."""
    blend = smoothstep(-1.5, 1.5, noise(rng, 4, 4, SIZE_PX, SIZE_PX))
    first, second = set_up.backdrop
    return np.stack([a + (b - a) * blend for a, b in zip(first, second, strict=True)])


def _body(canvas: Field, who: Identity, set_up: Scene) -> None:
    """Paint what lies behind the face: back hair, neck, shoulders, ears."""
    pose, light = set_up.pose, set_up.light
    line = np.arange(SIZE_PX, dtype=np.float32)
    x = ((line - pose.centre_x) / pose.scale)[None, :]
    y = ((line - pose.centre_y) / pose.scale)[:, None]
    x = x + math.sin(pose.roll) * np.clip(y, -2, 1)
    glow = _glow(light)
    behind = x + 0.25 * math.sin(pose.yaw)
    if who.hair.style.startswith("long"):
        _back_hair(canvas, behind, y, who, glow)
    _neck(canvas, behind, y, who, light)
    slope = 1.26 + 0.16 * x * x + 0.30 * gaussian(x, x * 0, 0.30, 1)
    cloth = 0.75 + 0.25 * gaussian(x, y - 1.6, 1.0, 0.6)
    paint(canvas, lit_by(set_up.clothes, glow), smoothstep(-0.02, 0.02, y - slope), cloth)


def _glow(light: Light) -> Colour:
    """Return the light on a surface that faces the viewer."""
    return mix(light.ambient, light.lamp, 0.5 + 0.25 * light.direction[2])


def _back_hair(canvas: Field, x: Field, y: Field, who: Identity, glow: Colour) -> None:
    width = who.head.width * (1.02 + 1.2 * who.hair.volume)
    body = smoothstep(1.0, 0.94, np.abs(x) / width)
    body = body * smoothstep(-0.75, -0.55, y)
    body *= smoothstep(who.hair.length + 0.1, who.hair.length - 0.1, y)
    tone = 0.55 + 0.12 * np.sin(x * 60 + 0.6 * np.sin(y * 5))
    paint(canvas, lit_by(who.hair.colour, glow), body, tone)


def _neck(canvas: Field, x: Field, y: Field, who: Identity, light: Light) -> None:
    width = who.head.neck + 0.25 * smoothstep(1.05, 1.5, y) ** 2
    t = np.clip(x / width, -1, 1)
    across, _, ahead = light.direction
    facing = np.clip(t * across + np.sqrt(1 - t * t) * ahead, 0, 1)
    shadow = 0.30 + 0.5 * smoothstep(0.9, 1.65, y)
    part = (slice(int(np.argmax(y > 0.5)), None), slice(None))
    tone = ((0.7 + facing) * shadow)[part]
    colour = lit_by(who.skin.colour, mix(light.ambient, light.lamp, 0.5))
    paint(canvas[:, *part], colour, smoothstep(1.02, 0.98, np.abs(x) / width)[part], tone)


def _ears(canvas: Field, view: View, who: Identity, glow: Colour) -> None:
    if who.hair.style.startswith("long"):
        return
    scale, size = view.pose.scale, who.head.ears
    reach = int(0.35 * scale)
    for side in (-1.0, 1.0):
        x, y = view.project(side * (who.head.width + 0.01), 0.03, -0.12)
        rows = np.arange(max(0, int(y) - reach), min(SIZE_PX, int(y) + reach), dtype=np.float32)
        columns = np.arange(max(0, int(x) - reach), min(SIZE_PX, int(x) + reach), dtype=np.float32)
        across, along = (columns[None, :] - x) / scale, (rows[:, None] - y) / scale
        distance = (across / (0.10 * size)) ** 2
        distance = distance + ((along - side * 0.1 * across) / (0.22 * size)) ** 2
        part = canvas[:, int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
        tone = 0.55 + 0.25 * smoothstep(0.15, 0.8, distance)
        paint(part, lit_by(who.skin.colour, glow), smoothstep(1.1, 0.85, distance), tone)


def _head(canvas: Field, view: View, who: Identity, set_up: Scene) -> None:
    _ears(canvas, view, who, _glow(set_up.light))
    face, light = set_up.expression, set_up.light
    albedo = np.empty((3, *view.u.shape), dtype=np.float32)
    features.draw_skin(albedo, view, who)
    hair.draw_beard(albedo, view, who)
    features.draw_mouth(albedo, view, who, face)
    features.draw_nostrils(albedo, view, who)
    features.draw_brows(albedo, view, who, face)
    features.draw_eyes(albedo, view, who, face)
    mane = hair.hair_mask(view, who)
    hair.draw_hair(albedo, view, who, mane)
    height_map = relief(view, who, face)
    height_map += (hair.hair_height(view, who) - height_map) * mane
    _shade(albedo, view, height_map, light, who.skin.gloss * (1 - 0.6 * mane))
    edge = 1.2 / view.pose.scale
    skull = smoothstep(1 + edge, 1 - edge, np.sqrt(view.inside))
    _catch_lights(albedo, view, who, light)
    cover = np.maximum(skull, mane)
    target = canvas[:, *view.part]
    target += (albedo - target) * cover


def _shade(albedo: Field, view: View, height: Field, light: Light, gloss: Field) -> None:
    """Turn reflectance into light in place: wrapped Lambert, sky from above, a soft sheen."""
    depth = view.depth(height)
    x, y, z = normals(depth, view.pose)
    dx, dy, dz = light.direction
    facing = x * dx + y * dy + z * dz
    lamp = np.clip((facing + 0.2) / 1.2, 0, 1)
    lamp *= _unshadowed(depth, light, view.pose.scale)
    sky = 0.62 + 0.38 * z - 0.18 * y
    mirror = np.maximum(2 * facing * z - dz, 0)
    sheen = mirror**2
    sheen *= sheen
    sheen *= sheen * mirror * gloss * 0.07
    for c in range(3):
        albedo[c] *= light.lamp[c] * lamp + light.ambient[c] * sky
        albedo[c] += light.lamp[c] * sheen


def _unshadowed(depth: Field, light: Light, scale: float) -> Field:
    """Return how much of the lamp each pixel sees, marching a few steps towards it."""
    seen = np.ones_like(depth)
    dx, dy, dz = light.direction
    for step in (0.10, 0.20, 0.34):
        moved = np.roll(depth, (round(-dy * step * scale), round(-dx * step * scale)), (0, 1))
        seen -= np.clip((moved - depth - dz * step) * 5, 0, 0.45)
    return np.maximum(seen, 0.12)


def _catch_lights(lit: Field, view: View, who: Identity, light: Light) -> None:
    for side in (-1.0, 1.0):
        u = side * who.eyes.spacing + 0.022 * light.direction[0]
        v = who.eyes.v + 0.02 * light.direction[1] - 0.012
        part = view.window(u, v, 0.04, 0.04)
        spot = gaussian(view.u[part] - u, view.v[part] - v, 0.010, 0.010)
        paint(lit[:, *part], (0.9, 0.9, 0.88), spot * 0.8)


def _expose(canvas: Field, who: Identity, camera: Camera, rng: np.random.Generator) -> Picture:
    """Develop linear light as a camera would: exposure, curve, blur, grain, JPEG."""
    tone = sum(scaled(who.skin.colour, 1 / 3))
    gain = 2.1 * camera.exposure * (0.30 / tone) ** 0.35
    # The curve is read from a table over the square root, where its steps are even to the eye.
    index = np.sqrt(np.clip(canvas, 0, 4)) * 1023
    root = np.linspace(0, 2, 2048, dtype=np.float32)
    curve = (1 - np.exp(-gain * root * root)) ** (1 / 2.1) * 255
    display = curve.astype(np.float32)[index.astype(np.int16)]
    grain = rng.standard_normal((SIZE_PX, SIZE_PX), dtype=np.float32) * camera.noise
    pixels = np.clip(display + grain, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture = picture.filter(ImageFilter.BoxBlur(camera.blur_px))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=camera.quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
