"""The bundled networks: shipped whole, differentiable, and sure of people they never saw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from audit.errors import UserError
from cloaker.faces import FaceFinder
from cloaker.geometry import align, similarity
from cloaker.networks import bundled
from cloaker.networks.base import ARCFACE_112
from datasets.generated import person, render

PEOPLE = range(100, 120)
PHOTOS = 4


@pytest.fixture(scope="module")
def crops() -> tuple[Tensor, Tensor]:
    """Aligned crops of people never trained on, and whom each shows."""
    finder = FaceFinder()
    pixels, people = [], []
    for index in PEOPLE:
        for photo_index in range(PHOTOS):
            photo = render(person(index), photo_index)
            for face in finder.find(photo)[:1]:
                matrix = similarity(face.landmarks, ARCFACE_112.points)
                picture = torch.from_numpy(photo.copy()).permute(2, 0, 1)
                pixels.append(align(picture, matrix, ARCFACE_112))
                people.append(index)
    return torch.stack(pixels), torch.tensor(people)


def test_nearly_every_photo_has_a_face(crops: tuple[Tensor, Tensor]) -> None:
    assert len(crops[0]) >= 0.97 * len(PEOPLE) * PHOTOS


@pytest.mark.parametrize("name", bundled.NAMES)
def test_the_nearest_other_photo_shows_the_same_person(
    name: str, crops: tuple[Tensor, Tensor]
) -> None:
    pixels, people = crops
    units = bundled.load(name).embed(pixels)
    cosines = (units @ units.T).fill_diagonal_(-2)
    right = people[cosines.argmax(1)] == people
    assert right.float().mean() >= 0.97


@pytest.mark.parametrize(("name", "dimensions"), [("bundled-conv", 128), ("bundled-mixer", 96)])
def test_embeddings_are_unit_vectors(name: str, dimensions: int) -> None:
    network = bundled.load(name)
    units = network.embed(torch.full((3, 3, 112, 112), 90.0))
    assert units.shape == (3, dimensions)
    assert np.allclose(units.norm(dim=1).numpy(), 1, atol=1e-5)
    assert network.name == name
    assert len(network.weights_sha256) == 64


@pytest.mark.parametrize("name", bundled.NAMES)
def test_gradients_reach_the_pixels_and_no_weight(name: str) -> None:
    network = bundled.load(name)
    pixels = torch.full((1, 3, 112, 112), 90.0, requires_grad=True)
    network(pixels).sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("name", bundled.NAMES)
def test_a_small_step_against_one_network_moves_the_other(
    name: str, crops: tuple[Tensor, Tensor]
) -> None:
    pixels = crops[0][::8]
    network, other = bundled.load(name), bundled.load(next(n for n in bundled.NAMES if n != name))
    clean = network.embed(pixels)
    moved = pixels.clone()
    # A first step from random noise: at the photo itself the cosine's gradient is zero.
    moved += 2 * torch.randn(moved.shape, generator=torch.Generator().manual_seed(0)).sign()
    for _ in range(8):
        moved = moved.detach().requires_grad_()
        towards = torch.nn.functional.cosine_similarity(network(moved), clean).sum()
        (gradient,) = torch.autograd.grad(towards, moved)
        moved = pixels + (moved - 2 * gradient.sign() - pixels).clamp(-8, 8)
    cosine = (other.embed(moved.detach()) * other.embed(pixels)).sum(1)
    noise = (
        pixels + 8 * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(1)).sign()
    )
    by_noise = (other.embed(noise) * other.embed(pixels)).sum(1)
    assert cosine.mean() < by_noise.mean() - 0.02


def _copy(folder: Path) -> Path:
    for name in bundled.NAMES:
        content = (bundled.WEIGHTS / f"{name}.safetensors").read_bytes()
        (folder / f"{name}.safetensors").write_bytes(content)
    return folder


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "WEIGHTS", _copy(tmp_path))
    path = tmp_path / "bundled-conv.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"bundled-conv.*altered"):
        bundled.load("bundled-conv")
    bundled.load("bundled-mixer")


def test_absent_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path)
    with pytest.raises(UserError, match=r"bundled-mixer.*No such file"):
        bundled.load("bundled-mixer")
