"""Embedding networks: their shapes and gradients, the registry, and the real weights if given."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save as save_tensors
from torch import Tensor

from audit.errors import UserError
from cloaker import weights
from cloaker.networks import bundled, edgeface, facenet, mobilefacenet, registry
from cloaker.networks.base import ARCFACE_112, ARCFACE_112X96, EmbeddingNetwork
from cloaker.networks.catalogue import CATALOGUE, WeightFile

# First four numbers and the length of the raw embedding of `waves`, from an independent loader.
KNOWN_ANSWERS = {
    "mfn_casia_a": (-0.14276, -0.1234, 0.04964, 0.00717, 5.21947),
    "mfn_casia_b": (0.02421, 0.23082, 0.26457, -0.06088, 2.16494),
    "mfn_ms1m_y1": (0.54659, -0.17234, 0.11668, 0.20614, 3.85582),
    "edgeface_xxs": (0.02827, -0.00471, 0.02765, -0.02227, 2.06534),
    "edgeface_xs": (-0.10528, -0.06313, 0.07414, 0.0236, 2.07427),
    "mbf_s8": (0.02904, -0.17337, -0.26737, -0.02041, 3.81096),
    "mfn_s8": (-0.0396, 0.05561, -0.19728, 0.0153, 9.77224),
    "retail0095": (-0.23801, 0.00596, -0.09933, 0.59641, 9.02437),
}


@pytest.fixture(autouse=True)
def _restored_denormals() -> Iterator[None]:
    # EdgeFace switches them off, and hypothesis' floats don't work without them.
    yield
    torch.set_flush_denormal(False)


def waves(height: int, width: int) -> Tensor:
    """Return 1 x 3 x height x width smooth pixels in 0..255."""
    y = torch.arange(height, dtype=torch.float32)[:, None]
    x = torch.arange(width, dtype=torch.float32)[None]
    phases = ((y + 2 * x) / 17, (2 * y - x) / 23, (y + x) / 11)
    return torch.stack([127.5 + 127.5 * phase.sin() for phase in phases])[None]


def untrained(name: str) -> EmbeddingNetwork:
    torch.manual_seed(0)
    match name:
        case "mobilefacenet":
            return mobilefacenet.MobileFaceNet(name, ARCFACE_112).eval()
        case "mobilefacenet-112x96":
            return mobilefacenet.MobileFaceNet(name, ARCFACE_112X96, dimension=64).eval()
        case "edgeface-xxs":
            return edgeface.EdgeFace(name, edgeface.XXS).eval()
        case "edgeface-xs":
            return edgeface.EdgeFace(name, edgeface.XS).eval()
        case _:
            return facenet.FaceNet(name).eval()


ARCHITECTURES = {
    "mobilefacenet": 128,
    "mobilefacenet-112x96": 64,
    "edgeface-xxs": 512,
    "edgeface-xs": 512,
    "facenet": 512,
}


@pytest.mark.parametrize(("name", "dimension"), ARCHITECTURES.items())
class TestArchitecture:
    def test_one_raw_embedding_per_crop(self, name: str, dimension: int) -> None:
        network = untrained(name)
        crops = waves(network.crop.height, network.crop.width)
        with torch.inference_mode():
            both = network(torch.cat((crops, 255 - crops)))
            alone = network(crops)
        assert both.shape == (2, dimension)
        torch.testing.assert_close(both[:1], alone, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(both[0], both[1], rtol=1e-3)
        assert ((both.norm(dim=1) - 1).abs() > 1e-3).all()

    def test_the_gradient_reaches_every_channel(self, name: str, dimension: int) -> None:
        network = untrained(name).requires_grad_(requires_grad=False)
        crops = waves(network.crop.height, network.crop.width).requires_grad_()
        network(crops).square().sum().backward()
        assert crops.grad is not None
        assert torch.isfinite(crops.grad).all()
        assert (crops.grad.abs().amax(dim=(0, 2, 3)) > 0).all()
        assert dimension > 0


def test_embed_gives_unit_length_whatever_the_batch() -> None:
    network = untrained("edgeface-xxs")
    crops = torch.cat([waves(112, 112).roll(10 * i, dims=3) for i in range(5)])
    whole, parts = network.embed(crops), network.embed(crops, batch=2)
    torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(5))


class TestRegistry:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUDIT_CACHE", str(tmp_path / "cache"))

    def install(self, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put a file of the test's own in the place of mfn_casia_b's weights."""
        digest = hashlib.sha256(content).hexdigest()
        entry = replace(
            CATALOGUE["mfn_casia_b"], files=(WeightFile("b.pth", digest, len(content)),)
        )
        for module in (weights, registry):
            monkeypatch.setattr(module, "CATALOGUE", {"mfn_casia_b": entry})
        file = tmp_path / "given.pth"
        file.write_bytes(content)
        weights.add("mfn_casia_b", file)

    def test_loads_frozen_in_evaluation_mode(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = untrained("mobilefacenet")
        buffer = BytesIO()
        torch.save(made.state_dict(), buffer)
        self.install(buffer.getvalue(), tmp_path, monkeypatch)
        network = registry.load("mfn_casia_b")
        assert network.name == "mfn_casia_b"
        assert network.weights_sha256 == hashlib.sha256(buffer.getvalue()).hexdigest()
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
        crops = waves(112, 112)
        torch.testing.assert_close(network.embed(crops), made.embed(crops))

    def test_weights_of_something_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.install(b"<html>not found</html>", tmp_path, monkeypatch)
        with pytest.raises(UserError, match="mfn_casia_b can't be read"):
            registry.load("mfn_casia_b")

    @pytest.mark.parametrize("name", CATALOGUE)
    def test_not_installed_says_how_to_install(self, name: str) -> None:
        with pytest.raises(UserError) as raised:
            registry.load(name)
        assert f"audit weights add {name} FILE" in raised.value.remedy
        fetchable = all(file.url for file in CATALOGUE[name].files)
        assert (f"audit weights fetch {name}" in raised.value.remedy) == fetchable

    def test_an_unknown_name_lists_the_known(self) -> None:
        with pytest.raises(UserError, match="unknown network: arcface") as raised:
            registry.load("arcface")
        assert all(name in raised.value.expected for name in CATALOGUE)


def test_bundled_networks_come_through_the_same_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bundled.NAMES[0]
    content = save_tensors(bundled.ARCHITECTURES[name]().state_dict())
    (tmp_path / f"{name}.safetensors").write_bytes(content)
    monkeypatch.setattr(bundled, "WEIGHTS", tmp_path)
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(bundled, "_SHA256", {name: digest})
    network = registry.load(name)
    assert (network.name, network.weights_sha256) == (name, digest)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_names_lists_bundled_and_installable_networks() -> None:
    assert registry.names() == ("bundled-conv", "bundled-mixer", *CATALOGUE)


def folder(variable: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: real files are not part of this repository")
    return Path(os.environ[variable])


@pytest.fixture
def _real_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = folder("AUDIT_TEST_WEIGHTS")
    monkeypatch.setenv("AUDIT_CACHE", str(tmp_path))
    for name in KNOWN_ANSWERS:
        weights.add(name, source / CATALOGUE[name].files[0].name)


@pytest.mark.usefixtures("_real_weights")
class TestRealWeights:
    @pytest.mark.parametrize("name", KNOWN_ANSWERS)
    def test_known_answer(self, name: str) -> None:
        network = registry.load(name)
        with torch.inference_mode():
            embedding = network(waves(network.crop.height, network.crop.width))[0]
        seen = (*embedding[:4].tolist(), float(embedding.norm()))
        assert seen == pytest.approx(KNOWN_ANSWERS[name], rel=1e-3, abs=2e-5)
        assert embedding.shape == (CATALOGUE[name].dimension,)
        assert network.crop.name == CATALOGUE[name].crop

    def test_a_person_is_nearest_to_themselves(self) -> None:
        people = real_faces(folder("AUDIT_TEST_FACES"), people=4, photos=2)
        for name in KNOWN_ANSWERS:
            network = registry.load(name)
            crops = torch.stack([align(photo, points, network) for photo, points in people])
            cosines = network.embed(crops) @ network.embed(crops).T
            person = torch.arange(8) // 2
            same = person[:, None] == person
            together = cosines[same & ~torch.eye(8, dtype=torch.bool)].mean()
            assert together - cosines[~same].mean() > 0.3, name


def real_faces(root: Path, *, people: int, photos: int) -> list[tuple[Tensor, list[list[float]]]]:
    """Return people x photos pictures, 3 x height x width, with the central face's landmarks."""
    from facenet_pytorch import MTCNN

    detector = MTCNN(select_largest=False, selection_method="center_weighted_size")
    folders = [path for path in sorted((root / "lfw").iterdir()) if len(list(path.iterdir())) > 6]
    found = []
    for person in folders[:people]:
        for file in sorted(person.iterdir())[:photos]:
            pixels = np.asarray(Image.open(file).convert("RGB"))
            _, _, landmarks = detector.detect(pixels, landmarks=True)
            picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float()
            found.append((picture, landmarks[0].tolist()))
    return found


def align(photo: Tensor, points: list[list[float]], network: EmbeddingNetwork) -> Tensor:
    from cloaker import geometry

    landmarks = [(float(x), float(y)) for x, y in points]
    matrix = geometry.similarity(landmarks, network.crop.points)
    return geometry.align(photo, matrix, network.crop)
