import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from toy import SIDE, run, scene_of, smooth_faces

from cloaker.attack import Best
from cloaker.levels import resolve, row_of
from cloaker.networks.base import ARCFACE_112
from cloaker.perceptual import dssim
from cloaker.region import FaceRegion
from cloaker.scene import Scene
from cloaker.systems.blur import Blur
from cloaker.systems.control import Control
from cloaker.systems.jpeg import Jpeg
from cloaker.systems.noise import GaussianNoise, UniformNoise

CONTROLS = ["noise-uniform", "noise-gaussian", "blur", "jpeg"]
NOISES = ["noise-uniform", "noise-gaussian"]


def _faces(count: int) -> Tensor:
    """Return faces with detail, that blur and JPEG have something to take from."""
    generator = torch.Generator().manual_seed(3)
    detail = torch.randn(count, 3, SIDE, SIDE, generator=generator) * 12
    return (smooth_faces(count) + detail).round().clamp(0, 255)


def _scene(faces: Tensor) -> Scene:
    return scene_of(faces, [])


def _disturb(name: str, level: str, faces: Tensor, seeds: list[int] | None = None) -> Best:
    return run(row_of(name).load(), resolve(name, level), _scene(faces), seeds)


@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("level", ["min", "low", "mid", "high"])
def test_controls_have_fawkes_budgets_and_no_steps(name: str, level: str) -> None:
    row = resolve(name, level)
    assert row["budget"] == resolve("fawkes-0.3", level)["budget"]
    assert row["steps"] == 0


@pytest.mark.parametrize("name", ["noise-uniform", "noise-gaussian", "blur"])
@pytest.mark.parametrize("level", ["min", "high"])
def test_the_budget_is_used_up_by_each_face(name: str, level: str) -> None:
    faces = _faces(3)
    best = _disturb(name, level, faces)
    budget = float(resolve(name, level)["budget"])
    assert (best.dssim <= budget).all()
    assert (best.dssim > 0.97 * budget).all()
    assert best.pictures.min() >= 0
    assert best.pictures.max() <= 255


@pytest.mark.parametrize("name", CONTROLS)
def test_the_crops_border_stays_clean(name: str) -> None:
    faces = _faces(2)
    change = _disturb(name, "high", faces).pictures - faces
    assert change.abs().max() > 0
    assert change[..., [0, -1], :].abs().max() == change[..., [0, -1]].abs().max() == 0


@pytest.mark.parametrize("name", NOISES)
def test_noise_depends_on_the_seed_alone(name: str) -> None:
    faces = _faces(2)[[0, 0, 0]]
    first, other, same = _disturb(name, "high", faces, [5, 6, 5]).pictures
    assert first.equal(same)
    assert not first.equal(other)


@pytest.mark.parametrize(
    ("control", "spread"), [(UniformNoise, 255 / math.sqrt(3)), (GaussianNoise, 255.0)]
)
def test_noise_is_drawn_for_every_pixel_and_colour(control: type[Control], spread: float) -> None:
    faces = torch.full((1, 3, SIDE, SIDE), 128.0)
    change = control(_whole_photos(faces[0]), {}, [1]).disturbed(torch.tensor([0.5])) - faces
    assert change.mean().item() == pytest.approx(0, abs=3)
    assert change.std().item() == pytest.approx(spread / 2, rel=0.02)
    channels = change[0].flatten(1)
    assert (torch.corrcoef(channels) - torch.eye(3)).abs().max() < 0.05
    if control is UniformNoise:
        assert change.abs().max().item() == pytest.approx(127.5, rel=1e-3)


def test_blur_is_a_gaussian_of_its_sigma() -> None:
    point = torch.zeros(1, 3, SIDE, SIDE)
    point[..., 50, 60] = 255
    blurred = Blur(_whole_photos(point[0]), {}, [0]).disturbed(torch.tensor([2 / 16]))
    peak = blurred[0, 0, 50, 60].item()
    assert peak == pytest.approx(255 / (2 * math.pi * 2**2), rel=1e-3)
    # Three down and four across are five pixels off.
    assert blurred[0, 0, 53, 64].item() == pytest.approx(peak * math.exp(-25 / 8), rel=1e-3)


def test_blur_keeps_a_flat_face_flat_up_to_its_border() -> None:
    flat = torch.full((1, 3, SIDE, SIDE), 77.0)
    blurred = Blur(_whole_photos(flat[0]), {}, [0]).disturbed(torch.tensor([1.0]))
    assert torch.allclose(blurred, flat, atol=1e-3)


def test_jpeg_has_the_lowest_quality_within_the_budget() -> None:
    face = smooth_faces(1)[0]
    budget = float(resolve("jpeg", "min")["budget"])
    row = resolve("jpeg", "min")
    best = run(Jpeg, row, _whole_photos(face), [0])
    visible = {
        quality: dssim(_saved(face, quality), face[None]).item() for quality in range(1, 101)
    }
    lowest = min(quality for quality, value in visible.items() if value <= budget)
    assert 1 < lowest < 100
    assert best.pictures.equal(_saved(face, lowest))
    assert best.dssim.item() == pytest.approx(visible[lowest], abs=1e-6)


def test_a_face_that_no_quality_fits_stays_as_it_is() -> None:
    faces = _faces(1)
    row = resolve("jpeg", "min", ["budget=1e-5"])
    assert run(Jpeg, row, _scene(faces)).pictures.equal(faces)


def _saved(face: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    pixels = face.byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality, subsampling=0)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float()


def _whole_photos(*faces: Tensor) -> Scene:
    """Return a scene in which all of each picture may change."""
    cpu = torch.device("cpu")
    pixels = [face.byte().permute(1, 2, 0).numpy() for face in faces]
    return Scene(
        [FaceRegion(p, ARCFACE_112.points, [ARCFACE_112], cpu, whole=True) for p in pixels]
    )
