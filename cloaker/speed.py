"""How long cloaking takes on this machine, measured before it is begun."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from cloaker import device
from cloaker.attack import optimise
from cloaker.levels import Parameters, precision_of, row_of
from cloaker.networks.base import EmbeddingNetwork
from cloaker.region import FaceRegion
from cloaker.scene import Scene

_FACES = 4
_STEPS = 3


def seconds_per_step(
    system: str, parameters: Parameters, networks: Sequence[EmbeddingNetwork]
) -> float:
    """Return the seconds that one step of cloaking one photo takes, detection and saving apart.

    As many batches are at work as in a run.
    """
    regions = random_regions(networks, _FACES)
    threads = device.threads(regions[0].clean.device)

    with ThreadPoolExecutor(threads) as pool:

        def work(steps: int) -> None:
            batches = (
                pool.submit(cloak, system, parameters, networks, regions, steps)
                for _ in range(threads)
            )
            for batch in list(batches):
                batch.result()

        work(1)  # the first one also loads kernels
        started = time.perf_counter()
        work(_STEPS)
        return (time.perf_counter() - started) / (_STEPS * _FACES * threads)


def random_regions(networks: Sequence[EmbeddingNetwork], faces: int) -> list[FaceRegion]:
    """Return pictures of noise in place of faces, on the networks' device."""
    where = next(networks[0].parameters()).device
    crops = [network.crop for network in networks]
    random = np.random.default_rng(0)
    shape = (faces, crops[0].height, crops[0].width, 3)
    pictures = random.integers(0, 256, shape, dtype=np.uint8)
    return [FaceRegion(picture, crops[0].points, crops, where) for picture in pictures]


def cloak(
    system: str,
    parameters: Parameters,
    networks: Sequence[EmbeddingNetwork],
    regions: Sequence[FaceRegion],
    steps: int,
) -> None:
    """Do so many steps of what a run does with a batch of faces."""
    count = len(regions)
    scene = Scene(regions, torch.zeros(steps + 1, count, 4))
    for network in networks:
        with torch.no_grad():
            own = network(scene.crops(scene.clean, network.crop))
        goals = own.new_ones(count, _GOALS_MAX, own.shape[1])
        scene.look(network, list(own), list(goals), precision_of(parameters))
    at_work = row_of(system).load()(scene, parameters, range(count))
    best = optimise(at_work, steps=steps, budget=at_work.limit(parameters))
    best.judged.sum().item()  # waits for a GPU to finish


_GOALS_MAX = 6
"""As many goals as any system has for a face."""
