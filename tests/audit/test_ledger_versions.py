"""Ledgers of other versions of this program."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from audit.calls import CallState
from audit.errors import UserError
from audit.ledger import Ledger
from tests.audit.ledger_calls import ENROL, UTC, observation


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
