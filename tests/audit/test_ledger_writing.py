"""Who writes when: threads, commits, full disks."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from audit.calls import CallState
from audit.ledger import Ledger
from tests.audit.ledger_calls import ENROL, UTC, many


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        yield ledger


def test_each_thread_reads_what_it_was_told_is_written(ledger: Ledger) -> None:
    ledger.add(many(60))

    def carry_out(seq: int) -> bool:
        ledger.sent(seq, UTC)
        ledger.done(seq, UTC, 1.0, {"face_id": str(seq)})
        return seq in {row.seq for row in ledger.calls(state=CallState.DONE)}

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(carry_out, range(1, 61)))
    assert [row.result["face_id"] for row in ledger.calls()] == [str(n) for n in range(1, 61)]
    assert ledger.attempts_by_operation() == {"AddFace": 60}


def test_calls_that_threads_append_are_numbered_apart(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(ledger.append, [ENROL] * 40))

    assert sorted(row.call.repeat for row in rows) == list(range(40))
    assert sorted(row.seq for row in rows) == list(range(1, 41))


def at_once(ledger: Ledger, changes: Sequence[Callable[[], None]]) -> list[Future[None]]:
    """Make changes, each from a thread of its own; the first is begun when all of them wait."""
    begun, gate = Event(), Event()

    def hold(_database: sqlite3.Connection) -> bool:
        begun.set()
        return gate.wait()

    ledger._writer.submit(hold)
    begun.wait()
    with ThreadPoolExecutor(len(changes)) as threads:
        futures = [threads.submit(change) for change in changes]
        while len(ledger._writer._waiting) < len(changes):
            time.sleep(0.001)
        gate.set()
    return futures


def test_what_waits_is_committed_at_once(ledger: Ledger) -> None:
    ledger.add(many(20))
    statements: list[str] = []
    ledger._writer._database.set_trace_callback(statements.append)

    at_once(ledger, [partial(ledger.sent, seq, UTC) for seq in range(1, 21)])

    assert ledger.states() == {"sent": 20}
    assert statements.count("COMMIT") == 2, "the one that was held up, and all the others"


def test_an_error_reaches_the_one_who_made_it_and_undoes_no_other_work(ledger: Ledger) -> None:
    ledger.add(many(3))
    wanted: list[Any] = [CallState.SKIPPED, None, CallState.SKIPPED]

    futures = at_once(
        ledger,
        [partial(ledger.set_state, seq, state) for seq, state in enumerate(wanted, start=1)],
    )

    errors = [type(future.exception()) for future in futures]
    assert errors == [type(None), sqlite3.IntegrityError, type(None)]
    assert [row.state.value for row in ledger.calls()] == ["skipped", "planned", "skipped"]


def test_a_closed_ledger_takes_nothing_more_and_keeps_no_one_waiting(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.add([ENROL])
    ledger.pulse(UTC, None, 4.0)
    ledger.close()

    with pytest.raises(RuntimeError):
        ledger.sent(1, UTC)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        assert database.execute("SELECT eta_s FROM pulse").fetchall() == [(4.0,)]
        assert database.execute("SELECT state FROM calls").fetchall() == [("planned",)]


_FULL = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from audit.errors import Stopped
from audit.calls import Call
from audit.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
limit = 500_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
def fill(thread):
    call = Call("azure", "enrol", "AddFace", "control", person=str(thread), photos=("x" * 9000,))
    for number in range(1000):
        try:
            ledger.append(call)
        except Stopped as error:
            assert "audit resume" in error.remedy
            return number
with ThreadPoolExecutor(8) as threads:
    appended = list(threads.map(fill, range(8)))
assert None not in appended, appended
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for thread in range(8):
    rows = [row for row in ledger.calls() if row.call.person == str(thread)]
    assert len(rows) == appended[thread], (thread, appended)
ledger.add([Call("azure", "enrol", "AddFace", "room again")])
ledger.close()
"""


def test_a_full_disk_stops_every_thread_and_loses_nothing_that_was_written(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    command = [sys.executable, "-c", _FULL, str(file)]
    filled = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (filled.returncode, filled.stderr) == (0, "")
    with closing(Ledger(file)) as ledger:
        assert len(ledger.calls(arm="room again")) == 1


def test_each_commit_is_forced_to_the_disk(ledger: Ledger) -> None:
    database = ledger._writer._database

    assert database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert database.execute("PRAGMA synchronous").fetchall() == [(2,)]  # FULL


def states_on_disk(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as database:
        return [state for (state,) in database.execute("SELECT state FROM calls ORDER BY seq")]


def test_an_answer_and_what_follows_from_it_are_one_commit(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    ledger.add(many(2))
    question, asked_about = (row.seq for row in ledger.calls())
    ledger.sent(question, UTC)
    with ledger.together():
        ledger.done(question, UTC, 1.0, {"faces": 1})
        assert states_on_disk(file) == ["sent", "planned"]
        ledger.done(asked_about, UTC, 0.0, {"face_id": "f"})
        assert states_on_disk(file) == ["sent", "planned"]

    assert states_on_disk(file) == ["done", "done"]


def test_earlier_answers_are_committed_before_the_next_call_is_sent(
    ledger: Ledger, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.db"
    ledger.add(many(2))
    first, second = (row.seq for row in ledger.calls())
    ledger.sent(first, UTC)
    with ledger.together():
        ledger.done(first, UTC, 1.0, {"next": "page 2"})
        ledger.sent(second, UTC)
        assert states_on_disk(file) == ["done", "sent"]
        ledger.done(second, UTC, 1.0, {"next": ""})

    assert states_on_disk(file) == ["done", "done"]


def test_what_other_threads_write_is_not_held_back(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add(many(1))
    (row,) = ledger.calls()
    with ledger.together(), ThreadPoolExecutor(1) as other:
        other.submit(ledger.done, row.seq, UTC, 1.0, {}).result(timeout=30)
        assert states_on_disk(tmp_path / "ledger.db") == ["done"]


def test_answers_are_kept_when_the_thread_fails(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add(many(1))
    (row,) = ledger.calls()

    def fail() -> None:
        with ledger.together():
            ledger.done(row.seq, UTC, 1.0, {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert states_on_disk(tmp_path / "ledger.db") == ["done"]


def test_one_within_another_commits_at_its_own_end(ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    ledger.add(many(2))
    first, second = (row.seq for row in ledger.calls())
    with ledger.together():
        with ledger.together():
            ledger.done(first, UTC, 1.0, {})
        assert states_on_disk(file) == ["done", "planned"]
        ledger.done(second, UTC, 1.0, {})
        assert states_on_disk(file) == ["done", "planned"]

    assert states_on_disk(file) == ["done", "done"]
