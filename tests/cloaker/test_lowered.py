"""Networks that multiply in bfloat16: float32 in and out, nearly the same embeddings."""

import pytest
import torch
from drawn_networks import MADE, drawn, looked
from torch import nn

from cloaker.networks.lowered import Lowered, as_run

ALIKE = {"facenet": 0.7}
"""Cosine of the gradients: drawn at random, a deep network without training enlarges rounding."""


@pytest.mark.parametrize("name", MADE)
def test_a_lowered_network_is_nearly_the_same_and_float32_outside(name: str) -> None:
    network = drawn(name).float()
    (exact, exact_gradient), (near, near_gradient) = (
        looked(as_run(network, precision), torch.float32) for precision in ("float32", "bfloat16")
    )
    assert {values.dtype for values in (near, near_gradient)} == {torch.float32}
    assert {values.dtype for values in (exact, exact_gradient)} == {torch.float32}
    assert 0 < (near - exact).norm() < 0.01 * exact.norm()
    alike = nn.functional.cosine_similarity(near_gradient.flatten(), exact_gradient.flatten(), 0)
    assert alike > ALIKE.get(name, 0.99)


def test_only_what_multiplies_is_lowered_and_the_given_network_is_not() -> None:
    network = drawn("mobilefacenet").float()
    lowered = Lowered(network)
    assert (lowered.name, lowered.crop) == (network.name, network.crop)
    types = {
        type(layer): {values.dtype for values in layer.parameters()}
        for layer in lowered.modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)
    }
    assert types == {nn.Conv2d: {torch.bfloat16}, nn.BatchNorm2d: {torch.float32}}
    assert {values.dtype for values in network.parameters()} == {torch.float32}
