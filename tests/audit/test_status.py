"""What a run does now, told by its folder: on its way, waiting, dead or done."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audit import status
from audit.calls import Call, CallState
from audit.clock import utc
from audit.folders import RunFolder
from audit.ledger import Ledger

Audit = Callable[..., subprocess.CompletedProcess[str]]
CREATE = Call("azure", "create_gallery", "CreateLargePersonGroup", "control", "audit-1-0")
ENROL = Call("azure", "enrol", "AddFace", "control", "audit-1-0", "ann", ("aa",))
DETECT = Call("azure", "detect", "Detect", "control", "audit-1-0", "ann", ("bb",))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Return a run whose manifest says that it goes on, at a real service."""
    run = RunFolder(tmp_path / "audit-runs" / "one")
    run.path.mkdir(parents=True)
    run.experiment.write_text('provider = "azure"\n')
    note(run, exit_state="running", consent={"needed": True}, service={"provider": "azure"})
    return run


@pytest.fixture
def alive(folder: RunFolder) -> Iterator[RunFolder]:
    """Hold the run as the process does that works on it."""
    with folder.locked():
        yield folder


@pytest.fixture
def ledger(folder: RunFolder) -> Iterator[Ledger]:
    with closing(Ledger(folder.ledger)) as opened:
        opened.add([CREATE, ENROL, DETECT])
        yield opened


def note(folder: RunFolder, **values: Any) -> None:
    folder.manifest.write_text(json.dumps(values))


def ago(seconds: float) -> str:
    return utc(time.time() - seconds)


def beat(ledger: Ledger, *pulse: Any) -> None:
    ledger.pulse(*pulse)
    ledger.set_state(3, CallState.PLANNED)  # returns once it and all before it are written


def shown(folder: RunFolder, *columns: str) -> tuple[Any, ...]:
    row = status.of(folder)
    return tuple(row[column] for column in columns)


def test_calls_on_their_way_are_counted_while_the_run_lives(
    alive: RunFolder, ledger: Ledger
) -> None:
    ledger.sent(1, ago(9))
    ledger.done(1, ago(8), 1000.0, {})
    ledger.sent(2, ago(7))
    ledger.sent(3, ago(3))

    row = status.of(alive)

    assert (row["state"], row["in_flight"]) == ("running", 2)
    assert 7 <= row["oldest_in_flight_s"] < 30
    assert row["slow_call"] == row["waiting_until"] == row["eta"] == row["left_at_service"] == ""
    assert (row["calls_done"], row["calls_planned"]) == (1, 3)
    assert row["last_call"].startswith("detect control ")


def test_a_call_without_an_answer_for_more_than_a_minute_is_told_with_its_age(
    alive: RunFolder, ledger: Ledger
) -> None:
    ledger.sent(3, ago(185))

    assert status.of(alive)["slow_call"].startswith("Detect for 3 min ")


def test_a_run_that_waits_for_the_limit_says_until_when(alive: RunFolder, ledger: Ledger) -> None:
    until = ago(-40)
    beat(ledger, ago(1), until, 3661.0)

    columns = ("state", "waiting_until", "eta")
    assert shown(alive, *columns) == ("waiting", until, "1 h 01 min")
    ledger.sent(2, ago(0))
    assert shown(alive, *columns) == ("running", "", "1 h 01 min")


@pytest.mark.parametrize(("age_s", "until_s", "eta"), [(1, -1, "1 min 30 s"), (3600, 40, "")])
def test_a_wait_that_is_over_and_a_pulse_of_an_earlier_session_say_nothing(
    alive: RunFolder, ledger: Ledger, age_s: float, until_s: float, eta: str
) -> None:
    beat(ledger, ago(age_s), ago(-until_s), 90.0)

    assert shown(alive, "state", "waiting_until", "eta") == ("running", "", eta)


def test_a_killed_run_has_nothing_on_its_way_and_may_have_left_a_gallery(
    folder: RunFolder, ledger: Ledger
) -> None:
    ledger.sent(1, ago(100))
    beat(ledger, ago(1), ago(-40), 90.0)

    columns = ("state", "in_flight", "slow_call", "waiting_until", "eta", "left_at_service")
    assert shown(folder, *columns) == ("died", 0, "", "", "", 1)


def test_a_run_killed_before_it_said_that_it_runs_died_too(folder: RunFolder) -> None:
    note(folder, consent={"needed": True})

    assert shown(folder, "state", "calls_planned", "left_at_service") == ("died", 0, 0)


@pytest.mark.parametrize("state", ["interrupted", "stopped", "done"])
@pytest.mark.parametrize(("needed", "left"), [(True, 1), (False, "")])
def test_what_an_ended_run_left_at_a_real_service(
    folder: RunFolder, ledger: Ledger, state: str, left: object, *, needed: bool
) -> None:
    note(folder, exit_state=state, ended_utc=ago(5), consent={"needed": needed})
    ledger.set_gallery("audit-1-0", "created")

    assert shown(folder, "state", "left_at_service") == (state, left)
    assert status.of(folder)["ended_utc"] > "2026"
    ledger.set_gallery("audit-1-0", "deleted")
    assert shown(folder, "left_at_service") == (0 if needed else "",)


def test_a_gallery_that_was_only_planned_is_not_left(folder: RunFolder, ledger: Ledger) -> None:
    del ledger

    assert shown(folder, "left_at_service") == (0,)


@pytest.mark.parametrize(("version", "planned"), [(1, 3), (2, 4)])
def test_ledgers_of_older_versions_are_read_and_left_as_they_are(
    alive: RunFolder, version: int, planned: int
) -> None:
    dump = Path(__file__).with_name(f"ledger_version_{version}.sql")
    with closing(sqlite3.connect(alive.ledger)) as database:
        database.executescript(dump.read_text(encoding="utf-8"))
    before = alive.ledger.read_bytes()

    columns = ("state", "calls_done", "calls_planned", "in_flight", "eta")
    assert shown(alive, *columns) == ("running", 2, planned, 1, "")
    assert alive.ledger.read_bytes() == before


def test_a_ledger_that_is_just_being_made_is_no_error(alive: RunFolder) -> None:
    alive.ledger.touch()

    assert shown(alive, "state", "calls_planned", "last_call") == ("running", 0, "")


def test_status_answers_from_another_process_amid_a_commit_without_anything_heavy(
    alive: RunFolder, ledger: Ledger, tmp_path: Path
) -> None:
    ledger.sent(2, ago(1))
    script = (
        "import sys\n"
        "from audit.cli import app\n"
        "app(['status', 'one', '--json'], standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'pandas', 'PIL', 'requests', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    with closing(sqlite3.connect(alive.ledger, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE calls SET state = 'done'")
        told = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        writer.execute("ROLLBACK")

    assert told.returncode == 0, told.stderr
    (row,) = json.loads(told.stdout)
    assert (row["state"], row["in_flight"]) == ("running", 1)


def test_status_is_a_table_too(alive: RunFolder, ledger: Ledger, audit_here: Audit) -> None:
    del alive, ledger
    heading, row = audit_here("status").stdout.splitlines()

    assert heading.split()[:3] == ["run", "provider", "state"]
    assert row.split()[:3] == ["one", "azure", "running"]
