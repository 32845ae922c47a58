"""MobileFaceNet (Chen et al. 2018, "MobileFaceNets", table 1) and its published checkpoints."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from cloaker.networks.base import ARCFACE_112, Crop, EmbeddingNetwork
from cloaker.networks.checkpoint import read_checkpoint
from cloaker.networks.mxnet_params import read_params

# In channels, out channels, expanded channels, stride: table 1 with its repeats written out.
_BOTTLENECKS = (
    (64, 64, 128, 2),
    *[(64, 64, 128, 1)] * 4,
    (64, 128, 256, 2),
    *[(128, 128, 256, 1)] * 6,
    (128, 128, 512, 2),
    *[(128, 128, 256, 1)] * 2,
)
_MXNET_BLOCKS = (
    "dconv_23",
    *(f"res_3_block{i}" for i in range(4)),
    "dconv_34",
    *(f"res_4_block{i}" for i in range(6)),
    "dconv_45",
    *(f"res_5_block{i}" for i in range(2)),
)


class _Unit(nn.Module):
    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        activation: bool = True,
        eps: float,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(channels_out, eps=eps)
        self.activation = nn.PReLU(channels_out) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.norm(self.conv(x)))
        return activated


class _Bottleneck(nn.Module):
    def __init__(
        self, channels_in: int, channels_out: int, expanded: int, stride: int, *, eps: float
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and channels_in == channels_out
        self.expand = _Unit(channels_in, expanded, eps=eps)
        self.depthwise = _Unit(
            expanded, expanded, 3, stride=stride, padding=1, groups=expanded, eps=eps
        )
        self.project = _Unit(expanded, channels_out, activation=False, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + projected if self.residual else projected


class MobileFaceNet(EmbeddingNetwork):
    """MobileFaceNet with a global depthwise convolution of the crop's size over 16.

    Pixels are normalised to (x - 127.5) / `scale`; `eps` is that of every batch normalisation but
    the last, `last_eps` of that one.
    """

    def __init__(
        self,
        name: str,
        crop: Crop = ARCFACE_112,
        *,
        dimension: int = 128,
        scale: float = 127.5,
        eps: float = 1e-5,
        last_eps: float = 1e-5,
    ) -> None:
        super().__init__(name, crop)
        self.scale = scale
        self.stem = _Unit(3, 64, 3, stride=2, padding=1, eps=eps)
        self.stem_depthwise = _Unit(64, 64, 3, padding=1, groups=64, eps=eps)
        self.blocks = nn.Sequential(*(_Bottleneck(*row, eps=eps) for row in _BOTTLENECKS))
        self.last = _Unit(128, 512, eps=eps)
        window = (crop.height // 16, crop.width // 16)
        self.global_depthwise = _Unit(512, 512, window, groups=512, activation=False, eps=eps)
        self.embedding = _Unit(512, dimension, activation=False, eps=last_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return raw embeddings N x dimension of pixels in 0..255."""
        x = self.blocks(self.stem_depthwise(self.stem((x - 127.5) / self.scale)))
        x = self.embedding(self.global_depthwise(self.last(x)))
        return x.flatten(1)


def load_checkpoint(
    network: MobileFaceNet, content: bytes, *, key: str | None = None
) -> MobileFaceNet:
    """Fill a network from another implementation's checkpoint; `key` names its state dict in it.

    Implementations name the layers as they like, but all keep them in forward order.
    """
    tensors = read_checkpoint(content, key=key)
    own = list(network.state_dict())
    if len(own) != len(tensors):
        raise ValueError(f"{len(tensors)} tensors, not the {len(own)} of a MobileFaceNet")
    for ours, theirs in zip(own, tensors, strict=True):
        if ours.rpartition(".")[2] != theirs.rpartition(".")[2]:
            raise ValueError(f"{theirs} stands where a MobileFaceNet has {ours}")
    network.load_state_dict(dict(zip(own, tensors.values(), strict=True)))
    return network


def load_mxnet(name: str, content: bytes) -> MobileFaceNet:
    """Build insightface's y1 network out of the bytes of an MXNet .params file."""
    network = MobileFaceNet(name, scale=128.0, eps=1e-3, last_eps=2e-5)
    tensors = read_params(content)
    state: dict[str, Tensor] = {}
    for unit, layer in _mxnet_layers():
        state |= _convolution_unit(unit, layer, tensors)
    network.load_state_dict(state | _embedding_unit(tensors))
    return network


def _mxnet_layers() -> Iterator[tuple[str, str]]:
    yield "stem", "conv_1"
    yield "stem_depthwise", "conv_2_dw"
    for i, block in enumerate(_MXNET_BLOCKS):
        yield f"blocks.{i}.expand", f"{block}_conv_sep"
        yield f"blocks.{i}.depthwise", f"{block}_conv_dw"
        yield f"blocks.{i}.project", f"{block}_conv_proj"
    yield "last", "conv_6sep"
    yield "global_depthwise", "conv_6dw7_7"


def _convolution_unit(unit: str, layer: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = {
        f"{unit}.conv.weight": tensors[f"arg:{layer}_conv2d_weight"],
        f"{unit}.norm.weight": tensors[f"arg:{layer}_batchnorm_gamma"],
        f"{unit}.norm.bias": tensors[f"arg:{layer}_batchnorm_beta"],
        f"{unit}.norm.running_mean": tensors[f"aux:{layer}_batchnorm_moving_mean"],
        f"{unit}.norm.running_var": tensors[f"aux:{layer}_batchnorm_moving_var"],
        f"{unit}.norm.num_batches_tracked": torch.tensor(0),
    }
    slope = tensors.get(f"arg:{layer}_relu_gamma")
    return state if slope is None else state | {f"{unit}.activation.weight": slope}


def _embedding_unit(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    beta = tensors["arg:fc1_beta"]
    return {
        "embedding.conv.weight": tensors["arg:fc1_weight"][:, :, None, None],
        "embedding.norm.weight": torch.ones_like(beta),  # the graph fixes this scale at one
        "embedding.norm.bias": beta,
        # A bias before batch normalisation is a shift of its mean.
        "embedding.norm.running_mean": tensors["aux:fc1_moving_mean"] - tensors["arg:pre_fc1_bias"],
        "embedding.norm.running_var": tensors["aux:fc1_moving_var"],
        "embedding.norm.num_batches_tracked": torch.tensor(0),
    }
