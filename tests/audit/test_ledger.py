import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from audit.errors import UserError
from audit.ledger import Call, CallState, Ledger
from audit.types import Observation, Outcome

ENROL = Call("azure", "enrol", "AddFace", "control", "audit-1-0", "ann", ("aa",))
CREATE = Call("azure", "create_gallery", "Create", "control", "audit-1-0")


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
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


def test_a_call_planned_twice_is_one_row(ledger: Ledger) -> None:
    ledger.add([CREATE, ENROL])
    ledger.add([CREATE, ENROL])

    assert [row.call for row in ledger.calls()] == [CREATE, ENROL]


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

    assert [row.call.repeat for row in ledger.calls()] == [0, 1, 2]
    assert (first.call.repeat, second.call.repeat) == (1, 2)


def test_an_observation_made_again_replaces_the_first(ledger: Ledger) -> None:
    ledger.record([observation(0.25)])
    ledger.record([observation(0.75)])

    assert [row["true_score"] for row in ledger.observations()] == [0.75]


def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")

    with pytest.raises(UserError, match="newer version"):
        Ledger(file)


def test_a_ledger_of_the_first_version_is_read_and_written_on(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with closing(sqlite3.connect(file)) as database:
        dump = Path(__file__).with_name("ledger_version_1.sql")
        database.executescript(dump.read_text(encoding="utf-8"))

    ledger = Ledger(file)
    ledger.doubt_unanswered()

    states = [CallState.DONE, CallState.DONE, CallState.UNKNOWN]
    assert [row.state for row in ledger.calls()] == states
    assert [row.call.id for row in ledger.calls(verb="enrol")] == [
        Call(
            "azure",
            "enrol",
            "AddLargePersonGroupPersonFace",
            "control",
            "audit-1-0",
            "ann",
            ("aa",),
        ).id
    ]
    assert ledger.attempts_made() == 3
    [old] = ledger.observations()
    assert (old["true_score"], old["service_thresholds"]) == (0.97, None)
    ledger.record([observation(0.25)])
    ledger.note_change("control", "aa", b"smaller", "encoded as PNG")
    assert [row["change"] for row in ledger.changes()] == ["encoded as PNG"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from audit.ledger import Call, Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.add([Call("azure", "enrol", "AddFace", "control", photos=(str(n),)) for n in range(9)])
for row in ledger.calls()[:4]:
    ledger.sent(row.seq, "2026-01-01T00:00:00.000+00:00")
    if row.seq < 4:
        ledger.done(row.seq, "2026-01-01T00:00:00.000+00:00", 1.0, {"face_id": str(row.seq)})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    subprocess.run([sys.executable, "-c", _KILLED, str(file)], check=False)

    ledger = Ledger(file)
    ledger.doubt_unanswered()

    assert ledger.states() == {"done": 3, "unknown": 1, "planned": 5}
    assert [row.call.photos for row in ledger.calls(state=CallState.UNKNOWN)] == [("3",)]
