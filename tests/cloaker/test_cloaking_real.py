"""A cloak on real photos and a real network: the white-box effect that all else builds on."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from audit.types import Cloak, Photo, Targets
from cloaker import weights
from cloaker.cloaking import cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.catalogue import CATALOGUE
from cloaker.recogniser import LocalRecogniser

NAME = "edgeface_xxs"


def _folder(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip(f"{variable} is not set")
    return Path(os.environ[variable])


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddingNetwork:
    source = _folder("AUDIT_TEST_WEIGHTS")
    monkeypatch.setenv("AUDIT_CACHE", str(tmp_path / "home"))
    weights.add(NAME, source / CATALOGUE[NAME].files[0].name)
    return registry.load(NAME)


def _photos(person: str, first: int, count: int) -> list[Photo]:
    files = sorted((_folder("AUDIT_TEST_FACES") / "lfw" / person).iterdir())
    return [
        Photo(hashlib.sha256(file.read_bytes()).hexdigest(), person, file, 250, 250)
        for file in files[first : first + count]
    ]


def _embeddings(recogniser: LocalRecogniser, files: list[Path]) -> Tensor:
    return torch.tensor([recogniser(file.read_bytes())[0].embedding for file in files])


@pytest.mark.filterwarnings("ignore::UserWarning:torch")  # reading quantised weights warns
def test_a_cloaked_gallery_is_far_from_clean_probes(
    network: EmbeddingNetwork, tmp_path: Path
) -> None:
    enrolled, probes = _photos("Tony_Blair", 0, 4), _photos("Tony_Blair", 40, 8)
    row = resolve("fawkes-0.3", "low")
    result = cloak_photos(
        Cloak("fawkes-0.3", "low", row, {NAME: network.weights_sha256}, Targets.SAME, 0),
        [network],
        enrolled,
        {person: _photos(person, 0, 3) for person in ("Angelo_Reyes", "Alan_Greenspan")},
        read=lambda photo: np.asarray(Image.open(photo.path).convert("RGB")),
        faces=KnownFaces(tmp_path / "faces"),
        out=tmp_path / "out",
        cache=tmp_path / "cache",
    )
    assert len(result.cloaked) == 4
    recogniser = LocalRecogniser(network)
    probe = _embeddings(recogniser, [photo.path for photo in probes])
    clean = _embeddings(recogniser, [photo.path for photo in enrolled])
    cloaked = _embeddings(recogniser, [tmp_path / "out" / row.file for row in result.cloaked])
    before, after = ((probe @ gallery.T).amax(dim=1).mean() for gallery in (clean, cloaked))
    assert after < before - 0.2
