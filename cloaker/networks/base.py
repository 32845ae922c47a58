"""The one interface of all embedding networks, and the crops that they want."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Crop:
    """Where a network wants a face: five points (x, y) in a crop of height x width pixels.

    The points are the eye at the image's left, the eye at its right, the nose tip, the mouth
    corner at the left and the one at the right.
    """

    name: str
    points: Points
    height: int
    width: int


_ARCFACE: Points = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
ARCFACE_112 = Crop("arcface-112", _ARCFACE, 112, 112)
ARCFACE_112X96 = Crop("arcface-112x96", tuple((x - 8, y) for x, y in _ARCFACE), 112, 96)


class EmbeddingNetwork(nn.Module):
    """A face embedder in evaluation mode, differentiable down to the pixels.

    `forward` takes float32 N x 3 x height x width RGB in 0..255, aligned to `crop`, with the
    network's own normalisation inside, and returns N x D, not yet of unit length.
    """

    def __init__(self, name: str, crop: Crop, weights_sha256: str = "") -> None:
        super().__init__()
        self.name = name
        self.crop = crop
        self.weights_sha256 = weights_sha256

    def weight_names(self) -> list[str]:
        """Return the names in `state_dict` of what training may change, in the order of use."""
        return [name for name, _ in self.named_parameters()]

    @torch.inference_mode()
    def embed(self, crops: Tensor, batch: int = 32) -> Tensor:
        """Return unit embeddings N x D (float32) of N x 3 x height x width crops, in batches."""
        parts = [self(part) for part in torch.split(crops, batch)]
        return nn.functional.normalize(torch.cat(parts).float(), dim=1)
