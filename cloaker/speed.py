"""How long cloaking takes on this machine, measured before it is begun."""

import time

import numpy as np
import torch

from cloaker.attack import optimise
from cloaker.fawkes import Fawkes03, aim
from cloaker.levels import resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.region import FaceRegion, Regions

_FACES = 4
_STEPS = 3
_IN_PLACE = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def seconds_per_step(network: EmbeddingNetwork) -> float:
    """Return the seconds that one step of cloaking one photo takes, detection and saving apart."""
    regions = random_regions(network, _FACES)
    cloak(network, regions, 1)  # the first one also loads kernels
    started = time.perf_counter()
    cloak(network, regions, _STEPS)
    return (time.perf_counter() - started) / (_STEPS * _FACES)


def random_regions(network: EmbeddingNetwork, faces: int) -> Regions:
    """Return a batch of pictures of noise in place of faces, on the network's device."""
    device = next(network.parameters()).device
    random = np.random.default_rng(0)
    pictures = random.integers(
        0, 256, (faces, network.crop.height, network.crop.width, 3), dtype=np.uint8
    )
    return Regions(
        [FaceRegion(picture, _IN_PLACE, network.crop, device) for picture in pictures],
        network.crop,
    )


def cloak(network: EmbeddingNetwork, regions: Regions, steps: int) -> None:
    """Do what a run does with a batch of faces: so many steps at level `high`."""
    row = resolve("fawkes-0.3", "high")
    wobble = regions.clean.new_zeros(len(regions.clean), 4)
    with torch.no_grad():
        own = network(regions.crops(regions.clean))
    best = optimise(
        Fawkes03(regions.clean, aim(own, own, -own), regions.mask, row),
        lambda pictures: network(regions.crops(pictures, wobble)),
        regions.clean,
        budget=float(row["budget"]),
        steps=steps,
        visibility=regions.visibility,
    )
    best.distance.sum().item()  # waits for a GPU to finish
