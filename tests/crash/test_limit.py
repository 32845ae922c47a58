"""Three processes share an account of a service that enforces its limit exactly."""

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import requests

from audit.clock import WallClock
from audit.pacing import Pacing
from audit.types import RecognisedFace
from providers.azure import AzureProvider
from providers.base import Rate, Tier
from providers.emulators.calibration import Calibration
from providers.emulators.server import running

RATE = Rate(200, 4)
"""50 per second, in a window so long that a busy machine's delays are small against it."""

PROCESSES = 3
CALLS_EACH = 100
THREADS = 8


class NoFaces:
    """Photos are none of this test's business."""

    name = "no faces"

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        del image
        return ()


@pytest.fixture
def endpoint() -> Iterator[str]:
    with running("azure", NoFaces(), Calibration(slope=12.0, offset=-5.0)) as url:
        yield url


def call(url: str, file: Path, together: Barrier) -> None:
    """Ask for the galleries at the account's pace, once every process has its SDK loaded."""
    provider = AzureProvider(url, "emulator")
    pacing = Pacing(file, provider.account, Tier("test", (RATE,), 0.0), WallClock())

    def ask(_: int) -> None:
        pacing.wait("GetLargePersonGroups")
        provider.list_galleries()

    provider.list_galleries()
    together.wait(timeout=60)
    together.wait(timeout=60)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(ask, range(CALLS_EACH)))
    provider.close()


def test_three_processes_together_never_exceed_the_limit(endpoint: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(PROCESSES + 1)
    arguments = (endpoint, tmp_path / "pacing.db", together)
    processes = [context.Process(target=call, args=arguments) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    together.wait(timeout=60)
    rate = {"calls": RATE.calls, "per_s": RATE.per_s}
    requests.post(f"{endpoint}/__emulator__/rate", json=rate, timeout=10).raise_for_status()
    together.wait(timeout=60)
    for process in processes:
        process.join(timeout=60)

    assert [process.exitcode for process in processes] == [0] * PROCESSES
    log = requests.get(f"{endpoint}/__emulator__/log", timeout=10).json()
    answered = Counter(entry["status"] for entry in log)
    assert answered == {200: PROCESSES * (CALLS_EACH + 1)}
