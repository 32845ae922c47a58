"""Train the bundled networks on generated people: python benchmarks/train_bundled.py [NAME ...].

A seed makes a run repeatable on one machine; other machines round differently.
"""

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from bundled_crops import Crops, generated_crops
from safetensors.torch import save
from torch import Tensor, nn

from cloaker.networks.base import ARCFACE_112, Crop, EmbeddingNetwork
from cloaker.networks.bundled import ARCHITECTURES, WEIGHTS

# Runs and tests use people below 1000.
PEOPLE = range(1000, 1700)
PHOTOS = 9
BORDER_PX = 4
WIDE = Crop(
    "arcface-112-wide",
    tuple((x + BORDER_PX, y + BORDER_PX) for x, y in ARCFACE_112.points),
    112 + 2 * BORDER_PX,
    112 + 2 * BORDER_PX,
)
BATCH = 64
SCALE, MARGIN = 24.0, 0.3


def training_crops(cache: Path, workers: int) -> Crops:
    """Return the training people's wide crops, from the cache file when it is there."""
    if not cache.exists():
        made = generated_crops(PEOPLE, PHOTOS, WIDE, workers)
        np.savez(cache, pixels=made.pixels, people=made.people, missed=made.missed)
    with np.load(cache) as stored:
        return Crops(stored["pixels"], stored["people"], int(stored["missed"]))


def augmented(pixels: Tensor, chance: torch.Generator) -> Tensor:
    """Shift, mirror, relight, cover and grain a batch of wide crops; return 112 x 112 floats."""
    batch = _shifted(pixels.float(), chance)
    count = len(batch)
    gain = 1 + 0.15 * torch.randn(count, 1, 1, 1, generator=chance)
    tint = 1 + 0.04 * torch.randn(count, 3, 1, 1, generator=chance)
    bias = 12 * torch.randn(count, 1, 1, 1, generator=chance)
    grain = torch.rand(count, 1, 1, 1, generator=chance) * 8
    batch = batch * gain * tint + bias + grain * torch.randn(batch.shape, generator=chance)
    return _covered(batch, chance).clamp(0, 255)


def _shifted(pixels: Tensor, chance: torch.Generator) -> Tensor:
    corners = torch.randint(0, 2 * BORDER_PX + 1, (len(pixels), 2), generator=chance).tolist()
    mirrored = (torch.rand(len(pixels), generator=chance) < 0.5).tolist()
    parts = []
    for picture, (top, left), flip in zip(pixels, corners, mirrored, strict=True):
        part = picture[:, top : top + 112, left : left + 112]
        parts.append(part.flip(-1) if flip else part)
    return torch.stack(parts)


def _covered(batch: Tensor, chance: torch.Generator) -> Tensor:
    """Grey out a square of every other crop, so that no single feature decides."""
    places = torch.randint(0, 112, (len(batch), 2), generator=chance).tolist()
    sides = torch.randint(16, 44, (len(batch),), generator=chance).tolist()
    for picture, (top, left), side in list(zip(batch, places, sides, strict=True))[::2]:
        picture[:, top : top + side, left : left + side] = 127.5
    return batch


class MarginSoftmax(nn.Module):
    """CosFace (Wang et al. 2018, section 3.1): a margin on the cosine of the true person."""

    def __init__(self, dimensions: int, people: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(people, dimensions) * 0.1)

    def forward(self, embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
        """Return the mean loss of N x D embeddings."""
        unit = nn.functional.normalize
        cosine = unit(embeddings) @ unit(self.centres).T
        true = nn.functional.one_hot(labels, len(self.centres))
        return nn.functional.cross_entropy(SCALE * (cosine - margin * true), labels)


def train(network: EmbeddingNetwork, crops: Crops, epochs: int, seed: int) -> None:
    """Train in place and leave the network in evaluation mode."""
    chance = torch.Generator().manual_seed(seed)
    pixels = torch.from_numpy(crops.pixels)
    labels = torch.from_numpy(np.unique(crops.people, return_inverse=True)[1])
    dimensions = network(torch.zeros(2, 3, 112, 112)).shape[1]
    head = MarginSoftmax(dimensions, int(labels.max()) + 1)
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.05)
    steps = epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    network.train()
    for step, chosen in enumerate(_batches(len(labels), epochs, chance)):
        # The margin grows from nothing: from the start it would keep the loss from falling.
        margin = MARGIN * min(1.0, 2 * step / steps)
        loss = head(network(augmented(pixels[chosen], chance)), labels[chosen], margin)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(f"{network.name} step {step} of {steps}: loss {loss.item():.3f}", flush=True)
    network.eval()


def _batches(count: int, epochs: int, chance: torch.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        order = torch.randperm(count, generator=chance)
        for start in range(0, count - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def main() -> None:
    """Train, write the weights and print their SHA-256, which goes into the code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(ARCHITECTURES), metavar="NAME")
    parser.add_argument("--cache", type=Path, default=Path("training-crops.npz"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    crops = training_crops(options.cache, options.workers)
    print(f"{len(crops.people)} crops of {len(PEOPLE)} people; no face in {crops.missed} photos")
    for name in options.names:
        torch.manual_seed(options.seed)
        network = ARCHITECTURES[name]()
        train(network, crops, options.epochs, options.seed)
        target = WEIGHTS / f"{name}.safetensors"
        content = save(network.state_dict())
        target.write_bytes(content)
        print(name, hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    main()
