import io

import numpy as np
import pytest
from PIL import Image

from datasets.upload import Limits, fit

LIMITS = Limits(formats=("JPEG", "PNG"), bytes_max=200_000, side_min_px=60, side_max_px=640)


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_bytes_within_the_limits_are_sent_as_they_are() -> None:
    data = encoded(noise(100, 80), "JPEG")

    assert fit(data, LIMITS) == (data, "")
    assert fit(data, LIMITS, face_side_px=40) == (data, "")


def test_an_unknown_format_becomes_a_png_with_the_same_pixels() -> None:
    image = noise(100, 80)
    data = encoded(image, "WEBP", lossless=True)

    sent, change = fit(data, LIMITS)
    result = Image.open(io.BytesIO(sent))

    assert change == "encoded as PNG"
    assert result.format == "PNG"
    assert np.array_equal(np.asarray(result), np.asarray(image))


@pytest.mark.parametrize("size", [(1500, 900), (900, 1500), (400, 640)])
def test_a_large_picture_is_made_to_fit_and_keeps_its_shape(size: tuple[int, int]) -> None:
    result, change = fit(encoded(noise(*size), "PNG"), LIMITS)

    with Image.open(io.BytesIO(result)) as image:
        assert change.startswith(
            f"resized from {size[0]}x{size[1]} to {image.width}x{image.height}, "
        )
        assert len(result) <= 200_000
        assert max(image.size) <= 640
        assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.02)


def test_the_exif_turn_is_kept_when_a_photo_is_encoded_anew() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(1000, 500), "JPEG", exif=exif)

    with Image.open(io.BytesIO(fit(data, LIMITS)[0])) as image:
        assert image.height == 2 * image.width


def test_a_face_below_the_smallest_size_makes_the_picture_larger() -> None:
    limits = Limits(formats=("PNG",), bytes_max=2_000_000, face_side_min_px=150)

    sent, change = fit(encoded(noise(250, 200), "PNG"), limits, face_side_px=100)

    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (431, 345)  # 150 pixels of face, and 15 % more
    assert change == "resized from 250x200 to 431x345, encoded as PNG"


def test_a_picture_below_the_smallest_side_is_made_larger() -> None:
    sent, change = fit(encoded(noise(100, 30), "PNG"), LIMITS)

    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (200, 60)
    assert change == "resized from 100x30 to 200x60, encoded as PNG"


def test_the_largest_side_goes_before_the_size_of_a_face() -> None:
    limits = Limits(formats=("PNG",), bytes_max=2_000_000, side_max_px=300, face_side_min_px=150)

    with Image.open(io.BytesIO(fit(encoded(noise(200, 100), "PNG"), limits, 50)[0])) as image:
        assert image.size == (300, 150)
