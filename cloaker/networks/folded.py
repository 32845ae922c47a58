"""Networks as cloaking runs them on a CPU: the same function, with fewer passes over memory."""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cloaker.networks.base import EmbeddingNetwork

_UNIT_LAYERS_MAX = 3
"""A convolution, its normalisation and its activation."""


class _Prelu(nn.Module):
    # PyTorch's own backward pass also computes the slopes' gradients, wanted or not.
    slopes: Tensor
    above: Tensor

    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        shaped = slopes.detach().reshape(-1, 1, 1)
        self.register_buffer("slopes", shaped)
        self.register_buffer("above", 1 - shaped)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.slopes * x, self.above, x.relu())


def folded(network: EmbeddingNetwork) -> EmbeddingNetwork:
    """Return a network in evaluation mode that computes the same up to rounding.

    On a CPU a copy: batch normalisations are part of the convolutions before them, PReLUs have no
    gradient of their slopes, and channels come last in memory, which spares convolutions a change
    of layout. On a GPU, where none of this has been measured to pay, the network itself; as well
    where there is no convolution.
    """
    on_cpu = all(parameter.device.type == "cpu" for parameter in network.parameters())
    if not on_cpu or not any(isinstance(layer, nn.Conv2d) for layer in network.modules()):
        return network
    twin = copy.deepcopy(network)
    for parent in list(twin.modules()):
        _fold(parent)
        for name, layer in parent.named_children():
            if isinstance(layer, nn.PReLU):
                setattr(parent, name, _Prelu(layer.weight))
    return twin.to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)


def _fold(parent: nn.Module) -> None:
    layers = list(parent.named_children())
    # Elsewhere the order in which layers are kept may not be that in which they are called.
    if not isinstance(parent, nn.Sequential) and len(layers) > _UNIT_LAYERS_MAX:
        return
    for (name, layer), (next_name, following) in pairwise(layers):
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(parent, name, fuse_conv_bn_eval(layer, following))
            setattr(parent, next_name, nn.Identity())
