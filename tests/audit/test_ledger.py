import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from audit.calls import Call, CallState
from audit.errors import UserError
from audit.ledger import Ledger
from audit.types import Observation, Outcome

ENROL = Call("azure", "enrol", "AddFace", "control", "audit-1-0", "ann", ("aa",))
CREATE = Call("azure", "create_gallery", "Create", "control", "audit-1-0")
UTC = "2026-01-01T00:00:00.000+00:00"


def observation(score: float) -> Observation:
    return Observation(
        run_id="r",
        utc="",
        provider="azure",
        service_model="m",
        game="poison",
        arm="control",
        system="none",
        level="none",
        targets=None,
        cloaked_fraction=0.0,
        probe_sha256="aa",
        true_person="ann",
        outcome=Outcome.MATCH,
        true_score=score,
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        yield ledger


def many(calls: int) -> list[Call]:
    return [replace(ENROL, photos=(str(number),)) for number in range(calls)]


def test_a_call_planned_twice_is_one_row(ledger: Ledger) -> None:
    ledger.add([CREATE, ENROL])
    ledger.add([CREATE, ENROL])

    assert [row.call for row in ledger.calls()] == [CREATE, ENROL]


def test_a_phase_is_kept_and_is_no_part_of_what_a_call_is(ledger: Ledger) -> None:
    later = replace(ENROL, phase=3)
    assert later.id == ENROL.id

    ledger.add([CREATE, later])

    assert [row.call.phase for row in ledger.calls()] == [0, 3]


def test_a_plan_is_added_whole_or_not_at_all(ledger: Ledger) -> None:
    def interrupted() -> Iterator[Call]:
        yield CREATE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.add(interrupted())
    assert not ledger.planned

    ledger.add([CREATE, ENROL])
    assert ledger.planned


def test_a_gallery_is_known_before_it_is_created(ledger: Ledger) -> None:
    ledger.add([CREATE])

    assert ledger.galleries() == [("audit-1-0", "control", "planned")]


def test_an_answer_is_kept_with_its_attempts(ledger: Ledger) -> None:
    ledger.add([ENROL])
    (row,) = ledger.calls()
    ledger.sent(row.seq, "2026-01-01T00:00:00.000+00:00")
    ledger.put_off(row.seq, 12.5, "429", doubtful=False)
    ledger.sent(row.seq, "2026-01-01T00:00:03.000+00:00")
    ledger.done(row.seq, "2026-01-01T00:00:03.050+00:00", 50.0, {"face_id": "f1"})

    (row,) = ledger.calls()
    assert (row.state, row.attempts, dict(row.result)) == (CallState.DONE, 2, {"face_id": "f1"})
    assert ledger.attempts_made() == 2
    assert ledger.attempts_by_operation() == {"AddFace": 2}


def test_an_answer_that_never_came_leaves_the_call_unknown(ledger: Ledger) -> None:
    ledger.add([ENROL])
    (row,) = ledger.calls()
    ledger.sent(row.seq, "2026-01-01T00:00:00.000+00:00")
    ledger.put_off(row.seq, 12.5, "timeout", doubtful=True)

    assert ledger.calls(state=CallState.UNKNOWN) == ledger.calls()


def test_calls_alike_are_numbered_apart(ledger: Ledger) -> None:
    ledger.add([ENROL])

    first, second = ledger.append(ENROL), ledger.append(ENROL)
    other = ledger.append(replace(ENROL, person="bob"))

    assert [row.call.repeat for row in ledger.calls()] == [0, 1, 2, 0]
    assert [first, second, other] == ledger.calls()[1:]


def test_an_observation_made_again_replaces_the_first(ledger: Ledger) -> None:
    ledger.record([observation(0.25)])
    ledger.record([observation(0.75)])

    assert [row["true_score"] for row in ledger.observations()] == [0.75]


def test_only_the_last_pulse_is_kept(ledger: Ledger, tmp_path: Path) -> None:
    ledger.pulse(UTC, None, 90.0)
    ledger.pulse(UTC, "2026-01-01T00:00:03.000+00:00", None)
    ledger.add([ENROL])

    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        rows = database.execute("SELECT utc, waiting_until, eta_s FROM pulse").fetchall()
    assert rows == [(UTC, "2026-01-01T00:00:03.000+00:00", None)]


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


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")

    with pytest.raises(UserError, match="newer version"):
        Ledger(file)


def old_ledger(version: int, file: Path) -> Ledger:
    dump = Path(__file__).with_name(f"ledger_version_{version}.sql")
    with closing(sqlite3.connect(file)) as database:
        database.executescript(dump.read_text(encoding="utf-8"))
    return Ledger(file)


def test_a_ledger_of_the_first_version_is_read_and_written_on(tmp_path: Path) -> None:
    with closing(old_ledger(1, tmp_path / "ledger.db")) as ledger:
        ledger.doubt_unanswered()

        states = [CallState.DONE, CallState.DONE, CallState.UNKNOWN]
        assert [row.state for row in ledger.calls()] == states
        operation = "AddLargePersonGroupPersonFace"
        assert [row.call.id for row in ledger.calls(verb="enrol")] == [
            replace(ENROL, operation=operation).id
        ]
        assert ledger.attempts_made() == 3
        [old] = ledger.observations()
        assert (old["true_score"], old["service_thresholds"]) == (0.97, None)
        ledger.record([observation(0.25)])
        ledger.note_change("control", "aa", b"smaller", "encoded as PNG")
        assert [row["change"] for row in ledger.changes()] == ["encoded as PNG"]


def test_a_ledger_of_the_second_version_is_read_and_written_on(tmp_path: Path) -> None:
    with closing(old_ledger(2, tmp_path / "ledger.db")) as ledger:
        ledger.doubt_unanswered()

        assert ledger.states() == {"done": 2, "planned": 1, "unknown": 1}
        assert ledger.attempts_by_operation()["Verify"] == 2
        assert [row["change"] for row in ledger.changes()] == ["encoded as PNG"]
        assert [row["service_thresholds"] for row in ledger.observations()] == ['{"1e-4": 0.6}']
        appended = ledger.append(ledger.calls(verb="enrol")[0].call)
        assert (appended.seq, appended.call.repeat) == (5, 2)


@pytest.mark.parametrize("version", [1, 2])
def test_the_calls_of_an_old_ledger_stay_strictly_in_order(tmp_path: Path, version: int) -> None:
    with closing(old_ledger(version, tmp_path / "ledger.db")) as ledger:
        rows = ledger.calls()
        ledger.pulse(UTC, None, None)

    assert [row.call.phase for row in rows] == [row.seq for row in rows]
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        assert ledger.calls() == rows


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


def test_a_call_that_did_not_leave_after_all_is_planned_again(ledger: Ledger) -> None:
    ledger.add(many(1))
    (row,) = ledger.calls()
    ledger.sent(row.seq, UTC)
    ledger.put_off(row.seq, 1.0, "429", doubtful=False)
    ledger.sent(row.seq, UTC)
    ledger.not_sent(row.seq)

    (again,) = ledger.calls()
    assert (again.state, again.attempts, ledger.attempts_made()) == (CallState.PLANNED, 1, 1)
