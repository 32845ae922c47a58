"""What a tracker does to photos: each transform does what it says, always alike."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from datasets.transforms import apply, chain, copies, of_copy, read


def picture(width: int = 40, height: int = 30) -> NDArray[np.uint8]:
    smooth = np.random.default_rng(3).uniform(0, 255, (height, width, 3))
    return ndimage.gaussian_filter(smooth, (2, 2, 0)).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def changed(pixels: NDArray[np.uint8], *transforms: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(apply(png(pixels), transforms))) as image:
        return np.asarray(image.convert("RGB"))


def far(pixels: NDArray[np.uint8], *transforms: str) -> float:
    return float(np.abs(changed(pixels, *transforms) - pixels.astype(float)).mean())


def test_without_transforms_the_very_bytes_are_sent() -> None:
    photo = b"not even a picture"
    assert apply(photo, ()) is photo


def test_a_flip_and_a_crop_move_pixels_and_change_none() -> None:
    pixels = picture()
    np.testing.assert_array_equal(changed(pixels, "flip"), pixels[:, ::-1])
    np.testing.assert_array_equal(changed(pixels, "crop:0.5"), pixels[7:22, 10:30])
    np.testing.assert_array_equal(changed(pixels, "flip", "flip"), pixels)


def test_a_median_takes_out_single_pixels() -> None:
    pixels = np.full((9, 9, 3), 100, np.uint8)
    pixels[4, 4] = 255
    assert (changed(pixels, "median:3") == 100).all()


def test_noise_has_the_spread_it_was_asked_for_and_is_the_same_each_time() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    noise = changed(grey, "noise:10").astype(float) - 128
    assert noise.std() == pytest.approx(10, rel=0.05)
    assert abs(noise.mean()) < 0.5
    assert apply(png(grey), ["noise:10"]) == apply(png(grey), ["noise:10"])
    other = changed(grey + 1, "noise:10").astype(float) - 129
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.05


def test_a_blur_is_a_gaussian_s() -> None:
    pixels = picture(60, 60)
    ours = changed(pixels, "blur:2").astype(float)
    exact = ndimage.gaussian_filter(pixels.astype(float), (2, 2, 0), mode="nearest")
    assert np.abs(ours - exact)[10:-10, 10:-10].max() < 2.5  # Pillow's is three boxes


@pytest.mark.parametrize(
    ("mild", "strong"),
    [("jpeg:95", "jpeg:5"), ("resize:0.8", "resize:0.2"), ("blur:1", "blur:4"),
     ("noise:2", "noise:20"), ("median:3", "median:9")],
)  # fmt: skip
def test_more_of_it_changes_more(mild: str, strong: str) -> None:
    assert 0 < far(picture(), mild) < far(picture(), strong)


def test_what_comes_last_decides_how_it_is_sent() -> None:
    photo = png(picture())
    for transforms, kind in ((["blur:1", "jpeg:30"], "JPEG"), (["jpeg:30", "blur:1"], "PNG")):
        with Image.open(io.BytesIO(apply(photo, transforms))) as image:
            assert image.format == kind
    assert far(picture(), "jpeg:30", "blur:1") != far(picture(), "blur:1", "jpeg:30")


def test_a_turned_photo_is_turned_first() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(picture(40, 30)).save(buffer, "PNG", exif=exif)
    with Image.open(io.BytesIO(apply(buffer.getvalue(), ["flip"]))) as image:
        assert image.size == (30, 40)


@given(st.sampled_from(["jpeg:40", "resize:0.5", "blur:1.5", "noise:4", "flip", "median:3"]),
       st.integers(1, 40), st.integers(1, 40))  # fmt: skip
@settings(deadline=None)
def test_every_size_stays_as_it_was(transform: str, width: int, height: int) -> None:
    assert changed(picture(width, height), transform).shape == (height, width, 3)


def test_a_chain_is_written_the_shortest_way() -> None:
    assert chain("blur:1.0+jpeg:30") == ("blur:1", "jpeg:30")
    assert chain("none") == ()
    assert read("noise:2.5") == ("noise", 2.5)


@pytest.mark.parametrize(
    "text",
    ["", "sharpen:3", "jpeg", "jpeg:4", "jpeg:30.5", "resize:1.5", "blur:-1", "blur:nan",
     "median:4", "flip:2", "noise:x", "blur:1+"],
)  # fmt: skip
def test_what_is_no_transform_is_told_with_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match="is no transform: "):
        chain(text)


def test_a_tracker_that_augments_enrols_three_copies_beside_each_photo() -> None:
    transforms = chain("blur:1+augment:0.80")
    assert transforms == ("blur:1", "augment:0.8")
    assert copies(transforms) == 3
    assert [of_copy(transforms, number) for number in range(4)] == [
        ("blur:1",),
        ("blur:1", "flip"),
        ("blur:1", "crop:0.8"),
        ("blur:1", "crop:0.8", "flip"),
    ]
    assert copies(["jpeg:30"]) == 0
    assert of_copy(["jpeg:30"], 0) == ("jpeg:30",)
