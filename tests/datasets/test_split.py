"""A split depends on the seed and the photos alone, and every photo has exactly one role."""

import hashlib
import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from audit.errors import UserError
from audit.types import Photo, PhotoSet, Rejection, Split
from datasets.photoset import load
from datasets.split import rows, split

ROOT = Path("photos")


def photo(person: str, number: int) -> Photo:
    """Return a photo whose hash and fingerprint are those of nothing else."""
    sha256 = hashlib.sha256(f"{person}/{number}".encode()).hexdigest()
    fingerprint = hashlib.sha256(sha256.encode()).hexdigest()
    return Photo(sha256, person, ROOT / person / f"{number}.jpg", 200, 100, fingerprint)


def photo_set(counts: dict[str, int]) -> PhotoSet:
    photos = [photo(person, i) for person, count in counts.items() for i in range(count)]
    return PhotoSet(ROOT, tuple(sorted(photos, key=lambda p: (p.person, p.sha256))))


COUNTS = st.dictionaries(
    st.sampled_from(["bob", "carol", "dan", "Zoë", "eve"]), st.integers(1, 8), min_size=1
).flatmap(lambda others: st.integers(3, 30).map(lambda own: {"alice": own} | others))
SEEDS = st.integers(0, 2**32)


@given(counts=COUNTS, seed=SEEDS, data=st.data())
def test_sizes_and_one_role_per_photo(
    counts: dict[str, int], seed: int, data: st.DataObject
) -> None:
    photos = photo_set(counts)
    train = data.draw(st.integers(2, counts["alice"] - 1))
    probes = data.draw(st.none() | st.integers(1, counts["alice"] - train))
    decoys = data.draw(st.none() | st.integers(1, len(counts) - 1))
    decoy_photos = data.draw(st.none() | st.integers(1, 9))
    found = split(
        photos, ["alice"], seed=seed, train=train, probes=probes, decoys=decoys,
        decoy_photos=decoy_photos,
    )  # fmt: skip
    assert len(found.train["alice"]) == train
    assert len(found.probe["alice"]) == (probes or counts["alice"] - train)
    assert len(found.decoy) == (decoys or len(counts) - 1)
    assert len(found.decoy) + len(found.target) == len(counts) - 1
    for person, enrolled in found.decoy.items():
        assert len(enrolled) == min(counts[person], decoy_photos or 9)
    groups = (found.train, found.probe, found.decoy, found.target)
    placed = [p for group in groups for held in group.values() for p in held]
    assert len(placed) == len(set(placed))
    table = rows(photos, found, ROOT)
    assert sorted(row["sha256"] for row in table) == sorted(p.sha256 for p in photos.photos)
    assert Counter(row["role"] for row in table)["unused"] == len(photos.photos) - len(placed)


@given(counts=COUNTS, seed=SEEDS)
def test_same_seed_same_split(counts: dict[str, int], seed: int) -> None:
    photos = photo_set(counts)
    shuffled = replace(photos, photos=photos.photos[::-1])
    assert split(photos, ["alice"], seed=seed, train=2) == split(
        shuffled, ["alice"], seed=seed, train=2
    )


@given(counts=COUNTS, seed=SEEDS, more=st.integers(1, 5))
def test_more_decoys_leave_the_protected_persons_split(
    counts: dict[str, int], seed: int, more: int
) -> None:
    before = split(photo_set(counts), ["alice"], seed=seed, train=0.5)
    grown = {p: n if p == "alice" else n + more for p, n in counts.items()} | {"new": more}
    after = split(photo_set(grown), ["alice"], seed=seed, train=0.5)
    assert (before.train, before.probe) == (after.train, after.probe)


@given(counts=COUNTS, seed=SEEDS)
def test_renamed_files_leave_the_split(counts: dict[str, int], seed: int) -> None:
    photos = photo_set(counts)
    renamed = replace(
        photos,
        photos=tuple(
            replace(p, path=p.path.with_name(f"{len(photos.photos) - i}.png"))
            for i, p in enumerate(photos.photos)
        ),
    )
    before = split(photos, ["alice"], seed=seed, train=2)
    assert hashes(before) == hashes(split(renamed, ["alice"], seed=seed, train=2))


