"""Networks that multiply in bfloat16: faster where the processor or the GPU has a unit for it."""

import copy

import torch
from torch import Tensor, nn

from cloaker.levels import Value
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.folded import folded


class Lowered(EmbeddingNetwork):
    """A copy of a network that takes and returns float32, and multiplies in bfloat16.

    Pixels are normalised, and statistics taken, in float32. Its embeddings are off by less than a
    hundredth of their length.
    """

    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__(network.name, network.crop, network.weights_sha256)
        self.network = copy.deepcopy(network)
        for layer in self.network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.bfloat16()

    def forward(self, crops: Tensor) -> Tensor:
        """Return N x D in float32."""
        with torch.autocast(crops.device.type, torch.bfloat16):
            embeddings: Tensor = self.network(crops)
        return embeddings.float()


def as_run(network: EmbeddingNetwork, precision: Value) -> EmbeddingNetwork:
    """Return a network as cloaking runs it, by the parameter `precision`."""
    return Lowered(folded(network)) if precision == "bfloat16" else folded(network)
