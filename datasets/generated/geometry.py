"""The head as a height map over a tilted plane: from pixels to points of the face and back.

A point of the face is (u, v, height). Each pixel's point is found by fixed-point iteration over
a coarse, smooth height; the fine height (nose, lids, lips) serves the shading alone.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from datasets.generated.fields import Field, gaussian
from datasets.generated.identity import Head, Nose
from datasets.generated.scene import Pose

_DIRECTIONS = 1024
_ITERATIONS = 4
_STRIDE = 3
_SLACK_PX = 4.0
Window = tuple[slice, slice]


def outline(head: Head) -> Field:
    """Return the head's radius by direction: entry 0 is up, the last one down, both sides alike.

    A direction is v / (|u| + |v|), which costs no arc tangent.
    """
    width = head.width
    knots = (
        (0.0, head.crown),
        (0.46 * width, head.crown * 0.955),
        (0.78 * width, head.crown * 0.80),
        (head.temple * width, -0.62),
        (width, -0.15),
        (0.975 * width, 0.2),
        (head.jaw * width * 1.05, 0.62),
        (head.jaw * width * 0.86, 0.80),
        (head.chin_width + 0.05, head.chin * 0.93),
        (0.5 * head.chin_width, head.chin * 0.99),
        (0.0, head.chin),
    )
    direction = [v / (abs(u) + abs(v)) for u, v in knots]
    radius = [float(np.hypot(u, v)) for u, v in knots]
    at = np.linspace(-1, 1, _DIRECTIONS)
    table = np.interp(at, direction, radius)
    kernel = np.hanning(91)
    padded = np.pad(table, 45, mode="reflect")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid").astype(np.float32)


def radius_share(u: Field, v: Field, table: Field) -> Field:
    """Return the squared share of the outline's radius: 1 on the outline, 0 in the middle."""
    span = np.abs(u) + np.abs(v) + (1e-6)
    index = ((v / span + 1) * (_DIRECTIONS / 2 - 0.5)).astype(np.int32)
    edge = table[index]
    return (u * u + v * v) / (edge * edge)


def _rotation(pose: Pose) -> Field:
    sy, cy = np.sin(pose.yaw), np.cos(pose.yaw)
    sp, cp = np.sin(pose.pitch), np.cos(pose.pitch)
    sr, cr = np.sin(pose.roll), np.cos(pose.roll)
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: Field = (roll @ yaw @ pitch).astype(np.float32)
    return rotation


@dataclass(frozen=True, slots=True)
class View:
    """A head seen under a pose, on the pixels of one rectangle of the photo.

    `u`, `v` hold each pixel's point, `inside` the squared share of the outline's radius.
    """

    rotation: Field
    pose: Pose
    head: Head
    nose: Nose
    part: Window
    u: Field
    v: Field
    inside: Field

    def project(self, u: float, v: float, height: float) -> tuple[float, float]:
        """Return the photo's pixel (x, y) of a point of the face."""
        point = self.rotation @ np.array([u, v, height], dtype=np.float32)
        scale = self.pose.scale
        return (
            self.pose.centre_x + scale * float(point[0]),
            self.pose.centre_y + scale * float(point[1]),
        )

    def window(self, u: float, v: float, reach_u: float, reach_v: float) -> Window:
        """Return the slices that hold what is within reach of a point of the face."""
        x, y = self.project(u, v, self._height(u, v))
        scale, tilt = self.pose.scale, abs(self.pose.roll)
        half_x = scale * (reach_u + tilt * reach_v) + _SLACK_PX
        half_y = scale * (reach_v + tilt * reach_u) + _SLACK_PX
        left, top = x - self.part[1].start, y - self.part[0].start
        return (_within(top, half_y, self.u.shape[0]), _within(left, half_x, self.u.shape[1]))

    def _height(self, u: float, v: float) -> float:
        bump = np.exp(-0.5 * ((u / 0.14) ** 2 + ((v - self.nose.tip + 0.04) / 0.20) ** 2))
        skull = self.head.depth * (1 - (u / self.head.width) ** 2 - (v / 1.15) ** 2)
        return float(skull + 0.75 * self.nose.height * bump)

    def depth(self, height: Field) -> Field:
        """Return how near to the viewer each pixel's point is, in face units."""
        a, b, c = self.rotation[2]
        depth: Field = a * self.u + b * self.v + c * height
        return depth


def coarse_height(u: Field, v: Field, head: Head, nose: Nose, inside: Field) -> Field:
    """Return the height that places the features: skull and nose, without fine relief."""
    skull = head.depth * (1 - np.minimum(inside, 1.7))
    bump = gaussian(u, v - (nose.tip - 0.04), 0.14, 0.20)
    return skull + (0.75 * nose.height) * bump


def look(head: Head, nose: Nose, pose: Pose, size_px: int) -> View:
    """Find the face's point behind each pixel around the head."""
    columns = _span(pose.centre_x, -1.25, 1.25, pose.scale, size_px)
    rows = _span(pose.centre_y, -1.70, 1.30, pose.scale, size_px)
    rotation, table = _rotation(pose), outline(head)
    back = np.linalg.inv(rotation[:2, :2].astype(np.float64)).astype(np.float32)
    shift = back @ rotation[:2, 2]
    x, y = (
        _grid(columns, pose.centre_x, pose.scale)[None, :],
        _grid(rows, pose.centre_y, pose.scale)[:, None],
    )
    flat_u, flat_v = back[0, 0] * x + back[0, 1] * y, back[1, 0] * x + back[1, 1] * y
    # The height is smooth: found on every third pixel, then stretched.
    middle = (slice(1, None, _STRIDE), slice(1, None, _STRIDE))
    height = np.zeros_like(flat_u[middle])
    for _ in range(_ITERATIONS):
        u, v = flat_u[middle] - shift[0] * height, flat_v[middle] - shift[1] * height
        height = coarse_height(u, v, head, nose, radius_share(u, v, table))
    stretched = Image.fromarray(height).resize(flat_u.shape[::-1], Image.Resampling.BILINEAR)
    full = np.asarray(stretched, dtype=np.float32)
    u, v = flat_u - shift[0] * full, flat_v - shift[1] * full
    return View(rotation, pose, head, nose, (rows, columns), u, v, radius_share(u, v, table))


def _grid(pixels: slice, centre: float, scale: float) -> Field:
    at = np.arange(pixels.start, pixels.stop, dtype=np.float32)
    return (at - centre) / scale


def _span(centre: float, low: float, high: float, scale: float, size_px: int) -> slice:
    """Return the pixels between two face coordinates, a whole number of strides."""
    start = max(0, int(centre + low * scale))
    stop = min(size_px, int(centre + high * scale) + 1)
    return slice(start, stop - (stop - start) % _STRIDE)


def _within(centre: float, half: float, size: int) -> slice:
    return slice(max(0, int(centre - half)), min(size, max(0, int(centre + half) + 1)))


def normals(depth: Field, pose: Pose) -> tuple[Field, Field, Field]:
    """Return the unit normals (x, y down, z to the viewer) of a surface seen at these depths."""
    rise_y, rise_x = np.gradient(depth * pose.scale)
    length = 1 / np.sqrt(rise_x * rise_x + rise_y * rise_y + 1)
    return -rise_x * length, -rise_y * length, length