def hashes(found: Split) -> list[dict[str, list[str]]]:
    groups = (found.train, found.probe, found.decoy, found.target)
    return [{who: [p.sha256 for p in held] for who, held in group.items()} for group in groups]


@given(own=st.integers(4, 200), fraction=st.floats(0.4, 0.7))
def test_a_fraction_rounds_half_up(own: int, fraction: float) -> None:
    found = split(photo_set({"alice": own, "bob": 1}), ["alice"], seed=1, train=fraction)
    assert len(found.train["alice"]) == math.floor(fraction * own + 0.5)


def test_the_order_is_the_seeded_hash_of_the_photo() -> None:
    photos = photo_set({"alice": 5, "bob": 1})
    found = split(photos, ["alice"], seed=7, train=2)
    expected = sorted(
        photos.of("alice"), key=lambda p: hashlib.sha256(f"7:{p.sha256}".encode()).hexdigest()
    )
    assert [*found.train["alice"], *found.probe["alice"]] == expected


def test_several_protected_people_are_nobodys_decoys() -> None:
    photos = photo_set({"alice": 5, "bob": 6, "carol": 2, "dan": 2})
    found = split(photos, ["bob", "alice", "bob"], seed=1, train=3, decoys=1)
    assert list(found.train) == ["bob", "alice"]
    assert {*found.decoy, *found.target} == {"carol", "dan"}


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"train": 1}, "1 training photos of 'alice', who has 5"),
        ({"train": 0.1}, "1 training photos of 'alice', who has 5"),
        ({"train": 5}, "5 training photos of 'alice', who has 5"),
        ({"train": 0.95}, "5 training photos of 'alice', who has 5"),
        ({"train": 1.0}, "fraction of 1.0"),
        ({"train": 0.0}, "fraction of 0.0"),
        ({"train": math.nan}, "fraction of nan"),
        ({"train": 3, "probes": 3}, "3 probes of 'alice' asked for, 2 photos are left"),
        ({"train": 3, "probes": 0}, "probes = 0"),
        ({"train": 3, "decoys": 3}, "3 decoys asked for, 2 people"),
        ({"train": 3, "decoys": 0}, "0 decoys asked for"),
        ({"train": 3, "decoy_photos": 0}, "decoy_photos = 0"),
    ],
)
def test_what_the_photo_set_cannot_give_is_refused(options: dict[str, Any], seen: str) -> None:
    photos = photo_set({"alice": 5, "bob": 2, "carol": 2})
    with pytest.raises(UserError, match=seen) as caught:
        split(photos, ["alice"], seed=1, **options)
    assert caught.value.expected
    assert caught.value.remedy


def test_nobody_else_is_no_decoy() -> None:
    with pytest.raises(UserError, match="nobody beside the protected"):
        split(photo_set({"alice": 5}), ["alice"], seed=1, train=2)


def test_nobody_to_protect() -> None:
    with pytest.raises(UserError, match="no person to protect"):
        split(photo_set({"alice": 5, "bob": 1}), [], seed=1, train=2)


def test_an_unknown_person_is_told_who_is_there() -> None:
    photos = photo_set({"Alice_Liddell": 5, "bob": 2})
    with pytest.raises(UserError, match="nobody in photos is called 'alice'") as caught:
        split(photos, ["alice"], seed=1, train=2)
    assert caught.value.expected == "one of its 2 people: Alice_Liddell, bob"
    assert caught.value.remedy == "did you mean 'Alice_Liddell'?"


def test_a_person_whose_photos_are_all_rejected() -> None:
    rejected = tuple(
        Rejection(ROOT / "dan" / f"{i}.jpg", "dan", "no_face", "no face was found")
        for i in range(2)
    )
    photos = replace(photo_set({"alice": 5, "bob": 2}), rejections=rejected)
    with pytest.raises(UserError, match="'dan' has no usable photo: 2 no_face"):
        split(photos, ["dan"], seed=1, train=2)


