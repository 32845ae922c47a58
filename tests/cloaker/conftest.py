"""Photos that MTCNN finds faces in, and a network small enough to attack in a test."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from audit.types import Photo
from cloaker.faces import FaceFinder
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from datasets import generated

Pixels = NDArray[np.uint8]
DrawPhoto = Callable[[int, int], Pixels]
MakePhotos = Callable[[int, int], list[Photo]]


class TinyNetwork(EmbeddingNetwork):
    """A few random convolutions, equal in every run."""

    def __init__(self) -> None:
        super().__init__("tiny", ARCFACE_112, "0" * 64)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(
                nn.Conv2d(3, 8, 5, stride=4),
                nn.Tanh(),
                nn.Conv2d(8, 16, 3, stride=2),
                nn.Tanh(),
                nn.Flatten(),
                nn.Linear(16 * 13 * 13, 32),
            )
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, crops: Tensor) -> Tensor:
        result: Tensor = self.body((crops - 127.5) / 64)
        return result


@pytest.fixture
def network() -> EmbeddingNetwork:
    return TinyNetwork()


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="session")
def draw() -> DrawPhoto:
    """Return a function (person, photo) -> pixels of a generated person."""
    return lambda person, photo: generated.render(generated.person(person), photo)


@pytest.fixture(scope="session")
def draw_photos(draw: DrawPhoto, tmp_path_factory: pytest.TempPathFactory) -> MakePhotos:
    """Return a function (person, count) -> photos of a generated person, as files."""
    folder = tmp_path_factory.mktemp("people")

    def make(person: int, count: int) -> list[Photo]:
        return [_write(folder, f"person-{person}", draw(person, i), i) for i in range(count)]

    return make


def _write(folder: Path, person: str, pixels: Pixels, index: int) -> Photo:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    data = stream.getvalue()
    path = folder / f"{person}-{index}.png"
    path.write_bytes(data)
    height, width = pixels.shape[:2]
    return Photo(hashlib.sha256(data).hexdigest(), person, path, width, height)
