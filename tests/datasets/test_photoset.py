"""A folder becomes a photo set: every file is used or rejected with its reason."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from audit.errors import UserError
from audit.types import PhotoSet
from datasets import generated
from datasets.photoset import load


def write_photo(path: Path, seed: int, exif: bytes = b"") -> Path:
    shades = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(shades).resize((96, 80), Image.Resampling.BICUBIC).save(path, exif=exif)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for person, seeds in {"alice": (1, 2, 3), "bob": (4, 5)}.items():
        for seed in seeds:
            write_photo(tmp_path / "photos" / person / f"{seed}.png", seed)
    return tmp_path / "photos"


def reasons(photo_set: PhotoSet) -> dict[str, str]:
    return {
        r.path.relative_to(photo_set.root).as_posix(): str(r.reason) for r in photo_set.rejections
    }


def test_photos_are_ordered_by_person_then_hash(root: Path) -> None:
    photo_set = load(root)
    keys = [(photo.person, photo.sha256) for photo in photo_set.photos]
    assert keys == sorted(keys)
    assert photo_set.people == ("alice", "bob")
    assert len(photo_set.photos) == 5
    assert {(photo.width, photo.height) for photo in photo_set.photos} == {(96, 80)}
    assert {len(photo.fingerprint) for photo in photo_set.photos} == {64}
    assert photo_set.rejections == ()
    assert not photo_set.generated


def test_two_loads_are_equal_and_names_of_files_do_not_count(root: Path) -> None:
    first = load(root)
    assert load(root) == first
    for number, path in enumerate(sorted(root.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed {number}.jpeg"))
    assert load(root).sha256 == first.sha256


def test_one_bad_file_of_each_kind_is_rejected_and_the_rest_is_used(root: Path) -> None:
    alice = root / "alice"
    (alice / "empty.jpg").touch()
    (alice / "notes.txt").write_text("who is who")
    (alice / "cut.png").write_bytes((alice / "1.png").read_bytes()[:-200])
    (alice / "folder.jpg").mkdir()
    (alice / "link.jpg").symlink_to("gone.jpg")
    Image.new("RGB", (20, 20)).save(alice / "tiny.png")
    shutil.copy(alice / "1.png", alice / "1 copy.png")
    write_photo(root / "loose.png", 10)
    photo_set = load(root)
    assert reasons(photo_set) == {
        "loose.png": "no_person_folder",
        "alice/1.png": "duplicate_exact",
        "alice/cut.png": "truncated",
        "alice/empty.jpg": "zero_byte",
        "alice/folder.jpg": "not_a_file",
        "alice/link.jpg": "not_a_file",
        "alice/notes.txt": "not_an_image",
        "alice/tiny.png": "too_small",
    }
    assert len(photo_set.of("alice")) == 3
    assert len(photo_set.of("bob")) == 2


def test_hidden_files_and_sidecars_are_ignored(root: Path) -> None:
    for name in (".DS_Store", "README.md", "labels.CSV", "Thumbs.db", "alice/.hidden.jpg"):
        (root / name).write_text("x")
    (root / "alice" / "Thumbs.db").write_text("x")
    write_photo(root / ".thumbnails" / "1.png", 20)
    assert load(root).rejections == ()


def test_same_photo_of_two_people_is_rejected_in_both(root: Path) -> None:
    shutil.copy(root / "alice" / "1.png", root / "bob" / "x.png")
    photo_set = load(root)
    assert reasons(photo_set) == {
        "alice/1.png": "duplicate_across_people",
        "bob/x.png": "duplicate_across_people",
    }
    assert photo_set.rejections[0].detail == "the same photo as bob/x.png"
    assert photo_set.rejections[1].detail == "the same photo as alice/1.png"


def test_same_flat_picture_of_two_people_is_rejected_in_both(root: Path) -> None:
    for person in ("alice", "bob"):
        Image.new("RGB", (90, 90), "grey").save(root / person / "flat.png")
    assert set(reasons(load(root))) == {"alice/flat.png", "bob/flat.png"}


def test_a_folder_name_that_is_no_text_is_refused(root: Path) -> None:
    (root / os.fsdecode(b"zo\xeb")).mkdir()
    with pytest.raises(UserError, match="not UTF-8"):
        load(root)


def test_nearly_the_same_photo_of_two_people_is_rejected_in_both(root: Path) -> None:
    with Image.open(root / "alice" / "2.png") as image:
        image.crop((2, 2, 95, 79)).save(root / "bob" / "x.jpg", quality=80)
    photo_set = load(root)
    assert set(reasons(photo_set)) == {"alice/2.png", "bob/x.jpg"}
    assert photo_set.rejections[0].detail == "nearly the same photo as bob/x.jpg"


def test_nearly_the_same_photo_of_one_person_is_kept(root: Path) -> None:
    with Image.open(root / "alice" / "2.png") as image:
        image.save(root / "alice" / "x.jpg", quality=80)
    assert len(load(root).of("alice")) == 4


def test_photos_without_or_with_several_faces_are_rejected(root: Path) -> None:
    shutil.copy(root / "alice" / "1.png", root / "alice" / "1 copy.png")
    plain = load(root)
    no_face, crowd = plain.of("alice")[0], plain.of("bob")[1]
    counts = {no_face.sha256: 0, crowd.sha256: 3}
    asked: list[str] = []

    def count_faces(sha256: str, pixels: NDArray[np.uint8]) -> int:
        assert pixels.shape == (80, 96, 3)
        asked.append(sha256)
        return counts.get(sha256, 1)

    photo_set = load(root, count_faces)
    rejected = {r.sha256: str(r.reason) for r in photo_set.rejections}
    assert rejected[no_face.sha256] == "no_face"
    assert rejected[crowd.sha256] == "several_faces"
    assert len(photo_set.photos) == 3
    assert set(asked) == {photo.sha256 for photo in plain.photos}


def test_progress_counts_every_file(root: Path) -> None:
    (root / "alice" / "empty.jpg").touch()
    seen: list[tuple[int, int]] = []
    load(root, on_photo=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_person_names_are_composed_unicode(root: Path) -> None:
    write_photo(root / unicodedata.normalize("NFD", "Zoë") / "1.png", 30)
    assert "Zoë" in load(root).people


@pytest.mark.parametrize("twin", ["Alice", "zoë"])
def test_names_that_differ_in_spelling_only_are_refused(root: Path, twin: str) -> None:
    write_photo(root / unicodedata.normalize("NFD", "zoë") / "1.png", 30)
    write_photo(root / twin / "2.png", 31)
    with pytest.raises(UserError, match="differ only in case"):
        load(root)


def test_generated_only_if_every_photo_is(tmp_path: Path) -> None:
    generated.write_people(tmp_path / "photos", people=2, photos=2)
    assert load(tmp_path / "photos").generated
    write_photo(tmp_path / "photos" / "person-000" / "real.png", 1)
    assert not load(tmp_path / "photos").generated


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda _: None, "there is no folder"),
        (lambda path: path.write_text("x"), "is a file"),
        (lambda path: path.mkdir(), "is empty"),
        (lambda path: write_photo(path / "1.png", 1), "no folder for a person"),
        (lambda path: (path / "alice").mkdir(parents=True), "all empty"),
    ],
)
def test_wrong_folders_are_told_apart_and_show_the_layout(
    tmp_path: Path, make: object, seen: str
) -> None:
    assert callable(make)
    make(tmp_path / "photos")
    with pytest.raises(UserError, match=seen) as caught:
        load(tmp_path / "photos")
    assert "photos/alice/1.jpg" in caught.value.expected
    assert caught.value.remedy


def test_photos_of_nothing_but_bad_files_is_an_empty_set(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir()
    (tmp_path / "alice" / "1.jpg").touch()
    photo_set = load(tmp_path)
    assert photo_set.photos == ()
    assert not photo_set.generated
    assert reasons(photo_set) == {"alice/1.jpg": "zero_byte"}


def test_odd_exif_warns_nobody(root: Path) -> None:
    write_photo(root / "alice" / "odd.jpg", 40, exif=b"Exif\0\0II*\0\x08\0\0\0\x50\0")
    assert reasons(load(root)) == {}


def test_folder_that_cannot_be_read_is_rejected(root: Path) -> None:
    (root / "bob").chmod(0)
    if os.access(root / "bob", os.R_OK):
        pytest.skip("this user may read every folder")
    photo_set = load(root)
    (root / "bob").chmod(0o755)
    assert reasons(photo_set) == {"bob": "unreadable"}
