"""Networks as cloaking runs them on a CPU: the same function, with fewer passes over memory."""

import copy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cloaker.networks.base import EmbeddingNetwork

_UNIT_LAYERS_MAX = 3
"""A convolution, its normalisation and its activation."""


class _Prelu(nn.Module):
    slopes: Tensor
    above: Tensor

    def __init__(self, slopes: Tensor) -> None:
        super().__init__()
        self.register_buffer("slopes", slopes.detach())
        self.register_buffer("above", 1 - slopes.detach())

    def forward(self, x: Tensor) -> Tensor:
        shaped = [values.reshape(-1, 1, 1) for values in (self.slopes, self.above)]
        result: Tensor = _Rectified.apply(x, self.slopes, *shaped)
        return result


class _Rectified(torch.autograd.Function):
    """PReLU without a gradient of its slopes, and with one that takes no branch for each value.

    PyTorch's own does, which at random signs costs a processor seven times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor, beneath: Tensor, above: Tensor) -> Tensor:
        """Compute it; `above` is what the slope is larger by for a positive value."""
        ctx.save_for_backward(x, beneath, above)
        return nn.functional.prelu(x, slopes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of the input."""
        x, beneath, above = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(gradient, x, 0)
        return positive.mul_(above).addcmul_(gradient, beneath), None, None, None


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
    twin.register_forward_pre_hook(_channels_last)
    return twin.to(memory_format=torch.channels_last).requires_grad_(requires_grad=False)


def _channels_last(_network: nn.Module, crops: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(crop.contiguous(memory_format=torch.channels_last) for crop in crops)


def _fold(parent: nn.Module) -> None:
    layers = list(parent.named_children())
    # Elsewhere the order in which layers are kept may not be that in which they are called.
    if not isinstance(parent, nn.Sequential) and len(layers) > _UNIT_LAYERS_MAX:
        return
    for (name, layer), (next_name, following) in pairwise(layers):
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(parent, name, fuse_conv_bn_eval(layer, following))
            setattr(parent, next_name, nn.Identity())
