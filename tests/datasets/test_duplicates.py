"""Copies are found whatever was done to them; other photos of the same scene are not."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from audit.types import Photo
from datasets import duplicates
from datasets.duplicates import (
    fingerprint,
    greyed,
    near_duplicates,
    near_duplicates_across_people,
    thumbnail,
)
from datasets.photos import read

Pixels = NDArray[np.uint8]


def scene(seed: int, mouth: float = 0.0) -> Image.Image:
    """Return a smooth random backdrop with a head before it; `mouth` (0..1) opens its mouth."""
    random = np.random.default_rng(seed)
    shades = Image.fromarray(random.integers(0, 256, (9, 12, 3)).astype(np.uint8))
    image = shades.resize((480, 360), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    draw.ellipse((160, 60, 320, 300), fill=(205, 160, 130))
    for eye in (205, 275):
        draw.ellipse((eye - 14, 140, eye + 14, 156), fill=(40, 30, 30))
    draw.ellipse((205, 236 - 30 * mouth, 275, 246 + 30 * mouth), fill=(120, 30, 40))
    return image


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cropped(
    image: Image.Image, left: float, top: float, right: float, bottom: float
) -> Image.Image:
    width, height = image.size
    edges = (round((1 - right) * width), round((1 - bottom) * height))
    return image.crop((round(left * width), round(top * height), *edges))


class Album:
    """Photos made in memory, with their thumbnails."""

    def __init__(self) -> None:
        self.thumbnails: dict[str, Pixels] = {}

    def add(self, image: Image.Image, person: str = "alice") -> Photo:
        pixels = np.array(image)
        name = f"{len(self.thumbnails):064x}"
        self.thumbnails[name] = thumbnail(greyed(pixels))
        return Photo(
            name, person, Path(name), image.width, image.height, fingerprint(greyed(pixels))
        )

    def thumbnail(self, photo: Photo) -> Pixels:
        return self.thumbnails[photo.sha256]

    def same(self, first: Image.Image, second: Image.Image) -> bool:
        return near_duplicates([self.add(first)], [self.add(second)], self.thumbnail) == [(0, 0)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: jpeg(image, 60),
        lambda image: image.resize((240, 180)),
        lambda image: image.resize((960, 720)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.1),
        lambda image: ImageEnhance.Contrast(image).enhance(0.85),
        lambda image: cropped(image, 0.03, 0.03, 0.03, 0.03),
        lambda image: cropped(image, 0, 0.03, 0.03, 0),
        ImageOps.mirror,
        lambda image: jpeg(
            cropped(ImageOps.mirror(image), 0.02, 0, 0, 0.02).resize((300, 220)), 75
        ),
    ],
)
def test_copies_are_found(seed: int, change: Callable[[Image.Image], Image.Image]) -> None:
    assert Album().same(scene(seed), change(scene(seed)))


@pytest.mark.parametrize("seed", range(4))
def test_another_expression_before_the_same_backdrop_is_another_photo(seed: int) -> None:
    album = Album()
    shut, opened = album.add(scene(seed)), album.add(scene(seed, mouth=1))
    assert len(duplicates.candidates([shut], [opened])) == 1  # the hash alone can't tell
    assert near_duplicates([shut], [opened], album.thumbnail) == []


def test_other_scenes_and_flat_pictures_are_other_photos() -> None:
    album = Album()
    flat = [album.add(Image.new("RGB", (99, 99), colour)) for colour in ("black", "white", "red")]
    photos = [album.add(scene(seed)) for seed in range(8)] + flat
    pairs = near_duplicates(photos, photos, album.thumbnail)
    assert {(i, j) for i, j in pairs if i != j} == set()


def test_across_people_each_pair_once_and_none_within_a_person() -> None:
    album = Album()
    photos = [
        album.add(scene(1), "alice"),
        album.add(jpeg(scene(1), 70), "alice"),
        album.add(scene(2), "bob"),
        album.add(ImageOps.mirror(scene(1)), "carol"),
    ]
    assert near_duplicates_across_people(photos, album.thumbnail) == [(0, 3), (1, 3)]


def test_nothing_to_compare() -> None:
    album = Album()
    assert near_duplicates([], [album.add(scene(1))], album.thumbnail) == []
    assert near_duplicates_across_people([], album.thumbnail) == []


def test_candidates_are_those_of_a_plain_count_of_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "ROWS_AT_ONCE", 7)
    random = np.random.default_rng(1)
    base = random.integers(0, 2, 256)
    bits = [base ^ (random.random(256) < random.uniform(0, 0.5)) for _ in range(40)]
    photos = [
        Photo(str(i), "alice", Path(str(i)), 1, 1, np.packbits(b.astype(bool)).tobytes().hex())
        for i, b in enumerate(bits)
    ]
    mirrored = [b.reshape(16, 16)[:, ::-1].ravel() for b in bits]
    expected = {
        (i, j, m)
        for m, others in enumerate((bits, mirrored))
        for i, b in enumerate(bits)
        for j, other in enumerate(others)
        if int((b != other).sum()) <= duplicates.HASH_DISTANCE_MAX
    }
    assert 40 < len(expected) < 1600
    assert {tuple(row) for row in duplicates.candidates(photos, photos).tolist()} == expected


def test_fingerprint_is_hexadecimal_and_fixed() -> None:
    """Hashes are kept beside old runs' photos: they must not change."""
    ramp = np.repeat(np.arange(170, dtype=np.uint8)[:, None, None], 160, 1).repeat(3, 2)
    assert fingerprint(greyed(ramp)) == "ff" * 32
    assert fingerprint(greyed(ramp[::-1])) == "00" * 32


def test_pairs_of_real_photos() -> None:
    faces = os.environ.get("AUDIT_TEST_FACES")
    if not faces:
        pytest.skip("AUDIT_TEST_FACES (folder of real photos) is not set")
    album = Album()

    def same(first: str, second: str) -> bool:
        return album.same(
            *(Image.fromarray(read(Path(faces) / name).pixels) for name in (first, second))
        )

    assert same("lfw/Ari_Fleischer/006.jpg", "lfw/Ari_Fleischer/011.jpg")
    assert same("lfw/George_W_Bush/016.jpg", "lfw/George_W_Bush/039.jpg")
    assert not same("lfw/George_W_Bush/034.jpg", "lfw/George_W_Bush/036.jpg")
    assert not same("imm/p16/001.jpg", "imm/p16/002.jpg")
    assert not same("lfw/Naoto_Kan/001.jpg", "lfw/Naoto_Kan/003.jpg")
