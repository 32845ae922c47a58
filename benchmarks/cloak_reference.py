"""Milliseconds a step and photo, beside plain loops that are built as the authors built theirs.

    python benchmarks/cloak_reference.py
    python benchmarks/cloak_reference.py --system fawkes-0.3 --network edgeface_xxs

Both sides have the whole machine, see the same networks, and take turns; a system that wants several
gets the given ones over and over. Ours cloaks `--batch` photos as a run does: in batches of eight,
as many at once as there are cores, each on one. The references, those of `authors_loops`, do one
photo after the other, with as many threads as suit them best: one, or one a core. `by the clock` is
what a user waits less; `a core` compares the processor's seconds alone, which other programs disturb
less, and tells what is left on a single core.

Of both, time that doesn't grow with the steps (set-up, the last look at the best iterate) doesn't
count. LPIPS is part of LowKey if it is installed. In its first steps no face is over the budget: ours
then spares DSSIM's way back, the references never do.
"""

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from authors_loops import faceoff, fawkes, lowkey, ulixes
from authors_loops.common import Loop, Networks

from audit.errors import UserError
from cloaker import lpips
from cloaker.device import cores
from cloaker.levels import resolve
from cloaker.networks import registry
from cloaker.speed import cloak, random_regions

AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A system at work: its reference, the settings of ours, through how many networks.

    `bar`: how many times as fast as the reference ours has to be.
    """

    system: str
    reference: Loop
    networks: int = 1
    settings: tuple[str, ...] = ()
    bar: float = 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step of one photo takes: on the clock, and of the processor."""

    clock_ms: float
    processor_ms: float


def main() -> None:
    """Measure and print one table row a system and network."""
    arguments = _arguments()
    torch.set_num_threads(1)
    print(f"batch {arguments.batch}, {arguments.steps} steps, {cores()} cores, load {_load()}")
    columns = f"{'reference':>9} {'ours':>7} {'by the clock':>12} {'least..most':>12} {'a core':>6}"
    print(f"{'system':16} {'networks':18} {columns} {'bar':>5}")
    for name, system in itertools.product(arguments.network, arguments.system):
        case = CASES[system]
        networks = [registry.load(name)] * case.networks
        pairs = _measured(case, networks, arguments)
        reference, ours = (
            statistics.median(cost.clock_ms for cost in costs) for costs in zip(*pairs, strict=True)
        )
        clock = [theirs.clock_ms / own.clock_ms for theirs, own in pairs]
        core = statistics.median(theirs.processor_ms / own.processor_ms for theirs, own in pairs)
        print(
            f"{system:16} {f'{case.networks} x {name}':18} {reference:9.1f} {ours:7.1f} "
            f"{statistics.median(clock):12.2f} {f'{min(clock):.2f}..{max(clock):.2f}':>12} "
            f"{core:6.2f} {case.bar:5.1f}",
            flush=True,
        )
    print(f"milliseconds per step and photo: medians of {arguments.repeats}; load after {_load()}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--network", nargs="+", default=["bundled-conv"])
    parser.add_argument("--set", nargs="*", default=[], help="budget=1e-9: all faces are over it")
    parser.add_argument("--batch", type=int, default=16, help="photos at once, of ours")
    parser.add_argument("--steps", type=int, default=10, help="steps timed")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side")
    return parser.parse_args()


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _measured(
    case: Case, networks: Networks, arguments: argparse.Namespace
) -> list[tuple[Cost, Cost]]:
    """Return the reference's and our cost in each repeat."""
    parameters = resolve(case.system, "high", [*case.settings, *arguments.set])
    if case.system == "lowkey" and not _has_lpips():
        parameters["lpips_weight"] = 0.0
    regions = random_regions(networks, arguments.batch)
    batches = [regions[i : i + AT_ONCE] for i in range(0, len(regions), AT_ONCE)]
    theirs = partial(case.reference, networks, regions[0].working[None], parameters)

    with ThreadPoolExecutor(cores()) as pool:

        def ours(steps: int) -> None:
            list(
                pool.map(
                    lambda some: cloak(case.system, parameters, networks, some, steps), batches
                )
            )

        for work in (theirs, ours):
            work(1)
        return [
            (_best(theirs, arguments.steps), _cost(ours, arguments.steps, arguments.batch))
            for _ in range(arguments.repeats)
        ]


def _best(reference: Callable[[int], object], steps: int) -> Cost:
    """Return what the reference takes with the number of threads with which it is fastest."""
    costs = []
    for threads in {1, cores()}:
        torch.set_num_threads(threads)
        costs.append(_cost(reference, steps, 1))
    torch.set_num_threads(1)
    return Cost(min(cost.clock_ms for cost in costs), min(cost.processor_ms for cost in costs))


def _cost(work: Callable[[int], object], steps: int, photos: int) -> Cost:
    (one_s, one_cpu_s), (all_s, all_cpu_s) = _seconds(work, 1), _seconds(work, 1 + steps)
    each = 1e3 / (steps * photos)
    return Cost(each * (all_s - one_s), each * (all_cpu_s - one_cpu_s))


def _seconds(work: Callable[[int], object], steps: int) -> tuple[float, float]:
    """Return the seconds on the clock and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    work(steps)
    return time.perf_counter() - start, time.process_time() - used


def _has_lpips() -> bool:
    try:
        lpips.load(torch.device("cpu"))
    except UserError:
        return False
    return True


_ENDLESS = ("margin=10", "tolerance=0", "budget=1")  # so that no face finishes early
CASES = {
    "fawkes-0.3": Case("fawkes-0.3", fawkes.release_03),
    "fawkes-paper": Case("fawkes-paper", fawkes.paper),
    "fawkes-1.0": Case("fawkes-1.0", fawkes.release_10, networks=2),
    "lowkey-released": Case("lowkey", lowkey.lowkey, networks=2, settings=("preset=released",)),
    "lowkey-paper": Case("lowkey", lowkey.lowkey, networks=4, bar=2.5),
    "ulixes": Case("ulixes", ulixes.ulixes, settings=_ENDLESS),
    "faceoff": Case("faceoff", faceoff.faceoff),
}

if __name__ == "__main__":
    main()
