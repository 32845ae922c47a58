"""One photo of a generated person: backdrop, shoulders, head, light, camera."""

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
    return np.stack(
        [np.float32(a) + np.float32(b - a) * blend for a, b in zip(first, second, strict=True)]
    )


def _body(canvas: Field, who: Identity, set_up: Scene) -> None:
    """Paint what lies behind the face: back hair, neck, shoulders, ears."""
    pose, light = set_up.pose, set_up.light
    line = np.arange(SIZE_PX, dtype=np.float32)
    x = ((line - np.float32(pose.centre_x)) / np.float32(pose.scale))[None, :]
    y = ((line - np.float32(pose.centre_y)) / np.float32(pose.scale))[:, None]
    x = x + np.float32(np.sin(pose.roll)) * np.clip(y, -2, 1)
    glow = _glow(light, np.float32(0.0))
    behind = x + np.float32(0.25 * np.sin(pose.yaw))
    if who.hair.style.startswith("long"):
        _back_hair(canvas, behind, y, who, glow)
    _neck(canvas, behind, y, who, light)
    slope = (
        np.float32(1.26) + np.float32(0.16) * x * x + np.float32(0.30) * gaussian(x, x * 0, 0.30, 1)
    )
    cloth = np.float32(0.75) + np.float32(0.25) * gaussian(x, y - np.float32(1.6), 1.0, 0.6)
    paint(canvas, lit_by(set_up.clothes, glow), smoothstep(-0.02, 0.02, y - slope), cloth)


def _glow(light: Light, facing: np.float32) -> Colour:
    front = 0.25 + max(light.direction[2], 0.0)
    parts = [
        a + lamp * front * (1 - float(facing))
        for a, lamp in zip(light.ambient, light.lamp, strict=True)
    ]
    return (parts[0], parts[1], parts[2])


def _back_hair(canvas: Field, x: Field, y: Field, who: Identity, glow: Colour) -> None:
    width = who.head.width * (1.02 + 1.2 * who.hair.volume)
    body = smoothstep(1.0, 0.94, np.abs(x) / np.float32(width) + np.float32(0.0) * y)
    body = (
        body
        * smoothstep(-0.75, -0.55, y)
        * smoothstep(who.hair.length + 0.1, who.hair.length - 0.1, y)
    )
    tone = np.float32(0.55) + np.float32(0.12) * np.sin(
        x * np.float32(60) + np.float32(0.6) * np.sin(y * np.float32(5))
    )
    paint(canvas, lit_by(who.hair.colour, glow), body, tone)


def _neck(canvas: Field, x: Field, y: Field, who: Identity, light: Light) -> None:
    width = np.float32(who.head.neck) + np.float32(0.25) * smoothstep(1.05, 1.5, y) ** 2
    t = np.clip(x / width, -1, 1)
    facing = np.clip(
        t * np.float32(light.direction[0]) + np.sqrt(1 - t * t) * np.float32(light.direction[2]),
        0,
        1,
    )
    shadow = np.float32(0.30) + np.float32(0.5) * smoothstep(0.9, 1.65, y)
    part = (slice(int(np.argmax(y > 0.5)), None), slice(None))
    tone = ((np.float32(0.7) + facing) * shadow)[part]
    colour = lit_by(who.skin.colour, mix(light.ambient, light.lamp, 0.5))
    paint(canvas[:, *part], colour, smoothstep(1.02, 0.98, np.abs(x) / width)[part], tone)


