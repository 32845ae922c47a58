import io

import numpy as np
import pytest
from PIL import Image

from datasets.upload import fit


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_bytes_within_the_limits_are_sent_as_they_are() -> None:
    data = encoded(noise(100, 80), "JPEG")

    assert fit(data, formats=("JPEG", "PNG"), bytes_max=200_000, side_max_px=640) is data


def test_an_unknown_format_becomes_a_png_with_the_same_pixels() -> None:
    image = noise(100, 80)
    data = encoded(image, "WEBP", lossless=True)

    result = Image.open(
        io.BytesIO(fit(data, formats=("JPEG", "PNG"), bytes_max=200_000, side_max_px=640))
    )

    assert result.format == "PNG"
    assert np.array_equal(np.asarray(result), np.asarray(image))


@pytest.mark.parametrize("size", [(1500, 900), (900, 1500), (400, 640)])
def test_a_large_picture_is_made_to_fit_and_keeps_its_shape(size: tuple[int, int]) -> None:
    result = fit(
        encoded(noise(*size), "PNG"), formats=("JPEG", "PNG"), bytes_max=200_000, side_max_px=640
    )

    with Image.open(io.BytesIO(result)) as image:
        assert len(result) <= 200_000
        assert max(image.size) <= 640
        assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.02)


def test_the_exif_turn_is_kept_when_a_photo_is_encoded_anew() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(1000, 500), "JPEG", exif=exif)

    with Image.open(
        io.BytesIO(fit(data, formats=("JPEG", "PNG"), bytes_max=200_000, side_max_px=640))
    ) as image:
        assert image.height == 2 * image.width