def test_a_persons_name_may_be_typed_decomposed() -> None:
    photos = photo_set({"Zoë": 5, "bob": 2})
    assert list(split(photos, ["Zoe\u0308"], seed=1, train=2).train) == ["Zoë"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for person, seeds in {"alice": range(6), "bob": range(10, 12)}.items():
        (tmp_path / person).mkdir()
        for seed in seeds:
            shades = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
            image = Image.fromarray(shades).resize((96, 80), Image.Resampling.BICUBIC)
            image.save(tmp_path / person / f"{seed}.png")
    return tmp_path


def test_a_copy_of_an_enrolled_photo_is_replaced_by_the_next_in_order(root: Path) -> None:
    with_copies = root / "alice"
    for path in sorted(with_copies.iterdir()):
        with Image.open(path) as image:
            ImageOps.mirror(image).save(with_copies / f"{path.stem} copy.jpg", quality=85)
    photos = load(root)
    found = split(photos, ["alice"], seed=3, train=4, probes=4)
    stems = {p.path.stem.removesuffix(" copy") for p in found.train["alice"]}
    assert {p.path.stem.removesuffix(" copy") for p in found.probe["alice"]}.isdisjoint(stems)
    assert found.rejections
    for rejection in found.rejections:
        assert str(rejection.reason) == "duplicate_of_train"
        stem = rejection.path.stem.removesuffix(" copy")
        assert f"nearly the same photo as alice/{stem}" in rejection.detail
    table = {row["path"]: row for row in rows(photos, found, root)}
    assert len(table) == 14
    for rejection in found.rejections:
        row = table[rejection.path.relative_to(root).as_posix()]
        assert (row["role"], row["rejected"], row["width"]) == ("unused", True, 96)


def test_nothing_but_copies_left_is_no_probe(root: Path) -> None:
    with Image.open(root / "alice" / "1.png") as image:
        copies = [image.resize((100 + 10 * number, 90)) for number in range(6)]
    for number, copy in enumerate(copies):
        copy.save(root / "alice" / f"{number}.png")
    with pytest.raises(UserError, match="no probe of 'alice' is left: all"):
        split(load(root), ["alice"], seed=1, train=3)


def test_exact_copies_of_decoys_are_refused_even_if_the_set_was_not_checked() -> None:
    photos = photo_set({"alice": 6, "bob": 2})
    probe = split(photos, ["alice"], seed=1, train=3).probe["alice"]
    twin = replace(probe[0], person="bob", path=ROOT / "bob" / "twin.jpg")
    found = split(replace(photos, photos=(*photos.photos, twin)), ["alice"], seed=1, train=3)
    assert found.probe["alice"] == probe[1:]
    assert found.rejections[0].detail == "the same photo as bob/twin.jpg, which is enrolled"


def test_rows_hold_every_file_once_and_are_json(root: Path) -> None:
    shutil.copy(root / "alice" / "1.png", root / "alice" / "1 copy.png")
    (root / "bob" / "empty.jpg").touch()
    (root / "loose.jpg").touch()
    photos = load(root)
    table = rows(photos, split(photos, ["alice"], seed=1, train=3, probes=1), root)
    assert json.loads(json.dumps(table)) == table
    assert [row["path"] for row in table] == sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*.*")
    )
    assert Counter(row["role"] for row in table) == {
        "train": 3, "probe": 1, "decoy": 2, "unused": 5,
    }  # fmt: skip
    empty = next(row for row in table if row["path"] == "bob/empty.jpg")
    assert empty == {
        "sha256": "",
        "person": "bob",
        "path": "bob/empty.jpg",
        "role": "unused",
        "rejected": True,
        "reason": "zero_byte",
        "detail": "the file is empty",
        "width": None,
        "height": None,
    }