def _ears(canvas: Field, view: View, who: Identity, glow: Colour) -> None:
    covered = who.hair.style.startswith("long")
    if covered:
        return
    pose = view.pose
    for side in (-1.0, 1.0):
        x, y = view.project(side * (who.head.width + 0.01), 0.03, -0.12)
        reach = int(0.35 * pose.scale)
        rows = slice(max(0, int(y) - reach), int(y) + reach)
        columns = slice(max(0, int(x) - reach), int(x) + reach)
        grid_y = (
            np.arange(rows.start, min(rows.stop, SIZE_PX), dtype=np.float32)[:, None] - y
        ) / pose.scale
        grid_x = (
            np.arange(columns.start, min(columns.stop, SIZE_PX), dtype=np.float32)[None, :] - x
        ) / pose.scale
        distance = (grid_x / (0.10 * who.head.ears)) ** 2 + (
            (grid_y - side * 0.1 * grid_x) / (0.22 * who.head.ears)
        ) ** 2
        tone = 0.55 + 0.25 * smoothstep(0.15, 0.8, distance)
        colour = lit_by(who.skin.colour, glow)
        paint(canvas[:, rows, columns], colour, smoothstep(1.1, 0.85, distance), tone)


def _head(canvas: Field, view: View, who: Identity, set_up: Scene) -> None:
    _ears(canvas, view, who, _glow(set_up.light, np.float32(0.2)))
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
    dx, dy, dz = (np.float32(c) for c in light.direction)
    facing = x * dx + y * dy + z * dz
    lamp = np.clip((facing + np.float32(0.2)) / np.float32(1.2), 0, 1)
    lamp *= _unshadowed(depth, light, view.pose.scale)
    sky = np.float32(0.62) + np.float32(0.38) * z - np.float32(0.18) * y
    mirror = np.maximum(np.float32(2) * facing * z - dz, np.float32(0))
    sheen = mirror**2
    sheen *= sheen
    sheen *= sheen * mirror * gloss * np.float32(0.07)
    for c in range(3):
        albedo[c] *= np.float32(light.lamp[c]) * lamp + np.float32(light.ambient[c]) * sky
        albedo[c] += np.float32(light.lamp[c]) * sheen


def _unshadowed(depth: Field, light: Light, scale: float) -> Field:
    """Return how much of the lamp each pixel sees, marching a few steps towards it."""
    seen = np.ones_like(depth)
    dx, dy, dz = light.direction
    for step in (0.10, 0.20, 0.34):
        moved = np.roll(depth, (round(-dy * step * scale), round(-dx * step * scale)), (0, 1))
        seen -= np.clip((moved - depth - np.float32(dz * step)) * np.float32(5), 0, 0.45)
    return np.maximum(seen, np.float32(0.12))


def _catch_lights(lit: Field, view: View, who: Identity, light: Light) -> None:
    for side in (-1.0, 1.0):
        u = side * who.eyes.spacing + 0.022 * light.direction[0]
        v = who.eyes.v + 0.02 * light.direction[1] - 0.012
        part = view.window(u, v, 0.04, 0.04)
        spot = gaussian(view.u[part] - np.float32(u), view.v[part] - np.float32(v), 0.010, 0.010)
        paint(lit[:, *part], (0.9, 0.9, 0.88), spot * np.float32(0.8))


def _expose(canvas: Field, who: Identity, camera: Camera, rng: np.random.Generator) -> Picture:
    """Develop linear light as a camera would: exposure, curve, blur, grain, JPEG."""
    tone = sum(scaled(who.skin.colour, 1 / 3))
    gain = 2.1 * camera.exposure * (0.30 / tone) ** 0.35
    # The curve is read from a table over the square root, where its steps are even to the eye.
    index = np.sqrt(np.clip(canvas, 0, 4)) * np.float32(1023)
    root = np.linspace(0, 2, 2048, dtype=np.float32)
    curve = (1 - np.exp(-gain * root * root)) ** (1 / 2.1) * 255
    display = curve.astype(np.float32)[index.astype(np.int16)]
    grain = rng.standard_normal((SIZE_PX, SIZE_PX), dtype=np.float32) * np.float32(camera.noise)
    pixels = np.clip(display + grain, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture = picture.filter(ImageFilter.BoxBlur(camera.blur_px))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=camera.quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
