"""No window of a limit is ever too full, whoever calls and however late."""

import heapq
import multiprocessing
import sqlite3
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
from providers.base import Rate
from tests.audit.clocks import FakeClock, SimulatedClock, Woken, new_file, tier


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
    clock, file = SimulatedClock(), new_file()
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
        calls = [at for (at,) in database.execute("SELECT at FROM calls ORDER BY number")]
    assert len(calls) == 150
    assert in_busiest_window(calls, Rate(10, 0.1)) <= 10
