"""How long cloaking takes on this machine, measured before it is begun."""

import time

import torch

from cloaker.attack import optimise
from cloaker.fawkes import Fawkes03, aim
from cloaker.geometry import feather
from cloaker.levels import resolve
from cloaker.networks.base import EmbeddingNetwork

_FACES = 4
_STEPS = 3


def seconds_per_step(network: EmbeddingNetwork) -> float:
    """Return the seconds that one step of cloaking one photo takes, detection and saving apart."""
    device = next(network.parameters()).device
    size = (network.crop.height, network.crop.width)
    faces = torch.rand(_FACES, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    _steps(network, faces * 255, 1)  # the first one also loads kernels
    started = time.perf_counter()
    _steps(network, faces * 255, _STEPS)
    return (time.perf_counter() - started) / (_STEPS * _FACES)


def _steps(network: EmbeddingNetwork, faces: torch.Tensor, steps: int) -> None:
    row = resolve("fawkes-0.3", "high")
    with torch.no_grad():
        own = network(faces)
    system = Fawkes03(faces, aim(own, own, -own), feather(network.crop).to(faces.device), row)
    best = optimise(system, network, faces, budget=float(row["budget"]), steps=steps)
    best.distance.sum().item()  # waits for a GPU to finish
