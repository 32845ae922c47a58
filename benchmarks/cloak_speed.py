"""Photos cloaked a minute, and how near that is to the bare network's own speed.

    OMP_NUM_THREADS=1 python benchmarks/cloak_speed.py --network bundled-conv

The ratio compares, in one process and on the same crops, the time of a cloak's steps with that of
as many forward and backward passes of the network alone: 1.0 would mean that everything else
(DSSIM, optimiser, best iterate) is free.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from cloaker.attack import optimise
from cloaker.fawkes import Fawkes03, aim
from cloaker.geometry import feather
from cloaker.levels import Parameters, resolve
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork


def main() -> None:
    """Measure and print one table row a network."""
    arguments = _arguments()
    row = resolve("fawkes-0.3", arguments.level)
    header = f"{'network':16} {'ms/step':>8} {'bare ms/step':>13} {'ratio':>6} {'photos/min':>11}"
    print(f"level {arguments.level}, batch {arguments.batch}, {arguments.device}\n{header}")
    for name in arguments.network:
        network = registry.load(name, arguments.device)
        faces = _faces(network, arguments.batch, arguments.device)
        few = row | {"steps": arguments.steps}
        bare_s = _best(partial(_bare, network, faces, arguments.steps), arguments.repeats)
        ours_s = _best(partial(_cloak, network, faces, few), arguments.repeats)
        step_s = ours_s / arguments.steps
        rate = 60 * arguments.batch / (step_s * int(row["steps"]))
        print(
            f"{name:16} {1e3 * step_s:8.1f} {1e3 * bare_s / arguments.steps:13.1f} "
            f"{ours_s / bare_s:6.2f} {rate:11.1f}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", nargs="+", default=["bundled-conv"])
    parser.add_argument("--level", default="high")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=15, help="steps timed, of the level's")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    return parser.parse_args()


def _faces(network: EmbeddingNetwork, count: int, device: str) -> Tensor:
    coarse = torch.rand(count, 3, 14, 14, generator=torch.Generator().manual_seed(0)) * 255
    size = (network.crop.height, network.crop.width)
    return (
        torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 255).to(device)
    )


def _best(work: Callable[[], None], repeats: int) -> float:
    return min(_seconds(work) for _ in range(repeats + 1))


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _bare(network: EmbeddingNetwork, faces: Tensor, steps: int) -> None:
    for _ in range(steps):
        crops = faces.clone().requires_grad_()
        torch.autograd.grad(network(crops).square().sum(), crops)


def _cloak(network: EmbeddingNetwork, faces: Tensor, row: Parameters) -> None:
    with torch.no_grad():
        own = network(faces)
    aims = aim(own, own.mean(dim=0), -own.mean(dim=0))
    mask = feather(network.crop).to(faces.device)
    system = Fawkes03(faces, aims, mask, row)
    optimise(system, network, faces, budget=float(row["budget"]), steps=int(row["steps"]))


if __name__ == "__main__":
    main()
