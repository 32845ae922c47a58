"""People in code: the same on every call, marked, resumable, found by a detector of real faces."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from facenet_pytorch import MTCNN
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.generated import is_generated, person, render, write_people


def test_a_person_is_the_same_on_every_call() -> None:
    assert person(7) == person(7)
    assert person(7) != person(8)
    assert person(7) != person(7, seed=1)


def test_another_process_renders_equal_pixels() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere = pool.apply(render, (person(3), 5))
    assert np.array_equal(elsewhere, render(person(3), 5))


def test_photos_of_one_person_differ() -> None:
    first, second = render(person(3), 0), render(person(3), 1)
    assert not np.array_equal(first, second)


def test_the_seed_changes_the_photo() -> None:
    assert not np.array_equal(render(person(3), 0), render(person(3), 0, seed=1))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 10**6), st.integers(0, 2**40))
def test_every_number_gives_a_photo(index: int, photo_index: int, seed: int) -> None:
    photo = render(person(index, seed), photo_index, seed)
    assert photo.shape == (250, 250, 3)
    assert photo.dtype == np.uint8
    assert photo.std() > 5


def test_skin_tones_cover_the_range_evenly() -> None:
    tones = np.array([person(index).skin.tone for index in range(1000)])
    assert np.histogram(tones, bins=10, range=(0, 1))[0].min() > 60


def test_the_detector_finds_exactly_one_face_whatever_the_skin_tone() -> None:
    detector = MTCNN(keep_all=True)
    photos = [render(person(100 + index), index) for index in range(100)]
    found = []
    for start in range(0, len(photos), 24):
        boxes, _ = detector.detect(np.stack(photos[start : start + 24]))
        found += [0 if one is None else len(one) for one in boxes]
    assert sum(count == 1 for count in found) >= 0.98 * len(found)
    assert max(found) <= 1


def test_files_show_the_rendered_pixels_and_are_marked(tmp_path: Path) -> None:
    write_people(tmp_path, 2, 2, seed=4)
    paths = sorted(tmp_path.rglob("*.png"))
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "person-000/0001.png",
        "person-000/0002.png",
        "person-001/0001.png",
        "person-001/0002.png",
    ]
    with Image.open(paths[1]) as picture:
        assert picture.info["audit-generated"] == "1"
        assert is_generated(picture.info)
        assert np.array_equal(np.asarray(picture), render(person(0, 4), 1, 4))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


@pytest.mark.parametrize("info", [{}, {"audit-generated": "0"}, {"comment": "audit-generated"}])
def test_other_photos_are_not_taken_for_generated_ones(info: dict[str, object]) -> None:
    assert not is_generated(info)


def test_people_may_have_different_numbers_of_photos(tmp_path: Path) -> None:
    seen: list[Path] = []
    write_people(tmp_path, 3, {0: 3, 1: 1, 2: 2}.__getitem__, on_photo=seen.append)
    assert [path.parent.name for path in seen] == [f"person-00{n}" for n in (0, 0, 0, 1, 2, 2)]
    assert sorted(tmp_path.rglob("*.png")) == seen


def _times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.png")}


def test_complete_files_are_not_written_again(tmp_path: Path) -> None:
    write_people(tmp_path, 2, 2)
    before = _times(tmp_path)
    write_people(tmp_path, 2, 2)
    assert _times(tmp_path) == before


def test_an_interrupted_write_is_completed(tmp_path: Path) -> None:
    def stop_at_the_second(path: Path) -> None:
        if path.name == "0002.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_people(tmp_path, 2, 3, on_photo=stop_at_the_second)
    before = _times(tmp_path)
    assert len(before) == 2
    write_people(tmp_path, 2, 3)
    after = _times(tmp_path)
    assert len(after) == 6
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no picture"])
def test_a_broken_file_is_written_again(tmp_path: Path, content: bytes) -> None:
    write_people(tmp_path, 1, 1)
    path = tmp_path / "person-000" / "0001.png"
    path.write_bytes(content)
    write_people(tmp_path, 1, 1)
    with Image.open(path) as picture:
        assert np.array_equal(np.asarray(picture), render(person(0), 0))


def test_files_of_another_seed_are_replaced(tmp_path: Path) -> None:
    write_people(tmp_path, 1, 1, seed=1)
    write_people(tmp_path, 1, 1, seed=2)
    with Image.open(tmp_path / "person-000" / "0001.png") as picture:
        assert np.array_equal(np.asarray(picture), render(person(0, 2), 0, 2))
