"""Milliseconds a step and photo, beside plain loops that are built as the authors built theirs.

    OMP_NUM_THREADS=1 python benchmarks/cloak_reference.py
    OMP_NUM_THREADS=1 python benchmarks/cloak_reference.py --system fawkes-0.3 --network edgeface_xxs

Milliseconds of the processor in one thread, which other programs disturb less than the clock.

The references are those of `authors_loops`. Both sides see the same networks, and take turns; a
system that wants several gets the given ones over and over. Of both, time that doesn't grow with the
steps (set-up, the last look at the best iterate) doesn't count. LPIPS is part of LowKey if it is installed. In its
first steps no face is over the budget: ours then spares DSSIM's way back, the references never do.
"""

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from authors_loops import faceoff, fawkes, lowkey, ulixes
from authors_loops.common import Loop, Networks

from audit.errors import UserError
from cloaker import lpips
from cloaker.levels import resolve
from cloaker.networks import registry
from cloaker.speed import cloak, random_regions


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


def main() -> None:
    """Measure and print one table row a system and network."""
    arguments = _arguments()
    batch, steps = arguments.batch, arguments.steps
    torch.set_num_threads(1)
    print(f"batch {batch}, {steps} steps, {torch.get_num_threads()} threads, load {_load()}")
    columns = f"{'reference':>9} {'ours':>7} {'ratio':>6} {'least..most':>12} {'bar':>5}"
    print(f"{'system':16} {'networks':18} {columns}")
    for name, system in itertools.product(arguments.network, arguments.system):
        case = CASES[system]
        networks = [registry.load(name)] * case.networks
        pairs = _measured(case, networks, arguments)
        reference, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = [theirs / own for theirs, own in pairs]
        print(
            f"{system:16} {f'{case.networks} x {name}':18} {reference:9.1f} {ours:7.1f} "
            f"{statistics.median(ratios):6.2f} {min(ratios):5.2f}..{max(ratios):5.2f}  {case.bar:4.1f}",
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
) -> list[tuple[float, float]]:
    """Return the reference's and our milliseconds per step and photo, in each repeat."""
    parameters = resolve(case.system, "high", [*case.settings, *arguments.set])
    if case.system == "lowkey" and not _has_lpips():
        parameters["lpips_weight"] = 0.0
    regions = random_regions(networks, arguments.batch)
    theirs = partial(case.reference, networks, regions[0].working[None], parameters)
    ours = partial(cloak, case.system, parameters, networks, regions)
    for work in (theirs, ours):
        work(1)
    return [
        (_step_ms(theirs, arguments.steps), _step_ms(ours, arguments.steps) / arguments.batch)
        for _ in range(arguments.repeats)
    ]


def _step_ms(work: Callable[[int], object], steps: int) -> float:
    one_s = _processor_s(work, 1)
    return 1e3 * (_processor_s(work, 1 + steps) - one_s) / steps


def _processor_s(work: Callable[[int], object], steps: int) -> float:
    start = time.process_time()
    work(steps)
    return time.process_time() - start


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
