import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloaker.geometry import (
    Box,
    align,
    feather,
    footprint,
    inverse,
    paste,
    planes,
    shifted,
    similarity,
)
from cloaker.networks.base import ARCFACE_112, ARCFACE_112X96

ANGLES = st.floats(-math.pi, math.pi)
SCALES = st.floats(0.05, 20)
SHIFTS = st.tuples(st.floats(-500, 500), st.floats(-500, 500))


def _matrix(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def _pairs(points: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


@given(ANGLES, SCALES, SHIFTS)
def test_similarity_recovers_rotation_scale_and_shift(
    angle: float, scale: float, shift: tuple[float, float]
) -> None:
    truth = _matrix(angle, scale, shift)
    source = np.array(ARCFACE_112.points)
    found = similarity(_pairs(source), _pairs(_apply(truth, source)))
    assert np.allclose(found, truth, atol=1e-6)


@given(ANGLES, SCALES, SHIFTS)
def test_inverse_maps_back(angle: float, scale: float, shift: tuple[float, float]) -> None:
    matrix = _matrix(angle, scale, shift)
    points = np.array([(0.0, 0.0), (112.0, 3.0), (-40.0, 77.0)])
    assert np.allclose(_apply(inverse(matrix), _apply(matrix, points)), points, atol=1e-6)


@given(st.lists(SHIFTS, min_size=5, max_size=5), st.floats(-0.1, 0.1), st.floats(-3, 3))
def test_no_other_similarity_fits_better(
    points: list[tuple[float, float]], turn: float, shift: float
) -> None:
    source, target = np.array(points), np.array(ARCFACE_112.points)
    if np.ptp(source, axis=0).max() < 1:
        return
    best = similarity(points, ARCFACE_112.points)
    other = best + _matrix(turn, 0.01, (shift, -shift))

    def error(matrix: np.ndarray) -> float:
        return float(np.square(_apply(matrix, source) - target).sum())

    assert error(best) <= error(other) * (1 + 1e-9)


def test_one_point_gives_no_similarity() -> None:
    with pytest.raises(ValueError, match="one point"):
        similarity([(3.0, 4.0)] * 5, ARCFACE_112.points)


def _wave(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x + 0.0 * y, y + 0.0 * x, 0.5 * x + 0.25 * y])


def test_align_reads_where_the_similarity_points() -> None:
    matrix = _matrix(0.3, 1.2, (-30, 8))
    crop = align(_wave(200, 220), matrix, ARCFACE_112)
    for x, y in [(20, 30), (56, 56), (100, 80)]:
        source = _apply(inverse(matrix), np.array([(float(x), float(y))]))[0]
        assert crop[:2, y, x].tolist() == pytest.approx(source.tolist(), abs=1e-3)


def test_align_of_a_large_face_does_not_alias() -> None:
    checks = (torch.arange(1200)[:, None] + torch.arange(1200)[None]) % 2 * 255.0
    matrix = _matrix(0.1, 112 / 1000, (-10, -5))
    inner = align(checks.expand(3, -1, -1), matrix, ARCFACE_112)[:, 10:-10, 10:-10]
    assert (inner - 127.5).abs().max() < 8


def test_outside_the_photo_is_black() -> None:
    crop = align(torch.full((3, 100, 100), 200.0), _matrix(0, 1, (50, 50)), ARCFACE_112)
    assert crop[:, :49, :49].max() == 0
    assert crop[:, 51:, 51:].min() > 199.9


def test_a_crop_outside_the_photo_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the photo"):
        align(torch.zeros(3, 50, 50), _matrix(0, 1, (500, 0)), ARCFACE_112)


def test_align_of_the_footprint_equals_align_of_the_photo() -> None:
    photo = torch.rand(3, 150, 170, generator=torch.Generator().manual_seed(1)) * 255
    matrix = _matrix(-0.4, 0.9, (-10, 20))
    box = footprint(matrix, ARCFACE_112X96, 150, 170)
    cut = align(box.of(photo), shifted(matrix, box), ARCFACE_112X96)
    assert cut.shape == (3, 112, 96)
    assert torch.allclose(cut, align(photo, matrix, ARCFACE_112X96), atol=1e-2)


@pytest.mark.parametrize("scale", [0.2, 0.8, 1.0, 2.5])
def test_a_pasted_change_shows_in_the_crop_again(scale: float) -> None:
    matrix = _matrix(0.2, scale, (4, 9))
    wave = torch.sin(torch.arange(112) / 9)
    delta = (10 * feather(ARCFACE_112) * wave[:, None] * wave[None]).expand(3, -1, -1)
    height = width = round(160 / scale)
    box = footprint(matrix, ARCFACE_112, height, width)
    photo = torch.zeros(3, height, width)
    box.of(photo).copy_(paste(delta, shifted(matrix, box), box.height, box.width))
    inner = (slice(None), slice(30, 80), slice(30, 80))
    assert (align(photo, matrix, ARCFACE_112)[inner] - delta[inner]).abs().max() < 0.5


def test_a_paste_is_zero_outside_the_footprint() -> None:
    matrix = _matrix(math.pi / 4, 1, (60, -60))
    box = footprint(matrix, ARCFACE_112, 300, 300)
    pasted = paste(torch.ones(3, 112, 112), shifted(matrix, box), box.height, box.width)
    assert (pasted[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    assert pasted.max() == pytest.approx(1)


def test_the_mask_rises_from_the_border() -> None:
    mask = feather(ARCFACE_112X96)
    assert mask.shape == (112, 96)
    border = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() == 0
    assert (mask[8:-8, 8:-8] == 1).all()
    assert (mask[:9, 48].diff() > 0).all()


def test_a_box_grows_inside_the_photo_only() -> None:
    assert Box(5, 90, 4, 6).grown(11, 100, 300) == Box(0, 79, 20, 21)


def test_read_only_pixels_become_a_tensor_without_a_warning() -> None:
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    pixels[1, 2] = (7, 8, 9)
    pixels.flags.writeable = False
    assert planes(pixels)[:, 1, 2].tolist() == [7, 8, 9]
    assert planes(pixels[:, ::-1])[:, 1, 3].tolist() == [7, 8, 9]
