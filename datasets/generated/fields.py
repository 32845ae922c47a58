"""Small arithmetic on colours and on float32 pixel fields."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]


def linear(red: int, green: int, blue: int) -> Colour:
    """Return the linear RGB of an 8-bit display colour."""
    return ((red / 255) ** 2.2, (green / 255) ** 2.2, (blue / 255) ** 2.2)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour `share` of the way from first to second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a lighter or darker colour."""
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def smoothstep(low: float, high: float, field: Field) -> Field:
    """Return 0 below low, 1 above high and a smooth ramp between; low > high turns it round."""
    t = np.clip((field - low) * (1 / (high - low)), 0, 1)
    ramp: Field = t * t * (3 - 2 * t)
    return ramp


def gaussian(u: Field, v: Field, width_u: float, width_v: float) -> Field:
    """Return a bell of height 1 with the given standard deviations."""
    a, b = (0.5 / width_u**2), (0.5 / width_v**2)
    bell: Field = np.exp(-(u * u * a + v * v * b))
    return bell


def paint(canvas: Field, colour: Colour, mask: Field, tone: Field | None = None) -> None:
    """Lay a colour over a 3 x height x width canvas in place, where mask (0..1) says so.

    `tone` makes the colour lighter or darker pixel by pixel.
    """
    for channel in range(3):
        plane, value = canvas[channel], colour[channel]
        plane += ((value if tone is None else value * tone) - plane) * mask


def noise(rng: np.random.Generator, rows: int, columns: int, height: int, width: int) -> Field:
    """Return smooth noise: rows x columns normal values, stretched to height x width."""
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    stretched = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(stretched, dtype=np.float32)


def lit_by(colour: Colour, light: Colour) -> Colour:
    """Return the light that a surface of a colour sends back."""
    return (colour[0] * light[0], colour[1] * light[1], colour[2] * light[2])


def strands(table: Field, at: Field) -> Field:
    """Return a periodic table of values, read between its entries at any position."""
    floor = np.floor(at)
    index = floor.astype(np.int32) % (len(table) - 1)
    share = at - floor
    return table[index] * (1 - share) + table[index + 1] * share
