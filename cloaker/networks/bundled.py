"""Two small networks that come with the package and know generated people only.

They let a whole run work without a download. They differ in kind, so that a cloak computed on
one can be judged by the other. `benchmarks/train_bundled.py` trains them.
"""

import hashlib
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from audit.errors import UserError
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork

WEIGHTS = Path(__file__).parent / "weights"


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, channels), *_convolution(channels, channels)[:-1]
        )
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation(x + self.body(x))
        return result


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.PReLU(outputs),
    ]


class BundledConv(EmbeddingNetwork):
    """A residual convolutional network of four stages, 128 dimensions."""

    def __init__(self) -> None:
        super().__init__("bundled-conv", ARCFACE_112)
        widths = (16, 32, 64, 96)
        layers = _convolution(3, widths[0], 2)
        for inputs, outputs in pairwise(widths):
            layers += [*_convolution(inputs, outputs, 2), _Residual(outputs)]
        self.body = nn.Sequential(*layers, nn.Conv2d(widths[-1], 16, 1), nn.Flatten())
        self.embedding = nn.Linear(16 * 7 * 7, 128)

    def forward(self, crops: Tensor) -> Tensor:
        """Return N x 128."""
        result: Tensor = self.embedding(self.body((crops - 127.5) * (1 / 128)))
        return result


class _Mixer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.space = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels),
            nn.GELU(),
            nn.BatchNorm2d(channels),
        )
        self.channels = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.GELU(), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.channels(x + self.space(x))
        return result


class BundledMixer(EmbeddingNetwork):
    """A ConvMixer (Trockman and Kolter 2022) over 14 x 14 patches, 96 dimensions."""

    def __init__(self) -> None:
        super().__init__("bundled-mixer", ARCFACE_112)
        width = 96
        self.patches = nn.Sequential(
            nn.Conv2d(3, width, 10, 8, 1), nn.GELU(), nn.BatchNorm2d(width)
        )
        self.mixers = nn.Sequential(*(_Mixer(width) for _ in range(5)))
        self.head = nn.Sequential(nn.Conv2d(width, 64, 2, 2), nn.GELU(), nn.BatchNorm2d(64))
        self.embedding = nn.Linear(64 * 7 * 7, 96)

    def forward(self, crops: Tensor) -> Tensor:
        """Return N x 96."""
        x = self.head(self.mixers(self.patches((crops - 127.5) * (1 / 128))))
        result: Tensor = self.embedding(x.flatten(1))
        return result


ARCHITECTURES: dict[str, type[BundledConv | BundledMixer]] = {
    "bundled-conv": BundledConv,
    "bundled-mixer": BundledMixer,
}
NAMES: tuple[str, ...] = tuple(ARCHITECTURES)
_SHA256 = {
    "bundled-conv": "b17d4ce537ecfab8c11571c65d408367cbdb05e8eadc03a5a8bf28ef3aaf97f2",
    "bundled-mixer": "2e1cfe4eb53542254a0dd8bc2fc5b30a47afcf9d3df4c1dcb29ed0197a33d2be",
}


def load(name: str, device: str = "cpu") -> EmbeddingNetwork:
    """Return a bundled network in evaluation mode.

    Raises UserError when its file is absent, unreadable or not the one that was shipped.
    """
    content = _content(name)
    network = ARCHITECTURES[name]()
    try:
        network.load_state_dict(load_tensors(content))
    except (SafetensorError, RuntimeError) as error:
        raise _damaged(name, str(error)) from error
    network.weights_sha256 = _SHA256[name]
    return network.to(torch.device(device)).eval().requires_grad_(requires_grad=False)


def _content(name: str) -> bytes:
    try:
        content = (WEIGHTS / f"{name}.safetensors").read_bytes()
    except OSError as error:
        raise _damaged(name, str(error.strerror)) from error
    if hashlib.sha256(content).hexdigest() != _SHA256[name]:
        raise _damaged(name, "its content was altered")
    return content


def _damaged(name: str, detail: str) -> UserError:
    return UserError(
        f"the weights of {name} can't be used: {detail}",
        expected=f"{name}.safetensors as it comes with the package",
        remedy="install the package again",
    )
