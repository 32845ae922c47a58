"""Networks with their normalisations folded in: fewer layers, the same embeddings and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cloaker.networks import bundled, edgeface, facenet, mobilefacenet
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.folded import folded

MADE: dict[str, Callable[[], EmbeddingNetwork]] = {
    "bundled-conv": bundled.BundledConv,
    "bundled-mixer": bundled.BundledMixer,
    "edgeface": lambda: edgeface.EdgeFace("edgeface", edgeface.XXS),
    "facenet": lambda: facenet.FaceNet("facenet"),
    "mobilefacenet": lambda: mobilefacenet.MobileFaceNet("mobilefacenet"),
}
UNFOLDED = {"bundled-mixer": 12, "facenet": 1}
"""Normalisations that follow an activation or a linear layer."""


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


def looked(network: EmbeddingNetwork) -> tuple[Tensor, Tensor]:
    """Return embeddings of two crops, and the gradient that reaches the pixels."""
    generator = torch.Generator().manual_seed(0)
    size = (2, 3, network.crop.height, network.crop.width)
    crops = (255 * torch.rand(size, generator=generator, dtype=torch.float64)).requires_grad_()
    embeddings: Tensor = network(crops)
    (gradient,) = torch.autograd.grad(embeddings.square().sum(), crops)
    return embeddings.detach(), gradient


@pytest.mark.parametrize("name", MADE)
def test_a_folded_network_computes_the_same(name: str) -> None:
    network = drawn(name)
    twin = folded(network)
    for ours, theirs in zip(looked(twin), looked(network), strict=True):
        assert (ours - theirs).abs().max() < 1e-10 * theirs.abs().max()
    left = [m for m in twin.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(left) == UNFOLDED.get(name, 0)
    assert not any(isinstance(layer, nn.PReLU) for layer in twin.modules())
    assert not any(parameter.requires_grad for parameter in twin.parameters())


def test_the_given_network_stays_as_it_is() -> None:
    network = drawn("bundled-conv")
    before = {name: values.clone() for name, values in network.state_dict().items()}
    assert folded(network) is not network
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(values, after[name]) for name, values in before.items())
