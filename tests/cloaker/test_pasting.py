"""What a cloaked file keeps of its source: transparency, colour profile, and nothing else."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from audit.types import Photo
from cloaker.pasting import decode_png, encode_png, picture_of
from datasets.carried import carried
from datasets.photos import pixels

Pixels = NDArray[np.uint8]
RANDOM = np.random.default_rng(3)
SIDE = 40
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION = 0x0112


def noise(channels: int) -> Pixels:
    return RANDOM.integers(0, 256, (SIDE, SIDE + 8, channels), dtype=np.uint8)


def saved(folder: Path, picture: Image.Image, suffix: str = ".png", **options: Any) -> Photo:
    path = folder / f"photo{suffix}"
    picture.save(path, **options)
    return Photo(hashlib.sha256(path.read_bytes()).hexdigest(), "ann", path, *picture.size)


def brighter(source: Pixels) -> Pixels:
    """Return a photo in which the middle is changed."""
    cloaked = source.copy()
    middle = cloaked[10:20, 10:30]
    middle[:] = np.where(middle < 128, middle + 9, middle - 9)
    return cloaked


def copy_of(photo: Photo) -> tuple[Pixels, Pixels, Image.Image]:
    """Return a photo's pixels, those that were to be saved, and the saved picture."""
    source = pixels(photo)
    cloaked = brighter(source)
    return source, cloaked, Image.open(io.BytesIO(png_of(photo, source, cloaked)))


def png_of(photo: Photo, source: Pixels, cloaked: Pixels) -> bytes:
    held = carried(photo)
    return encode_png(picture_of(source, cloaked, held), held, {})


def test_an_opaque_photo_is_saved_as_it_is(tmp_path: Path) -> None:
    _, cloaked, copy = copy_of(saved(tmp_path, Image.fromarray(noise(3))))
    assert (copy.mode, copy.info) == ("RGB", {})
    assert (np.array(copy) == cloaked).all()


def test_transparency_is_kept_and_colours_outside_the_change_bit_for_bit(tmp_path: Path) -> None:
    original = noise(4)
    original[12:14, 12:20, 3] = 0
    original[14:16, 12:20, 3] = 255
    photo = saved(tmp_path, Image.fromarray(original))
    source, cloaked, copy = copy_of(photo)
    result = np.array(copy)
    assert copy.mode == "RGBA"
    assert (result[..., 3] == original[..., 3]).all()
    changed = (source != cloaked).any(axis=2)
    assert (result[~changed] == original[~changed]).all()
    assert (result[12:14, 12:20] == original[12:14, 12:20]).all()
    assert (result[14:16, 12:20, :3] == cloaked[14:16, 12:20]).all()


def test_a_change_of_a_half_transparent_photo_is_seen_as_it_was_meant(tmp_path: Path) -> None:
    original = np.full((SIDE, SIDE, 4), (120, 90, 60, 128), np.uint8)
    photo = saved(tmp_path, Image.fromarray(original))
    source = pixels(photo)
    cloaked = source.copy()
    cloaked[10:20, 10:20] += 6
    seen = decode_png(png_of(photo, source, cloaked))
    assert np.abs(seen.astype(int) - cloaked).max() <= 1
    assert (seen[:10] == source[:10]).all()


def test_what_is_measured_is_what_a_reader_of_the_file_sees(tmp_path: Path) -> None:
    photo = saved(tmp_path, Image.fromarray(noise(4)))
    source = pixels(photo)
    png = png_of(photo, source, brighter(source))
    path = tmp_path / "cloaked.png"
    path.write_bytes(png)
    copy = Photo(hashlib.sha256(png).hexdigest(), "ann", path, *source.shape[1::-1])
    assert (decode_png(png) == pixels(copy)).all()


@pytest.mark.parametrize("height", [1, 63, 64, 65, 200])
def test_every_row_of_the_file_is_read(height: int) -> None:
    photo = RANDOM.integers(0, 256, (height, 30, 3), dtype=np.uint8)
    assert (decode_png(encode_png(Image.fromarray(photo), None, {})) == photo).all()


def test_a_palette_with_a_transparent_colour_becomes_rgba(tmp_path: Path) -> None:
    picture = Image.fromarray(noise(3)).quantize(16)
    photo = saved(tmp_path, picture, transparency=3)
    _, _, copy = copy_of(photo)
    expected = np.array(Image.open(photo.path).convert("RGBA"))
    assert copy.mode == "RGBA"
    assert (np.array(copy)[:10] == expected[:10]).all()


def test_an_alpha_channel_that_hides_nothing_is_left_out(tmp_path: Path) -> None:
    picture = Image.fromarray(noise(3)).convert("RGBA")
    assert copy_of(saved(tmp_path, picture))[2].mode == "RGB"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_colour_profile_is_kept(tmp_path: Path, suffix: str) -> None:
    photo = saved(tmp_path, Image.fromarray(noise(3)), suffix, icc_profile=SRGB)
    assert copy_of(photo)[2].info["icc_profile"] == SRGB


def test_a_profile_for_other_colours_than_rgb_is_not_kept(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    photo = saved(tmp_path, Image.fromarray(noise(3)), ".jpg", icc_profile=lab)
    assert copy_of(photo)[2].info == {}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_saved_upright_with_its_transparency(
    tmp_path: Path, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = Image.fromarray(noise(4))
    photo = saved(tmp_path, picture, exif=exif)
    source, _, copy = copy_of(photo)
    assert copy.info == {}
    assert copy.size == source.shape[1::-1]
    assert copy.size == (picture.size if orientation < 5 else picture.size[::-1])
    rgba = carried(photo).rgba
    assert rgba is not None
    assert (np.array(copy)[:10, ..., 3] == rgba[:10, ..., 3]).all()
    assert (decode_png(png_of(photo, source, source)) == source).all()
