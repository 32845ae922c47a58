import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from cloaker.networks import bundled
from cloaker.recogniser import LocalRecogniser
from providers.emulators.calibration import calibration
from providers.emulators.options import Options
from providers.emulators.server import running
from tests.crash.services import KEYS, BeginUntil, Service, clear


@pytest.fixture(scope="module")
def accepted_keys() -> frozenset[str]:
    """The keys that the emulators let in."""
    return frozenset({"any"})


@pytest.fixture(scope="module")
def servers(accepted_keys: frozenset[str]) -> Iterator[dict[str, str]]:
    """Yield the address of an emulator of each service, which outlives every run."""
    recogniser, scores = LocalRecogniser(bundled.load("bundled-conv")), calibration("bundled-conv")
    options = Options(keys=accepted_keys)
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(name, recogniser, scores, options=options))
            for name in ("azure", "rekognition", "facepp")
        }


@pytest.fixture
def endpoint(service: Service, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of an account that is empty; the keys are in the environment."""
    clear(servers[service.provider])
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return servers[service.provider]


@pytest.fixture
def count_calls(tmp_path: Path) -> Callable[..., int]:
    """Return how to count the calls of the run "one" by values of columns of its ledger."""
    ledger = tmp_path / "audit-runs" / "one" / "ledger.db"

    def count_calls(**values: str) -> int:
        if not ledger.exists():
            return 0
        where = " AND ".join(f"{name} = ?" for name in values)
        query = f"SELECT count(*) FROM calls WHERE {where}"
        with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as database:
            try:
                return int(database.execute(query, tuple(values.values())).fetchone()[0])
            except sqlite3.OperationalError:  # the table is not there yet
                return 0

    return count_calls


@pytest.fixture
def begin_until(tmp_path: Path) -> Iterator[BeginUntil]:
    """Start a run as a process of its own; return the process once a condition holds."""
    with ExitStack() as stack:

        def begin_until(
            arguments: Sequence[str], condition: Callable[[], bool]
        ) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", "audit", *arguments],
                cwd=tmp_path,
                env=os.environ | {"COLUMNS": "80"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            while not condition():  # the test's own time limit ends a hopeless wait
                assert process.poll() is None, "the run ended before the moment to kill it"
                time.sleep(0.002)
            return process

        yield begin_until
