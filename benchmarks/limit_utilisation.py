"""How close to a service's limit calls come, and whether one ever exceeds it.

    python benchmarks/limit_utilisation.py

The Azure emulator, a process of its own, enforces the exact sliding window; the runner's executor
asks it for its galleries, with the real adapter, pacing and ledger, from as many threads as the
latency needs.
`of the bound` is the wall time, the last answer's latency included, over calls / rate;
`throttled` counts the emulator's 429 answers. On a machine that is busy otherwise, calls are held
up by more than the margin (16 ms of a second at 20 per second), and one is throttled now and then.
"""

import argparse
import math
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import requests
from emulator_clients import started
from emulator_memory import StandIn

from audit.calls import Call, CallRow
from audit.clock import WallClock
from audit.execution import Budget, Executor
from audit.ledger import Ledger
from audit.pacing import Pacing
from providers.azure import AzureProvider
from providers.base import Rate, Tier
from providers.emulators.calibration import calibration
from providers.emulators.options import Options
from providers.emulators.server import serve

_OPERATION = "GetLargePersonGroups"


@dataclass(frozen=True, slots=True)
class Case:
    """So many calls at a rate, each answered after a latency, shared by some processes."""

    calls_per_s: int
    latency_ms: int
    processes: int = 1

    @property
    def threads(self) -> int:
        """How many calls each process has in flight or waiting, a few more than the least."""
        in_flight = self.calls_per_s * self.latency_ms / 1000
        return math.ceil(1.2 * in_flight / self.processes) + 4


CASES = (Case(20, 50), Case(50, 200), Case(50, 2000), Case(20, 50, 3), Case(50, 200, 3))


def main() -> None:
    """Print one row a case."""
    arguments = _arguments()
    if arguments.serve is not None:
        options = Options(latency_ms=arguments.serve)
        serve("azure", StandIn(), calibration(StandIn.name), options=options)
        return
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}")
    titles = ("calls/s", "latency ms", "processes", "calls", "wall s", "of the bound", "throttled")
    print(("{:>13}" * len(titles)).format(*titles))
    for case in CASES:
        wall_s, throttled = measure(case, arguments.calls)
        print(
            f"{case.calls_per_s:13}{case.latency_ms:13}{case.processes:13}{arguments.calls:13}"
            f"{wall_s:13.2f}{wall_s * case.calls_per_s / arguments.calls:13.4f}{throttled:13}",
            flush=True,
        )
    print(f"load after: {os.getloadavg()[0]:.1f}")


def measure(case: Case, calls: int) -> tuple[float, int]:
    """Return the seconds from the first call to the last answer, and the throttled calls."""
    shares = [len(range(number, calls, case.processes)) for number in range(case.processes)]
    with (
        tempfile.TemporaryDirectory() as folder,
        started(__file__, "--serve", str(case.latency_ms)) as (url, _),
        ProcessPoolExecutor(case.processes, get_context("spawn")) as processes,
    ):
        rate = {"calls": case.calls_per_s, "per_s": 1}
        requests.post(f"{url}/__emulator__/rate", json=rate, timeout=10).raise_for_status()
        file = Path(folder) / "pacing.db"
        clients = [processes.submit(call, url, file, case, share) for share in shares]
        spans = [client.result() for client in clients]
        log = requests.get(f"{url}/__emulator__/log", timeout=10).json()
    throttled = sum(entry["status"] == 429 for entry in log)
    assert len(log) == calls + case.processes + throttled
    return max(end for _, end in spans) - min(begin for begin, _ in spans), throttled


def call(url: str, file: Path, case: Case, calls: int) -> tuple[float, float]:
    """Make a process's share of the calls, after one; return when they began and ended."""
    provider = AzureProvider(url, "benchmark")
    tier = Tier("benchmark", (Rate(case.calls_per_s, 1),), 0.0)
    pacing = Pacing(file, provider.account, tier, WallClock())
    with closing(Ledger(file.with_name(f"{os.getpid()}.db"))) as ledger:
        ledger.add(_planned(number) for number in range(calls + 1))
        executor = Executor(provider, ledger, pacing, Budget(), WallClock(), case.threads)

        def ask(row: CallRow) -> None:
            executor.perform(row, lambda: {"galleries": len(provider.list_galleries())})

        first, *others = ledger.calls()
        ask(first)  # the SDK's first call takes longer, and the pace does not know it
        began = time.time()
        with ThreadPoolExecutor(case.threads) as threads:
            list(threads.map(ask, others))
        return began, time.time()


def _planned(number: int) -> Call:
    return Call("azure", "list_galleries", _OPERATION, "control", "", photos=(str(number),))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--serve", type=float, help="only serve, with this latency in ms")
    return parser.parse_args()


if __name__ == "__main__":
    main()
