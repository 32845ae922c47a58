"""An even pace: when a call may leave."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from audit.pacing import Pacing
from providers.base import Rate
from tests.audit.clocks import SPACING, WINDOW, FakeClock, SimulatedClock, Woken, tier


def test_calls_are_spaced_evenly_from_the_second_one_on(tmp_path: Path) -> None:
    clock = FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(20, 60)), clock)

    waits = [pacing.wait("Detect") for _ in range(40)]

    assert waits[0] == 0
    assert waits[1:] == pytest.approx([60 / 20 * SPACING] * 39)


def test_the_strictest_of_several_rates_sets_the_pace(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(9, 1), Rate(20, 60)), FakeClock())

    assert pacing.spacing_s("Detect") == pytest.approx(60 / 20 * SPACING)


def test_idle_time_is_not_made_up_for_by_a_burst(tmp_path: Path) -> None:
    clock = FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(20, 60)), clock)
    pacing.wait("Detect")
    clock.at += 3600

    assert [pacing.wait("Detect") for _ in range(3)] == pytest.approx([0, 3 * SPACING, 3 * SPACING])


def test_a_clock_set_back_stops_nobody_for_longer_than_a_window(tmp_path: Path) -> None:
    clock = FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock)
    pacing.wait("Detect")
    clock.at -= 86400

    assert pacing.wait("Detect") == pytest.approx(60 * WINDOW)


def test_the_pace_is_remembered_when_the_process_ends(tmp_path: Path) -> None:
    clock = FakeClock()
    Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock).wait("Detect")

    assert Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock).wait("Detect") >= 60


def test_accounts_do_not_wait_for_each_other(tmp_path: Path) -> None:
    clock = FakeClock()
    one = Pacing(tmp_path / "pacing.db", "one", tier(Rate(1, 60), quota=1), clock)
    other = Pacing(tmp_path / "pacing.db", "other", tier(Rate(1, 60), quota=1), clock)

    one.wait("Detect")
    one.slow_down(30)

    assert other.wait("Detect") == 0


def test_operations_with_a_limit_of_their_own_do_not_wait_for_each_other(tmp_path: Path) -> None:
    clock = FakeClock()
    limits = tier(Rate(1, 10), IndexFaces=(Rate(2, 1),), ListFaces=(Rate(2, 1),))
    pacing = Pacing(tmp_path / "pacing.db", "account", limits, clock)

    asked = ["IndexFaces", "ListFaces", "Create", "IndexFaces", "Delete"]
    waited = [pacing.wait(operation) for operation in asked]

    assert waited == pytest.approx([0, 0, 0, SPACING / 2, 9.5 * SPACING], abs=1e-6)


def test_it_tells_until_when_its_workers_wait(tmp_path: Path) -> None:
    seen: list[float | None] = []

    class AskedClock(FakeClock):
        def sleep(self, seconds: float) -> None:
            seen.append(pacing.waiting_until())
            super().sleep(seconds)

    clock = AskedClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock)
    pacing.wait("Detect")
    pacing.wait("Detect")

    assert set(seen) == {1_000_000 + 60 * SPACING}
    assert pacing.waiting_until() is None


def test_an_interrupted_wait_leaves_the_slot_to_others(tmp_path: Path) -> None:
    clock = SimulatedClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock)
    pacing.wait("Detect")
    with pytest.raises(Woken):
        pacing.wait("Detect")

    assert pacing.waiting_until() is None
    clock.at += 60 * SPACING
    assert pacing.wait("Detect") == 0


def test_a_file_of_the_first_release_still_serves(tmp_path: Path) -> None:
    file = tmp_path / "pacing.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE limits (name TEXT PRIMARY KEY, next_at REAL NOT NULL)")
        rows = [("account#", 1_000_002.0), ("account#paused", 1_000_001.0)]
        database.executemany("INSERT INTO limits VALUES (?, ?)", rows)

    pacing = Pacing(file, "account", tier(Rate(20, 60)), FakeClock())

    assert [pacing.wait("Detect") for _ in range(2)] == pytest.approx([2, 3 * SPACING])


def test_a_slot_is_taken_early_enough_to_write_down_what_is_sent(tmp_path: Path) -> None:
    clock = FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock)
    pacing.wait("Detect")
    slot = pacing.reserve("Detect")

    assert slot.at == 1_000_000 + 60 * SPACING
    assert slot.at - 0.06 < clock.at < slot.at
    slot.wait()
    assert clock.at == pytest.approx(slot.at, abs=1e-6)


def test_a_call_that_leaves_late_pushes_the_window_on(tmp_path: Path) -> None:
    clock = FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock)
    slot = pacing.reserve("Detect")
    clock.at += 9
    slot.wait()
    pacing.wait("Detect")

    assert clock.at == pytest.approx(1_000_009 + 60 * WINDOW)


def test_a_call_that_has_not_left_holds_the_next_one_back_until_it_is_given_up(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    mine, other = (
        Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 0.5)), clock) for _ in range(2)
    )
    mine.reserve("Detect")
    clock.at += 5
    assert other.reserve("Detect").at == pytest.approx(1_000_010 + 0.5 * WINDOW)


def test_a_slot_of_a_dead_process_holds_nobody_back(tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "pacing.db"
    pacing = Pacing(file, "account", tier(Rate(1, 0.5)), clock)
    pacing.reserve("Detect")
    with closing(sqlite3.connect(file)) as database, database:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        database.execute("UPDATE calls SET pid = ?", (dead.pid,))
    clock.at += 5

    assert pacing.wait("Detect") == 0


def test_a_slot_that_nobody_takes_is_given_up(tmp_path: Path) -> None:
    clock = FakeClock()
    dead, alive = (
        Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 0.5)), clock) for _ in range(2)
    )
    dead.reserve("Detect")
    clock.at += 3600
    assert alive.wait("Detect") == 0
