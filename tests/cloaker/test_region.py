from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cloaker.faces import FaceFinder
from cloaker.geometry import align, planes, similarity
from cloaker.networks.base import ARCFACE_112, ARCFACE_112X96
from cloaker.perceptual import dssim
from cloaker.region import FaceRegion
from cloaker.scene import Scene

Draw = Callable[[int, int], NDArray[np.uint8]]
CPU = torch.device("cpu")


def region(pixels: NDArray[np.uint8], finder: FaceFinder, enlarged: int = 1) -> FaceRegion:
    (face, *_) = finder.find(pixels)
    pixels = pixels.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    landmarks = [
        ((x + 0.5) * enlarged - 0.5, (y + 0.5) * enlarged - 0.5) for x, y in face.landmarks
    ]
    return FaceRegion(pixels, tuple(landmarks), [ARCFACE_112], CPU)


@pytest.fixture
def regions(draw: Draw, finder: FaceFinder) -> list[FaceRegion]:
    """Two faces of different size, the second in a photo of four times the resolution."""
    return [region(draw(1, 0), finder), region(draw(2, 0), finder, enlarged=4)]


def test_the_network_sees_what_alignment_of_the_photo_shows(regions: list[FaceRegion]) -> None:
    batch = Scene(regions)

    crops = batch.crops(batch.clean, ARCFACE_112)

    for crop, face in zip(crops, regions, strict=True):
        inside = slice(8, -8)
        apart = (crop - face.aligned(face.clean, ARCFACE_112))[:, inside, inside].abs()
        assert apart.mean() < 1
    exact = align(regions[0].working, regions[0].working_matrices[ARCFACE_112], ARCFACE_112)
    assert torch.allclose(crops[0], exact, atol=0.01)


def test_a_large_face_is_worked_on_at_about_the_crop_s_resolution(
    regions: list[FaceRegion],
) -> None:
    small, large = regions

    assert max(large.working.shape) == pytest.approx(1.25 * 112, rel=0.4)  # the box is turned
    assert max(large.clean.shape) > 2 * max(large.working.shape)
    assert max(small.working.shape) == pytest.approx(max(large.working.shape), rel=0.4)


def test_padding_does_not_count_as_visible(regions: list[FaceRegion]) -> None:
    batch = Scene(regions)
    changed = (batch.clean + 20 * batch.mask * torch.randn(batch.clean.shape)).clamp(0, 255)

    together = batch.visibility(changed)
    alone = [
        float(Scene([face]).visibility(part[None]))
        for face, part in zip(regions, batch.parts(changed), strict=True)
    ]

    assert together.tolist() == pytest.approx(alone, abs=1e-5)
    (part, _) = batch.parts(changed)
    assert alone[0] >= float(dssim(part[None], regions[0].working[None])) - 1e-6


def test_nothing_changes_outside_the_crop(regions: list[FaceRegion]) -> None:
    for face in regions:
        mask = face.mask()
        assert (mask[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
        assert float(mask.max()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("budget", [0.002, 0.008, 0.02])
def test_a_change_is_scaled_into_the_budget_at_both_resolutions(
    regions: list[FaceRegion], budget: float
) -> None:
    for face in regions:
        noise = torch.randn(face.working.shape, generator=torch.Generator().manual_seed(0))

        changed = face.changed(12 * face.mask() * noise, budget)

        measured = face._visibility(changed)
        assert face.visibility(changed.clone()) == measured  # remembered by content
        assert max(measured) <= budget
        assert max(measured) > 0.8 * budget
        assert torch.equal(changed, changed.round())


def test_regions_that_differ_by_one_value_are_not_taken_for_each_other(
    regions: list[FaceRegion],
) -> None:
    face = regions[1]
    assert face.visibility(face.clean) == pytest.approx((0, 0), abs=1e-6)
    other = face.clean.clone()
    middle = tuple(side // 2 for side in other.shape)
    other[middle] ^= 128
    assert face.visibility(other) == face._visibility(other)
    assert face.visibility(other) != face.visibility(face.clean)


def test_no_wobble_is_the_exact_alignment_and_a_shift_moves_the_crop(
    regions: list[FaceRegion],
) -> None:
    exact = Scene(regions[:1])
    batch = Scene(regions[:1], torch.tensor([[[0.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 0.0]]]))
    still = batch.crops(batch.clean, ARCFACE_112)
    batch.at_step(1)
    shifted = batch.crops(batch.clean, ARCFACE_112)
    moved_photo = exact.crops(torch.roll(batch.clean, -1, dims=3), ARCFACE_112)

    assert torch.allclose(still, exact.crops(batch.clean, ARCFACE_112), atol=1e-3)
    inside = slice(12, -12)
    assert torch.allclose(shifted[..., inside, inside], moved_photo[..., inside, inside], atol=0.05)


def test_a_photo_as_a_whole_may_change_everywhere(draw: Draw, finder: FaceFinder) -> None:
    pixels = draw(1, 0)
    (face, *_) = finder.find(pixels)
    whole = FaceRegion(pixels, face.landmarks, [ARCFACE_112], CPU, whole=True)
    part = FaceRegion(pixels, face.landmarks, [ARCFACE_112], CPU)

    assert whole.clean.shape[-2:] == pixels.shape[:2]
    assert whole.mask().min() == 1
    seen, expected = (face.aligned(face.clean, ARCFACE_112) for face in (whole, part))
    assert torch.allclose(seen, expected, atol=1e-3)


def test_two_crops_share_a_region_that_holds_both(draw: Draw, finder: FaceFinder) -> None:
    pixels = draw(1, 0)
    (found, *_) = finder.find(pixels)
    crops = [ARCFACE_112, ARCFACE_112X96]
    face = FaceRegion(pixels, found.landmarks, crops, CPU)
    batch = Scene([face])

    for crop in crops:
        exact = align(planes(pixels), similarity(found.landmarks, crop.points), crop)
        (seen,) = batch.crops(batch.clean, crop)
        assert (seen - exact)[:, 8:-8, 8:-8].abs().mean() < 1


def test_the_changes_of_faces_that_overlap_are_added(draw: Draw, finder: FaceFinder) -> None:
    pixels = np.full((200, 200, 3), 100, np.uint8)
    (found, *_) = finder.find(draw(1, 0))
    places = [found.landmarks, tuple((x + 9, y) for x, y in found.landmarks)]
    cloaked = pixels
    for landmarks in places:
        face = FaceRegion(pixels, landmarks, [ARCFACE_112], CPU, whole=True)
        cloaked = face.added(cloaked, face.clean + 20)

    assert (cloaked == 140).all()
