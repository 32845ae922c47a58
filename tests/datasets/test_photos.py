"""Reading one file: every way it can be wrong has its reason, and pixels come out upright."""

import hashlib
import io
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from audit.errors import UserError
from audit.types import Photo
from datasets import generated, photos
from datasets.photos import PIXELS_MAX, PhotoError, Reason, pixels, read

WIDTH, HEIGHT = 64, 48
ORIENTATION = 0x0112


def picture() -> Image.Image:
    """Return a picture that differs from each of its turned and mirrored selves."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return Image.fromarray(np.stack([x * 3, y * 4, (x + 2 * y) % 256], 2).astype(np.uint8))


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def reason_for(path: Path) -> Reason:
    with pytest.raises(PhotoError) as caught:
        read(path)
    return caught.value.reason


def reason_of_bytes(tmp_path: Path, content: bytes) -> Reason:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    return reason_for(path)


def png_of_size(width: int, height: int) -> bytes:
    """Return a PNG that announces a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_every_exif_orientation_comes_out_upright(
    tmp_path: Path, orientation: int, file_format: str
) -> None:
    stored = picture()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "photo"
    content = encoded(stored, file_format, exif=exif, quality=100, lossless=True, subsampling=0)
    path.write_bytes(content)

    undo: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: np.rot90,
    }
    with Image.open(io.BytesIO(content)) as raw:
        expected = undo[orientation](np.array(raw))
    np.testing.assert_array_equal(read(path).pixels, expected)


def test_hash_is_of_the_bytes_and_pixels_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(), "PNG"))
    found = read(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.pixels.dtype == np.uint8
    assert found.pixels.shape == (HEIGHT, WIDTH, 3)
    assert found.pixels.flags.writeable
    assert not found.generated


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "WEBP", "GIF", "JPEG", "HEIF"])
def test_each_format_is_read_whatever_its_name(tmp_path: Path, file_format: str) -> None:
    pillow_heif.register_heif_opener()
    path = tmp_path / "photo.dat"
    path.write_bytes(encoded(picture(), file_format))
    off = np.abs(read(path).pixels.astype(int) - np.array(picture()))
    assert off.mean() < 6  # lossy formats and GIF's palette


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "blue")]
    path = tmp_path / "photo.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read(path).pixels[0, 0].tolist() == [255, 0, 0]


def grey16() -> Image.Image:
    return Image.fromarray(np.full((HEIGHT, WIDTH), 0x8080, np.uint16))


def palette() -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), (10, 200, 30)).quantize(4)


@pytest.mark.parametrize(
    ("image", "file_format", "options", "colour"),
    [
        (Image.new("L", (WIDTH, HEIGHT), 77), "PNG", {}, [77, 77, 77]),
        (Image.new("1", (WIDTH, HEIGHT), 1), "PNG", {}, [255, 255, 255]),
        (grey16(), "PNG", {}, [128, 128, 128]),
        (palette(), "PNG", {}, [10, 200, 30]),
        (palette(), "PNG", {"transparency": 0}, [255, 255, 255]),
        (palette(), "PNG", {"transparency": b"\0\0\0\0"}, [255, 255, 255]),
        (Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0)), "PNG", {}, [255, 255, 255]),
        (Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 102)), "PNG", {}, [153, 153, 153]),
        (Image.new("LA", (WIDTH, HEIGHT), (0, 0)), "PNG", {}, [255, 255, 255]),
        (
            Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)),
            "PNG",
            {"transparency": (9, 9, 9)},
            [255] * 3,
        ),
        (Image.new("CMYK", (WIDTH, HEIGHT), (0, 0, 0, 0)), "JPEG", {}, [255, 255, 255]),
        (Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)), "JPEG", {}, [255, 0, 0]),
    ],
)
def test_every_colour_mode_becomes_rgb(
    tmp_path: Path,
    image: Image.Image,
    file_format: str,
    options: dict[str, object],
    colour: list[int],
) -> None:
    path = tmp_path / "photo"
    path.write_bytes(encoded(image, file_format, **options))
    found = read(path).pixels
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(found[20, 20].astype(int) - colour).max() <= 1


def test_empty_file(tmp_path: Path) -> None:
    assert reason_of_bytes(tmp_path, b"") == Reason.ZERO_BYTE


@pytest.mark.parametrize("content", [b"name,age\n", b"%PDF-1.7 ......", b"\xff\xd8\xff\xe0", b"BM"])
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    assert reason_of_bytes(tmp_path, content) == Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "HEIF"])
def test_truncated(tmp_path: Path, file_format: str) -> None:
    pillow_heif.register_heif_opener()
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    content = encoded(Image.fromarray(noise), file_format)
    path = tmp_path / "photo"
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(PhotoError) as caught:
        read(path)
    assert caught.value.reason in {Reason.TRUNCATED, Reason.NOT_AN_IMAGE}
    if file_format in {"JPEG", "PNG", "BMP"}:
        assert caught.value.reason == Reason.TRUNCATED
    assert caught.value.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("side", [9_600, 10_001, 14_000, 60_000])
