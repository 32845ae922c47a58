"""Calls, galleries and observations: what the ledger keeps, and in which state."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from audit.calls import Call, CallState
from audit.ledger import Ledger
from tests.audit.ledger_calls import CREATE, ENROL, UTC, many, observation


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        yield ledger


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


def test_a_call_that_did_not_leave_after_all_is_planned_again(ledger: Ledger) -> None:
    ledger.add(many(1))
    (row,) = ledger.calls()
    ledger.sent(row.seq, UTC)
    ledger.put_off(row.seq, 1.0, "429", doubtful=False)
    ledger.sent(row.seq, UTC)
    ledger.not_sent(row.seq)

    (again,) = ledger.calls()
    assert (again.state, again.attempts, ledger.attempts_made()) == (CallState.PLANNED, 1, 1)
