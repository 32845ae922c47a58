"""Networks of every kind whose numbers are all drawn at random."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cloaker.networks import bundled, edgeface, facenet, mobilefacenet
from cloaker.networks.base import EmbeddingNetwork

MADE: dict[str, Callable[[], EmbeddingNetwork]] = {
    "bundled-conv": bundled.BundledConv,
    "bundled-mixer": bundled.BundledMixer,
    "edgeface": lambda: edgeface.EdgeFace("edgeface", edgeface.XXS),
    "facenet": lambda: facenet.FaceNet("facenet"),
    "mobilefacenet": lambda: mobilefacenet.MobileFaceNet("mobilefacenet"),
}


def drawn(name: str) -> EmbeddingNetwork:
    """Return a network in float64 whose normalisations and slopes are all drawn at random."""
    torch.manual_seed(1)
    network = MADE[name]().double().eval().requires_grad_(requires_grad=False)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (layer.running_var, layer.weight):
                assert values is not None
                values.uniform_(0.5, 1.5)
            for values in (layer.running_mean, layer.bias):
                assert values is not None
                values.normal_(std=0.2)
        if isinstance(layer, nn.PReLU):
            layer.weight.uniform_(-0.5, 1.5)
    return network


def looked(network: EmbeddingNetwork, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return embeddings of two crops, and the gradient that reaches the pixels."""
    generator = torch.Generator().manual_seed(0)
    size = (2, 3, network.crop.height, network.crop.width)
    crops = (255 * torch.rand(size, generator=generator, dtype=dtype)).requires_grad_()
    embeddings: Tensor = network(crops)
    (gradient,) = torch.autograd.grad(embeddings.square().sum(), crops)
    return embeddings.detach(), gradient