def test_decompression_bomb_is_seen_in_the_header(tmp_path: Path, side: int) -> None:
    """The sizes lie around our limit, Pillow's warning and Pillow's error; none may leak."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_size(side, side))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        reason = reason_for(path)
    assert reason == (Reason.TOO_LARGE if side * side > PIXELS_MAX else Reason.TRUNCATED)
    assert seen == []


def test_too_small(tmp_path: Path) -> None:
    tiny = encoded(Image.new("RGB", (500, 35)), "PNG")
    assert reason_of_bytes(tmp_path, tiny) == Reason.TOO_SMALL


def test_more_bytes_than_are_read(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(), "PNG"))
    os.truncate(path, photos.BYTES_MAX + 1)  # a sparse file: no disk is used
    assert reason_for(path) == Reason.TOO_LARGE


def test_not_a_file(tmp_path: Path) -> None:
    folder, link, pipe = (tmp_path / name for name in ("folder", "link", "pipe"))
    folder.mkdir()
    link.symlink_to(tmp_path / "gone")
    os.mkfifo(pipe)
    assert {reason_for(path) for path in (folder, link, pipe)} == {Reason.NOT_A_FILE}


def test_link_to_a_photo_is_followed(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "link").symlink_to(tmp_path / "photo.png")
    assert read(tmp_path / "link").pixels.shape == (HEIGHT, WIDTH, 3)


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(), "PNG"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    assert reason_for(path) == Reason.UNREADABLE


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")
def test_disk_error(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.symlink_to("/proc/self/mem")  # a regular file whose first bytes can't be read
    assert reason_for(path) == Reason.UNREADABLE


def test_heic_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif.register_heif_opener()
    path = tmp_path / "photo.heic"
    path.write_bytes(encoded(picture(), "HEIF"))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    photos._heif_is_installed.cache_clear()
    with pytest.raises(PhotoError, match="cloak-audit\\[heic\\]") as caught:
        read(path)
    photos._heif_is_installed.cache_clear()
    assert caught.value.reason == Reason.HEIC_NOT_INSTALLED


def test_heic_orientation_is_applied_once(tmp_path: Path) -> None:
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "photo.heic"
    path.write_bytes(encoded(picture(), "HEIF", exif=exif.tobytes(), quality=100))
    found = read(path).pixels
    expected = np.rot90(np.array(picture()), -1)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 6


def test_generated_marker_is_read(tmp_path: Path) -> None:
    generated.write_people(tmp_path, people=1, photos=1)
    assert read(tmp_path / "person-000" / "0001.png").generated


@pytest.fixture
def photo(tmp_path: Path) -> Photo:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(), "PNG"))
    return Photo(read(path).sha256, "alice", path, WIDTH, HEIGHT)


def test_pixels_of_a_photo(photo: Photo) -> None:
    np.testing.assert_array_equal(pixels(photo), np.array(picture()))


@pytest.mark.parametrize("height", [63, 64, 65, 200])
def test_every_row_of_a_photo_is_read(height: int, tmp_path: Path) -> None:
    drawn = np.random.default_rng(height).integers(0, 256, (height, 40, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(drawn).save(path)
    np.testing.assert_array_equal(read(path).pixels, drawn)


def test_pixels_of_a_changed_photo(photo: Photo) -> None:
    photo.path.write_bytes(encoded(ImageOps.mirror(picture()), "PNG"))
    with pytest.raises(UserError, match=r"photo\.png has changed"):
        pixels(photo)


def test_pixels_of_a_missing_photo(photo: Photo) -> None:
    photo.path.unlink()
    with pytest.raises(UserError, match=r"photo\.png: there is no such file"):
        pixels(photo)


def random_photo(file_format: str) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    exif[0x010E] = "a description"
    return encoded(picture(), file_format, exif=exif)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file_format=st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "HEIF"]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12),
    kept=st.floats(0.1, 1),
)
def test_any_damage_ends_in_pixels_or_a_reason(
    tmp_path: Path, file_format: str, changes: list[tuple[int, int]], kept: float
) -> None:
    pillow_heif.register_heif_opener()
    content = bytearray(random_photo(file_format))
    for position, value in changes:
        content[position % len(content)] = value
    path = tmp_path / "photo"
    path.write_bytes(content[: int(len(content) * kept)])
    try:
        found: NDArray[np.uint8] = read(path).pixels
    except PhotoError as error:
        assert error.detail  # noqa: PT017 - a reason is one of the two right endings
    else:
        assert found.ndim == 3
