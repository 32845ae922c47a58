"""Lay small pictures over one another, many pairs at once, and compare them window by window.

A placement is (scale and shift across, scale and shift down), in units of half the picture: the
right picture is read at scale * x + shift. Pixels that fall outside it don't count.
"""

import functools

import numpy as np
from numpy.typing import NDArray

DEVIATION_MAX = 0.25  # of the scale from 1, of the shift from 0
WINDOW_SHARE = 0.2  # of the picture's side: a mouth or an eye fills a window
WINDOW_COVER_MIN = 0.9  # windows with fewer of their pixels in both pictures don't count
DETAIL_PX = 0.7  # details lie between this blur and the next
COARSE_SHARE = 1 / 16  # of the picture's side
NEUTRAL = np.array([1.0, 0, 1, 0])
TINY = 1e-6

Floats = NDArray[np.float64]


def pooled(pictures: NDArray[np.uint8]) -> Floats:
    """Return pictures (n x side x side) at half the side."""
    n, side, _ = pictures.shape
    halves: Floats = pictures.reshape(n, side // 2, 2, side // 2, 2).mean((2, 4))
    return halves


def lay_over(
    left: Floats, right: Floats, *, sigma_px: float, steps: int, start: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the placements (n x 4) of right on left, and the correlations (n) there.

    Gauss-Newton on the difference of the blurred pictures, free in gain and offset.
    """
    blur = _gaussian(left.shape[1], sigma_px)
    a, b = blur @ left @ blur.T, blur @ right @ blur.T
    place = np.tile(NEUTRAL, (len(a), 1)) if start is None else start
    for _ in range(steps):
        place = _improved(a, b, place)
    return place, _correlation(a, *_placed(b, place))


def worst_window(left: Floats, right: Floats, place: Floats) -> Floats:
    """Return the lowest correlation of the pictures' details in any window, per pair.

    Each window's energy is topped up by the whole picture's mean energy, so that noise in a flat
    window counts little.
    """
    placed, inside = _placed(right, place)
    a, b = _details(left, inside), _details(placed, inside)
    windows = _windows(left.shape[1])
    covered = windows @ inside @ windows.T
    aa, bb, ab = (covered + windows @ product @ windows.T for product in (a * a, b * b, a * b))
    counts = covered >= WINDOW_COVER_MIN * covered.max()
    lowest: Floats = np.where(counts, ab / np.sqrt(aa * bb + TINY), 1).min((1, 2))
    return lowest


def _improved(a: Floats, b: Floats, place: Floats) -> Floats:
    """Do one Gauss-Newton step: placed(b) + slopes * change = gain * a + offset."""
    n, side, _ = a.shape
    place_across, place_down = _rows(side, place[:, :2]), _rows(side, place[:, 2:])
    placed, inside = _placed(b, place)
    down, across = (
        place_down @ slope @ place_across.transpose(0, 2, 1) * (side / 2)
        for slope in np.gradient(b, axis=(1, 2))
    )
    x = _coordinates(side)
    columns = [across * x, across, down * x[:, None], down, -a, -np.ones_like(a)]
    system = np.stack([(column * inside).reshape(n, -1) for column in columns], axis=1)
    normal = system @ system.transpose(0, 2, 1)
    ridge = TINY * (1 + np.trace(normal, axis1=1, axis2=2))
    normal += ridge[:, None, None] * np.eye(len(columns))
    goal = -(system @ placed.reshape(n, -1, 1))
    change: Floats = np.linalg.solve(normal, goal)[:, :4, 0]
    moved: Floats = place + change
    return np.clip(moved, NEUTRAL - DEVIATION_MAX, NEUTRAL + DEVIATION_MAX)


def _placed(right: Floats, place: Floats) -> tuple[Floats, Floats]:
    """Return the right pictures as placed, and where (0 or 1) they have pixels."""
    side = right.shape[1]
    across, down = _rows(side, place[:, :2]), _rows(side, place[:, 2:])
    inside = np.einsum("ni,nj->nij", down.sum(2) > 1 - 1e-3, across.sum(2) > 1 - 1e-3)
    return down @ right @ across.transpose(0, 2, 1), inside.astype(np.float64)


def _rows(side: int, place: Floats) -> Floats:
    """Return the matrices (n x side x side) that read a line at scale * x + shift, linearly."""
    at = place[:, :1] * _coordinates(side) + place[:, 1:]
    pixel = at * (side / 2) + (side - 1) / 2
    distance = np.abs(pixel[:, :, None] - np.arange(side))
    weights: Floats = np.maximum(1 - distance, 0)
    return weights


def _correlation(a: Floats, b: Floats, inside: Floats) -> Floats:
    """Return the correlation of pictures over the pixels inside."""
    count = inside.sum((1, 2), keepdims=True) + TINY
    a = (a - (a * inside).sum((1, 2), keepdims=True) / count) * inside
    b = (b - (b * inside).sum((1, 2), keepdims=True) / count) * inside
    energy = (a * a).sum((1, 2)) * (b * b).sum((1, 2))
    correlation: Floats = (a * b).sum((1, 2)) / np.sqrt(energy + TINY)
    return correlation


def _details(pictures: Floats, inside: Floats) -> Floats:
    """Return pictures without their coarse shades, at mean energy 1 over the pixels inside."""
    side = pictures.shape[1]
    fine, coarse = (
        (blur @ (pictures * inside) @ blur.T) / np.maximum(blur @ inside @ blur.T, TINY)
        for blur in (_gaussian(side, DETAIL_PX), _gaussian(side, COARSE_SHARE * side))
    )
    details = (fine - coarse) * inside
    energy = (details**2).sum((1, 2)) / (inside.sum((1, 2)) + TINY)
    scaled: Floats = details / np.sqrt(energy + TINY)[:, None, None]
    return scaled


@functools.cache
def _coordinates(side: int) -> Floats:
    """Return the pixels' centres, from -1 to 1 between the picture's edges."""
    return np.arange(1 - side, side, 2, dtype=np.float64) / side


@functools.cache
def _gaussian(side: int, sigma_px: float) -> Floats:
    """Return the matrix that blurs a line of pixels; its rows sum to 1 at the edges too."""
    pixels = np.arange(side)
    weights = np.exp(-((pixels[:, None] - pixels) ** 2) / (2 * sigma_px**2))
    normalised: Floats = weights / weights.sum(1, keepdims=True)
    return normalised


@functools.cache
def _windows(side: int) -> Floats:
    """Return the matrix that sums a line of pixels over every window that fits."""
    width = round(WINDOW_SHARE * side)
    first = np.arange(side - width + 1)[:, None]
    pixels = np.arange(side)
    return ((pixels >= first) & (pixels < first + width)).astype(np.float64)
