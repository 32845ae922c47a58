"""Real processes, killed for real: nothing is lost, no photo is enrolled twice."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from datasets import generated

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [8, 3, 3, 3]
TRAIN = 5


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    generated.write_people(folder, len(PEOPLE), PEOPLE.__getitem__)
    return folder


@contextmanager
def emulator(*options: str) -> Iterator[str]:
    """Run `audit emulate` as a process of its own; yield its address."""
    command = [sys.executable, "-m", "audit", "emulate", "--provider", "azure", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip().removeprefix("listening on ")
        finally:
            server.terminate()


def begin(folder: Path, people: Path, endpoint: str) -> "subprocess.Popen[bytes]":
    arguments = ["--person", "person-000", "--train", str(TRAIN), "--level", "min"]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "audit", "run", "--provider", "azure", "--yes", "--quiet"),
            *("--endpoint", endpoint, "--tier", "emulator", "--photos", str(people)),
            *(*arguments, "--out", "crash"),
        ],
        cwd=folder,
        env=os.environ | {"AZURE_FACE_KEY": "emulator"},
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


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
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
            face["user_data"] for person in gallery["people"] for face in person["faces"]
        )
        for gallery in galleries
    }


@pytest.mark.parametrize("done_when_killed", [2, 9, 17, 30])
def test_a_killed_run_is_resumed_and_enrols_each_photo_once(
    audit: Audit, tmp_path: Path, people: Path, done_when_killed: int
) -> None:
    run = tmp_path / "audit-runs" / "crash"
    with emulator() as endpoint:
        process = begin(tmp_path, people, endpoint)
        wait_for(lambda: calls_in(run, "done") >= done_when_killed, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert '"died"' in audit("status", "crash", "--json").stdout

        resumed = audit("resume", "crash", "--quiet", AZURE_FACE_KEY="emulator")

        assert resumed.returncode == 0, resumed.stderr
        assert resumed.stdout.splitlines()[-1] == str(run.relative_to(tmp_path))
        galleries = enrolled(endpoint)
        assert len(galleries) == 2
        for photos in galleries.values():
            assert set(photos.values()) == {1}
            assert len(photos) == TRAIN + sum(PEOPLE[1:])
    assert len((run / "observations.csv").read_text().splitlines()) == 1 + 2 * 3
    assert calls_in(run, "unknown") == calls_in(run, "planned") == 0


def test_an_answer_that_was_lost_is_not_sent_again(tmp_path: Path, people: Path) -> None:
    with emulator() as endpoint:
        rule = {"operation": "AddLargePersonGroupPersonFace", "every": 4, "kind": "lost_response"}
        requests.post(f"{endpoint}/__emulator__/faults", json={"rules": [rule]}, timeout=10)
        process = begin(tmp_path, people, endpoint)

        assert process.wait() == 0

        for photos in enrolled(endpoint).values():
            assert set(photos.values()) == {1}
            assert len(photos) == TRAIN + sum(PEOPLE[1:])


def test_ctrl_c_ends_a_run_that_can_be_resumed(audit: Audit, tmp_path: Path, people: Path) -> None:
    run = tmp_path / "audit-runs" / "crash"
    with emulator() as endpoint:
        process = begin(tmp_path, people, endpoint)
        wait_for(lambda: calls_in(run, "done") >= 5, process)
        process.send_signal(signal.SIGINT)

        assert process.wait() == 130
        assert '"interrupted"' in audit("status", "crash", "--json").stdout
        assert audit("resume", "crash", AZURE_FACE_KEY="emulator").returncode == 0


def test_a_budget_stops_before_the_call_that_would_exceed_it(audit: Audit, people: Path) -> None:
    with emulator() as endpoint:
        begun = audit(
            *("run", "--provider", "azure", "--yes", "--endpoint", endpoint),
            *("--tier", "emulator", "--photos", people, "--person", "person-000"),
            *("--train", TRAIN, "--level", "none", "--max-calls", "7", "--out", "small"),
            AZURE_FACE_KEY="emulator",
        )

        assert begun.returncode == 3
        assert "7 calls" in begun.stderr
        assert len(requests.get(f"{endpoint}/__emulator__/log", timeout=10).json()) == 7
        resumed = audit("resume", "small", "--max-calls", "1000", AZURE_FACE_KEY="emulator")
        assert resumed.returncode == 0


def test_purge_leaves_nothing_behind_after_a_kill(
    audit: Audit, tmp_path: Path, people: Path
) -> None:
    run = tmp_path / "audit-runs" / "crash"
    with emulator() as endpoint:
        process = begin(tmp_path, people, endpoint)
        wait_for(lambda: calls_in(run, "done") >= 4, process)
        process.kill()
        process.wait()

        purged = audit("purge", "crash", AZURE_FACE_KEY="emulator")

        assert purged.returncode == 0, purged.stderr
        assert "deleted" in purged.stdout
        assert enrolled(endpoint) == {}
