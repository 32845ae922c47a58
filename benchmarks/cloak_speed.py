"""Photos cloaked a minute, and how near that is to the bare network's own speed.

    OMP_NUM_THREADS=1 python benchmarks/cloak_speed.py --system fawkes-0.3 --network bundled-conv

The ratio compares, in one process and on the same crops, the time of a cloak's steps with that of
as many forward and backward passes of the network alone, as cloaking runs it (on a CPU its
normalisations folded): 1.0 would mean that everything else (alignment, DSSIM at two resolutions,
optimiser, best iterate) is free.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch

from cloaker.levels import resolve
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.folded import folded
from cloaker.scene import Scene
from cloaker.speed import cloak, random_regions


def main() -> None:
    """Measure and print one table row a network."""
    arguments = _arguments()
    header = f"{'network':16} {'ms/step':>8} {'bare ms/step':>13} {'ratio':>6} {'photos/min':>11}"
    batch, steps, repeats = arguments.batch, arguments.steps, arguments.repeats
    print(f"{arguments.system} at {arguments.level}, batch {batch}, {arguments.device}\n{header}")
    parameters = resolve(arguments.system, arguments.level)
    for name in arguments.network:
        networks = [registry.load(name, arguments.device)]
        faces = random_regions(networks, batch)
        bare_s = _best(partial(_bare, folded(networks[0]), Scene(faces), steps), repeats)
        work = partial(cloak, arguments.system, parameters, networks, faces, steps)
        step_s = _best(work, repeats) / steps
        rate = 60 * batch / (step_s * int(parameters["steps"]))
        bare_step_s = bare_s / steps
        print(
            f"{name:16} {1e3 * step_s:8.1f} {1e3 * bare_step_s:13.1f} "
            f"{step_s / bare_step_s:6.2f} {rate:11.1f}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", default="fawkes-0.3")
    parser.add_argument("--level", default="high")
    parser.add_argument("--network", nargs="+", default=["bundled-conv"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=15, help="steps timed, of the level's")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    return parser.parse_args()


def _best(work: Callable[[], None], repeats: int) -> float:
    return min(_seconds(work) for _ in range(repeats + 1))


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _bare(network: EmbeddingNetwork, scene: Scene, steps: int) -> None:
    for _ in range(steps):
        crops = scene.crops(scene.clean, network.crop).requires_grad_()
        torch.autograd.grad(network(crops).square().sum(), crops)


if __name__ == "__main__":
    main()
