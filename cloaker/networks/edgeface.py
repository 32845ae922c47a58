"""EdgeFace (George et al. 2023): an EdgeNeXt backbone (Maaz et al. 2022) with a 512-d head.

Modules are named as in the published checkpoints.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from cloaker.networks.checkpoint import read_checkpoint

_KERNELS = (3, 5, 7, 9)
_SCALES = (2, 2, 3, 4)
_POSITION_FREQUENCIES = 32
_PACKED = "._packed_params._packed_params"


@dataclass(frozen=True, slots=True)
class Plan:
    """Channels and number of blocks of the four stages, and attention heads."""

    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    heads: int


XXS = Plan((24, 48, 88, 168), (2, 2, 6, 2), 4)
XS = Plan((32, 64, 100, 192), (3, 3, 9, 3), 4)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


class _ChannelNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return _channels_first(super().forward(_channels_last(x)))


class _MLP(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return projected


class _ConvolutionBlock(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = _MLP(channels)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(self.norm(_channels_last(self.conv_dw(x))))
        return x + _channels_first(self.gamma * y)


class _FourierPosition(nn.Module):
    """Positions as sines and cosines of 32 frequencies per axis (EdgeNeXt section 3.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token_projection = nn.Conv2d(2 * _POSITION_FREQUENCIES, channels, 1)

    def forward(self, height: int, width: int) -> Tensor:
        weight = self.token_projection.weight
        rows = _waves(height, weight)[:, None].expand(height, width, -1)
        columns = _waves(width, weight)[None].expand(height, width, -1)
        waves = torch.cat((rows, columns), dim=-1).permute(2, 0, 1)
        projected: Tensor = self.token_projection(waves[None])
        return projected


def _waves(length: int, like: Tensor) -> Tensor:
    """Return length x 32: sines at even, cosines at odd places."""
    steps = torch.arange(1, length + 1, dtype=like.dtype, device=like.device)
    phase = steps / (length + 1e-6) * 2 * math.pi
    pair = torch.arange(_POSITION_FREQUENCIES // 2, dtype=like.dtype, device=like.device)
    angles = phase[:, None] / 10000.0 ** (2 * pair / _POSITION_FREQUENCIES)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


class _CrossCovarianceAttention(nn.Module):
    """Attention between channels instead of tokens (El-Nouby et al. 2021)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, channels = tokens.shape
        split = self.qkv(tokens).reshape(batch, count, 3, self.heads, channels // self.heads)
        query, key, value = split.permute(2, 0, 3, 4, 1)
        likeness = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        mixed = (likeness * self.temperature).softmax(dim=-1) @ value
        projected: Tensor = self.proj(mixed.permute(0, 3, 1, 2).reshape(batch, count, channels))
        return projected


class _AttentionBlock(nn.Module):
    """Split depthwise transpose attention (EdgeNeXt section 3.1)."""

    def __init__(self, channels: int, scales: int, heads: int, *, position: bool) -> None:
        super().__init__()
        width = math.ceil(channels / scales)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in range(scales - 1)
        )
        self.pos_embd = _FourierPosition(channels) if position else None
        self.norm_xca = nn.LayerNorm(channels, eps=1e-6)
        self.xca = _CrossCovarianceAttention(channels, heads)
        self.gamma_xca = nn.Parameter(torch.ones(channels))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = _MLP(channels)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self._attend(self._cascade(x))
        y = self.mlp(self.norm(_channels_last(mixed)))
        return x + _channels_first(self.gamma * y)

    def _cascade(self, x: Tensor) -> Tensor:
        *parts, rest = x.chunk(len(self.convs) + 1, dim=1)
        outputs: list[Tensor] = []
        for convolution, part in zip(self.convs, parts, strict=True):
            outputs.append(convolution(outputs[-1] + part if outputs else part))
        return torch.cat((*outputs, rest), dim=1)

    def _attend(self, x: Tensor) -> Tensor:
        if self.pos_embd is not None:
            x = x + self.pos_embd(*x.shape[2:])
        tokens = x.flatten(2).transpose(1, 2)
        attention: Tensor = self.xca(self.norm_xca(tokens))
        tokens = tokens + self.gamma_xca * attention
        return tokens.transpose(1, 2).reshape(x.shape)


class _Stage(nn.Module):
    def __init__(self, plan: Plan, index: int) -> None:
        super().__init__()
        channels, depth = plan.channels[index], plan.depths[index]
        self.downsample: nn.Module = nn.Identity()
        if index > 0:
            before = plan.channels[index - 1]
            self.downsample = nn.Sequential(
                _ChannelNorm(before, eps=1e-6), nn.Conv2d(before, channels, 2, stride=2)
            )
        blocks: list[nn.Module] = [
            _ConvolutionBlock(channels, _KERNELS[index]) for _ in range(depth)
        ]
        if index > 0:
            blocks[-1] = _AttentionBlock(channels, _SCALES[index], plan.heads, position=index == 1)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        stage: Tensor = self.blocks(self.downsample(x))
        return stage


class _Head(nn.Module):
    def __init__(self, channels: int, dimension: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.fc = nn.Linear(channels, dimension)

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.fc(self.norm(x.mean(dim=(2, 3))))
        return embedding


class EdgeFace(EmbeddingNetwork):
    """EdgeFace of a plan's size; pixels are normalised to (x - 127.5) / 127.5."""

    def __init__(self, name: str, plan: Plan) -> None:
        super().__init__(name, ARCFACE_112)
        first, *_, last = plan.channels
        self.stem = nn.Sequential(nn.Conv2d(3, first, 4, stride=4), _ChannelNorm(first, eps=1e-6))
        self.stages = nn.Sequential(*(_Stage(plan, index) for index in range(4)))
        self.head = _Head(last, 512)

    def forward(self, x: Tensor) -> Tensor:
        """Return raw embeddings N x 512 of pixels in 0..255."""
        embedding: Tensor = self.head(self.stages(self.stem((x - 127.5) / 127.5)))
        return embedding


def load_quantised(network: EdgeFace, content: bytes) -> EdgeFace:
    """Fill a network from a checkpoint with dynamically quantised (int8) linear layers."""
    state = read_checkpoint(content)
    network.load_state_dict(_dequantised({k.removeprefix("model."): v for k, v in state.items()}))
    return network


def _dequantised(state: dict[str, Any]) -> dict[str, Tensor]:
    """Turn packed (int8 weight, bias) pairs into float weights; drop their scales."""
    tensors: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.endswith(_PACKED):
            layer = key.removesuffix(_PACKED)
            weight, bias = value
            tensors |= {f"{layer}.weight": weight.dequantize(), f"{layer}.bias": bias}
        elif not key.endswith((".scale", ".zero_point", "._packed_params.dtype")):
            tensors[key] = value
    return tensors
