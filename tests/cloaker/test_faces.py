from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cloaker.faces import FaceFinder

Pixels = NDArray[np.uint8]
DrawPhoto = Callable[[int, int], Pixels]


def test_finds_the_one_face_of_a_portrait(finder: FaceFinder, draw: DrawPhoto) -> None:
    for person in range(3):
        (face,) = finder.find(draw(person, 0))
        assert face.probability >= 0.9
        right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
        assert right_eye[0] < nose[0] < left_eye[0]
        assert right_mouth[0] < left_mouth[0]
        assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
        for x, y in face.landmarks:
            assert face.left < x < face.left + face.width
            assert face.top < y < face.top + face.height


def test_the_largest_face_comes_first(finder: FaceFinder, draw: DrawPhoto) -> None:
    photo = draw(0, 0)
    half = np.asarray(Image.fromarray(draw(1, 0)).resize((125, 125)))
    side = np.full((250, 125, 3), 90, dtype=np.uint8)
    side[60:185] = half
    first, second = finder.find(np.hstack([side, photo]))
    assert first.left > 125 > second.left + second.width / 2
    assert first.width * first.height > second.width * second.height


def test_a_large_photo_gives_the_same_face_at_its_own_scale(
    finder: FaceFinder, draw: DrawPhoto
) -> None:
    photo = draw(2, 0)
    (small,) = finder.find(photo)
    large_photo = Image.fromarray(photo).resize((2500, 2500), Image.Resampling.BICUBIC)
    (large,) = finder.find(np.asarray(large_photo))
    scaled = (np.array(small.landmarks) + 0.5) * 10 - 0.5
    assert np.abs(np.array(large.landmarks) - scaled).max() < 0.08 * 10 * small.side


def test_a_face_cut_by_the_border_has_a_box_inside_the_photo(
    finder: FaceFinder, draw: DrawPhoto
) -> None:
    cut = draw(0, 0)[70:, 85:]
    for face in finder.find(cut):
        assert face.left >= 0
        assert face.top >= 0
        assert face.left + face.width <= cut.shape[1]
        assert face.top + face.height <= cut.shape[0]


def test_small_faces_do_not_count(draw: DrawPhoto) -> None:
    pixels = draw(0, 0)
    (face,) = FaceFinder().find(pixels)
    assert FaceFinder(min_side_px=int(face.side) + 1).find(pixels) == ()
    assert len(FaceFinder(min_side_px=int(face.side)).find(pixels)) == 1


def test_unlikely_faces_do_not_count(draw: DrawPhoto) -> None:
    assert FaceFinder(min_probability=1.01).find(draw(0, 0)) == ()


@pytest.mark.parametrize("side_px", [250, 110])
def test_searching_no_smaller_faces_finds_the_same(
    finder: FaceFinder, draw: DrawPhoto, side_px: int
) -> None:
    photo = np.asarray(Image.fromarray(draw(1, 0)).resize((side_px, side_px)))
    (face,) = finder.find(photo)
    (found,) = FaceFinder(searched_from_px=36).find(photo)
    assert np.array(found.landmarks) == pytest.approx(np.array(face.landmarks), abs=1e-3)
    assert FaceFinder(searched_from_px=2 * side_px).find(photo) == ()


@pytest.mark.parametrize("size", [(1, 1), (19, 200), (200, 19), (20, 20), (64, 3000)])
def test_photos_too_small_for_a_face_have_none(finder: FaceFinder, size: tuple[int, int]) -> None:
    assert finder.find(np.full((*size, 3), 128, dtype=np.uint8)) == ()


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 90), st.integers(20, 90), st.integers(0, 2**32 - 1))
def test_noise_never_ends_the_search(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for face in _FINDER.find(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)):
        assert face.side >= 36


_FINDER = FaceFinder()
