"""Networks with their normalisations folded in: fewer layers, the same embeddings and gradients."""

import pytest
import torch
from drawn_networks import MADE, drawn, looked
from torch import nn

from cloaker.networks.folded import folded

UNFOLDED = {"bundled-mixer": 12, "facenet": 1}
"""Normalisations that follow an activation or a linear layer."""


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
