import heapq
import multiprocessing
import sqlite3
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.clock import WallClock
from audit.errors import Stopped
from audit.pacing import Pacing, Slot
from audit.spacing import spacing_s
from providers.base import Rate, Tier

SPACING = 1.016
WINDOW = 1.014
MONTHS_END = 1_767_225_600.0  # 2026-01-01 UTC


class FakeClock:
    """A clock that waits by moving on; threads may share it."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.at += seconds


class Woken(Exception):  # noqa: N818 - an event
    """Ends a wait, which the simulation begins again when the time has come."""


class SimulatedClock(FakeClock):
    """A clock on which several processes wait at once."""

    def sleep(self, seconds: float) -> None:
        raise Woken(seconds)


def tier(*rates: Rate, quota: int | None = None, **operations: tuple[Rate, ...]) -> Tier:
    return Tier("a tier", rates, 0.0, calls_per_month=quota, operation_rates=operations)


def in_busiest_window(calls: Sequence[float], rate: Rate) -> int:
    """Return how many calls the fullest window of a rate holds."""
    first = most = 0
    for last, at in enumerate(calls):
        while calls[first] <= at - rate.per_s:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass(frozen=True)
class Step:
    """What one process does: idle, wait for a slot, wake up late, be throttled."""

    idle_s: float
    late_s: float
    pause_s: float | None


RATES = st.lists(st.builds(Rate, st.integers(1, 50), st.floats(0.5, 120.0)), min_size=1, max_size=3)
STEPS = st.lists(
    st.builds(
        Step,
        idle_s=st.one_of(st.just(0.0), st.floats(0, 30)),
        late_s=st.one_of(st.just(0.0), st.floats(0, 10)),
        pause_s=st.one_of(st.none(), st.none(), st.none(), st.floats(0, 30)),
    ),
    min_size=1,
    max_size=40,
)


def simulate(rates: Sequence[Rate], processes: Sequence[Sequence[Step]]) -> list[float]:
    """Let processes share a file; return when each call was sent."""
    clock, file = SimulatedClock(), _file()
    pacings = [Pacing(file, "account", tier(*rates), clock) for _ in processes]
    queue = [(clock.at + steps[0].idle_s, number, 0) for number, steps in enumerate(processes)]
    heapq.heapify(queue)
    calls = []
    slots: dict[int, Slot] = {}
    while queue:
        clock.at, number, place = heapq.heappop(queue)
        step = processes[number][place]
        try:
            if number not in slots:
                slots[number] = pacings[number].reserve("Detect")
            slots[number].wait()
        except Woken as woken:
            heapq.heappush(queue, (clock.at + woken.args[0] + step.late_s, number, place))
            continue
        del slots[number]
        calls.append(clock.at)
        if step.pause_s is not None:
            pacings[number].slow_down(step.pause_s)
        if place + 1 < len(processes[number]):
            idle_s = processes[number][place + 1].idle_s
            heapq.heappush(queue, (clock.at + idle_s, number, place + 1))
    return calls


@given(rates=RATES, processes=st.lists(STEPS, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_no_window_ever_holds_more_calls_than_its_rate_allows(
    rates: list[Rate], processes: list[list[Step]]
) -> None:
    calls = simulate(rates, processes)

    assert len(calls) == sum(map(len, processes))
    for rate in rates:
        assert in_busiest_window(calls, rate) <= rate.calls


def test_a_late_call_does_not_bunch_up_with_those_after_it() -> None:
    rate = Rate(10, 1)
    late = [Step(0, 0.09 if number == 5 else 0, None) for number in range(40)]

    calls = simulate([rate], [late])

    assert in_busiest_window(calls, rate) == 10
    # The late call is not paid for by all that follow.
    assert calls[-1] - calls[0] == pytest.approx(39 * spacing_s([rate]), abs=0.1)


def _file() -> Path:
    return Path(tempfile.mkdtemp()) / "pacing.db"


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


def test_a_throttle_stops_the_whole_account_for_a_while(tmp_path: Path) -> None:
    clock = FakeClock()
    limits = tier(Rate(10, 1), IndexFaces=(Rate(2, 1),))
    first = Pacing(tmp_path / "pacing.db", "account", limits, clock)
    second = Pacing(tmp_path / "pacing.db", "account", limits, clock)

    first.slow_down(30)

    assert second.wait("IndexFaces") == 30
    assert second.wait("Detect") == 0


def test_a_shorter_pause_does_not_end_a_longer_one(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(10, 1)), FakeClock())

    pacing.slow_down(30)
    pacing.slow_down(1)

    assert pacing.wait("Detect") == 30


def _width(pacing: Pacing) -> float:
    """Return how many times the usual spacing calls are apart now."""
    pacing.wait("Detect")
    return pacing.wait("Detect") / pacing.spacing_s("Detect")


def test_throttles_slow_all_processes_down_up_to_a_bound(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1000, 1)), clock)
    second = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1000, 1)), clock)
    widths = []
    for _ in range(9):
        first.slow_down(1)
        widths.append(_width(second))

    expected = [1.5, 2.25, 3.375, 5.0625, 7.59, 11.39, 16, 16, 16]
    assert widths == pytest.approx(expected, rel=0.02)


def test_throttles_of_calls_that_were_in_flight_together_slow_down_once(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1000, 1)), FakeClock())

    for _ in range(30):
        pacing.slow_down(1)

    assert _width(pacing) == pytest.approx(1.5)


@given(pauses_s=st.lists(st.floats(0, 60), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_the_pace_recovers_wholly_within_four_minutes(pauses_s: list[float]) -> None:
    clock = FakeClock()
    pacing = Pacing(_file(), "account", tier(Rate(1000, 1)), clock)
    for pause_s in pauses_s:
        pacing.slow_down(pause_s)
        pacing.wait("Detect")
    clock.at += 60 + 4 * 60

    assert _width(pacing) == pytest.approx(1.0)


def test_without_rates_nothing_waits_but_for_a_pause(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(), FakeClock())
    before = [pacing.wait("Detect") for _ in range(3)]

    pacing.slow_down(30)

    assert [*before, pacing.wait("Detect"), pacing.wait("Detect")] == [0, 0, 0, 30, 0]


@pytest.mark.parametrize("rates", [(), (Rate(1000, 1),)])
def test_the_month_s_quota_is_never_exceeded(tmp_path: Path, rates: tuple[Rate, ...]) -> None:
    clock = FakeClock(MONTHS_END - 3600)
    limits = tier(*rates, quota=3)
    pacing = Pacing(tmp_path / "pacing.db", "account", limits, clock)
    left = [pacing.quota_left()]
    for _ in range(3):
        pacing.wait("Detect")
        left.append(pacing.quota_left())

    assert left == [3, 2, 1, 0]
    message = "the quota of 3 calls in 2025-12 .UTC. of tier a tier is spent"
    with pytest.raises(Stopped, match=message):
        Pacing(tmp_path / "pacing.db", "account", limits, clock).wait("Train")


def test_a_new_month_has_its_own_quota(tmp_path: Path) -> None:
    clock = FakeClock(MONTHS_END - 1)
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(quota=1), clock)
    pacing.wait("Detect")
    clock.at = MONTHS_END

    assert pacing.quota_left() == 1
    assert pacing.wait("Detect") == 0


def test_a_spent_quota_is_told_before_anybody_waits(tmp_path: Path) -> None:
    clock = FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60), quota=1), clock)
    pacing.wait("Detect")

    with pytest.raises(Stopped):
        pacing.wait("Detect")
    assert clock.at == 1_000_000.0


def test_a_smaller_quota_than_was_spent_leaves_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    larger = Pacing(tmp_path / "pacing.db", "account", tier(quota=5), clock)
    for _ in range(4):
        larger.wait("Detect")

    assert Pacing(tmp_path / "pacing.db", "account", tier(quota=2), clock).quota_left() == 0


def test_without_a_quota_none_is_left_to_tell(tmp_path: Path) -> None:
    assert Pacing(tmp_path / "pacing.db", "account", tier(), FakeClock()).quota_left() is None


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


def test_threads_of_a_process_share_the_pace_and_the_quota(tmp_path: Path) -> None:
    rate, clock = Rate(10, 1), FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(rate, quota=60), clock)

    with ThreadPoolExecutor(16) as threads:
        sent = sum(threads.map(lambda _: _may_call(pacing), range(80)))

    assert sent == 60
    assert clock.at == pytest.approx(1_000_000 + 59 * spacing_s([rate]))


def _may_call(pacing: Pacing) -> bool:
    try:
        pacing.wait("Detect")
    except Stopped:
        return False
    return True


SHARED = tier(Rate(10, 0.1), Rate(150, 0.1), quota=150)
"""The second rate has the file remember as many calls as the quota allows."""


def _call_until_stopped(file: Path) -> None:
    pacing = Pacing(file, "account", SHARED, WallClock())
    while _may_call(pacing):
        pass


def test_three_processes_never_exceed_the_limits_together(tmp_path: Path) -> None:
    file = tmp_path / "pacing.db"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_call_until_stopped, args=(file,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with closing(sqlite3.connect(file)) as database:
        calls = [at for (at,) in database.execute("SELECT at FROM slots ORDER BY number")]
    assert len(calls) == 150
    assert in_busiest_window(calls, Rate(10, 0.1)) <= 10


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


def test_a_slot_of_a_dead_process_is_given_up(tmp_path: Path) -> None:
    clock = FakeClock()
    dead, alive = (
        Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 0.5)), clock) for _ in range(2)
    )
    dead.reserve("Detect")
    clock.at += 3600
    assert alive.wait("Detect") == 0
