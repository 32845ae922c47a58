"""Real processes, killed for real: nothing is lost, no photo is enrolled twice."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from cloaker.networks import bundled
from cloaker.recogniser import LocalRecogniser
from datasets import generated
from providers.emulators.calibration import calibration
from providers.emulators.server import running

Audit = Callable[..., subprocess.CompletedProcess[str]]
Process = subprocess.Popen[bytes]
KEY = {"AZURE_FACE_KEY": "emulator"}
PEOPLE = [8, 3, 3, 3]
TRAIN = 5


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    generated.write_people(folder, len(PEOPLE), PEOPLE.__getitem__)
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Yield the address of an emulator that outlives every run."""
    recogniser = LocalRecogniser(bundled.load("bundled-conv"))
    with running("azure", recogniser, calibration("bundled-conv")) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(server: str) -> str:
    requests.post(f"{server}/__emulator__/clear", timeout=10).raise_for_status()
    return server


def arguments(people: Path, endpoint: str, level: str = "none") -> list[str]:
    return [
        *("run", "--provider", "azure", "--yes", "--quiet", "--endpoint", endpoint),
        *("--tier", "emulator", "--photos", str(people), "--person", "person-000"),
        *("--train", str(TRAIN), "--level", level, "--out", "crash"),
    ]


def begin(folder: Path, people: Path, endpoint: str, level: str = "none") -> Process:
    """Start a run as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "audit", *arguments(people, endpoint, level)],
        cwd=folder,
        env=os.environ | KEY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def calls_in(run: Path, state: str) -> int:
    ledger = run / "ledger.db"
    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as database:
        try:
            query = "SELECT count(*) FROM calls WHERE state = ?"
            return int(database.execute(query, (state,)).fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


def wait_for(condition: Callable[[], bool], process: Process) -> None:
    """Look until a condition holds; the test's own time limit ends a hopeless wait."""
    while not condition():
        assert process.poll() is None, "the run ended before the moment to kill it"
        time.sleep(0.002)


def enrolled(endpoint: str) -> dict[str, Counter[str]]:
    """Return for each gallery how often each photo is enrolled."""
    galleries: list[dict[str, Any]] = requests.get(
        f"{endpoint}/__emulator__/galleries", timeout=10
    ).json()
    return {
        gallery["gallery"]: Counter(
            face["user_data"] for person in gallery["persons"] for face in person["faces"]
        )
        for gallery in galleries
    }


@pytest.mark.parametrize(
    ("level", "done_when_killed"), [("none", 2), ("none", 9), ("none", 17), ("min", 30)]
)
def test_a_killed_run_is_resumed_and_enrols_each_photo_once(
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    endpoint: str,
    level: str,
    done_when_killed: int,
) -> None:
    run = tmp_path / "audit-runs" / "crash"
    process = begin(tmp_path, people, endpoint, level)
    wait_for(lambda: calls_in(run, "done") >= done_when_killed, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert '"died"' in audit_here("status", "crash", "--json").stdout

    resumed = audit_here("resume", "crash", "--quiet", **KEY)

    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines()[-1] == str(run.relative_to(tmp_path))
    galleries = enrolled(endpoint)
    (photos,) = galleries.values()
    assert set(photos.values()) == {1}
    assert len(photos) == TRAIN + sum(PEOPLE[1:])
    arms = 1 if level == "none" else 2
    assert len((run / "observations.csv").read_text().splitlines()) == 1 + arms * 3
    assert calls_in(run, "unknown") == calls_in(run, "planned") == 0


@pytest.mark.parametrize("kind", ["lost_response", "reset", "500", "429"])
@pytest.mark.usefixtures("no_waiting")
def test_what_fails_on_the_wire_is_neither_lost_nor_done_twice(
    audit_here: Audit, people: Path, endpoint: str, kind: str
) -> None:
    rule = {"operation": "*", "every": 4, "kind": kind, "retry_after_s": 1}
    requests.post(f"{endpoint}/__emulator__/faults", json={"rules": [rule]}, timeout=10)

    done = audit_here(*arguments(people, endpoint), **KEY)

    assert done.returncode == 0, done.stderr
    (photos,) = enrolled(endpoint).values()
    assert set(photos.values()) == {1}
    assert len(photos) == TRAIN + sum(PEOPLE[1:])


def test_ctrl_c_ends_a_run_that_can_be_resumed(
    audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    run = tmp_path / "audit-runs" / "crash"
    process = begin(tmp_path, people, endpoint)
    wait_for(lambda: calls_in(run, "done") >= 5, process)
    process.send_signal(signal.SIGINT)

    assert process.wait() == 130
    assert '"interrupted"' in audit_here("status", "crash", "--json").stdout
    assert audit_here("resume", "crash", **KEY).returncode == 0


def test_a_budget_stops_before_the_call_that_would_exceed_it(
    audit_here: Audit, people: Path, endpoint: str
) -> None:
    begun = audit_here(*arguments(people, endpoint), "--max-calls", "7", **KEY)

    assert begun.returncode == 3
    assert "7 calls" in begun.stderr
    assert len(requests.get(f"{endpoint}/__emulator__/log", timeout=10).json()) == 7
    resumed = audit_here("resume", "crash", "--max-calls", "1000", **KEY)
    assert resumed.returncode == 0


def test_purge_leaves_nothing_behind_after_a_kill(
    audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    run = tmp_path / "audit-runs" / "crash"
    process = begin(tmp_path, people, endpoint)
    wait_for(lambda: calls_in(run, "done") >= 4, process)
    process.kill()
    process.wait()

    purged = audit_here("purge", "crash", **KEY)

    assert purged.returncode == 0, purged.stderr
    assert "deleted" in purged.stdout
    assert enrolled(endpoint) == {}


def test_the_key_is_in_no_file_of_the_run(
    audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    secret = "planted-3f1c9a"

    done = audit_here(*arguments(people, endpoint), AZURE_FACE_KEY=secret)

    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    files = [path for path in (tmp_path / "audit-runs").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if secret.encode() in path.read_bytes()] == []
    assert (tmp_path / "audit-runs" / "crash").stat().st_mode & 0o077 == 0
