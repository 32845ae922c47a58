"""LPIPS with random weights, in the layout of the published files, and worked out by the book."""

import functools
import hashlib
import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import alexnet

from cloaker import lpips, weights
from cloaker.networks.catalogue import METRICS, Metric, WeightFile

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


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the random weights where the published ones would be, in a cache of the test's own."""
    monkeypatch.setenv("AUDIT_CACHE", str(folder / "cache"))
    monkeypatch.setattr(lpips, "load", functools.cache(lpips.load.__wrapped__))
    states = (
        {f"features.{name}": value for name, value in backbone().state_dict().items()},
        linear(),
    )
    metrics = {}
    for name, state in zip(METRICS, states, strict=True):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        file = folder / f"{name}.pth"
        file.write_bytes(buffer.getvalue())
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        metrics[name] = Metric(name, "none", "here", (WeightFile("w.pth", digest, None),))
    monkeypatch.setattr(weights, "METRICS", metrics)
    for name in metrics:
        weights.add(name, folder / f"{name}.pth")
