import itertools
import multiprocessing
import tempfile
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.pacing import Pacing, spacing_s
from providers.base import Rate, Tier


class FakeClock:
    """A clock that waits by moving on."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def tier(*rates: Rate, **operations: tuple[Rate, ...]) -> Tier:
    return Tier("a tier", rates, 0.0, operation_rates=operations)


RATES = st.lists(st.builds(Rate, st.integers(1, 50), st.floats(0.5, 120.0)), min_size=1, max_size=3)


@given(rates=RATES, idle_s=st.lists(st.floats(0, 30), min_size=5, max_size=60))
@settings(max_examples=25, deadline=None)
def test_no_window_ever_holds_more_calls_than_its_rate_allows(
    rates: list[Rate], idle_s: list[float]
) -> None:
    clock = FakeClock()
    pacing = Pacing(_file(), "account", tier(*rates), clock)
    calls = []
    for pause_s in idle_s:
        clock.at += pause_s
        pacing.wait("Detect")
        calls.append(clock.at)

    for rate in rates:
        window: deque[float] = deque()
        for at in calls:
            window.append(at)
            while window[0] <= at - rate.per_s:
                window.popleft()
            assert len(window) <= rate.calls


def _file() -> Path:
    return Path(tempfile.mkdtemp()) / "pacing.db"


def test_calls_are_spaced_evenly_from_the_second_one_on(tmp_path: Path) -> None:
    clock = FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(20, 60)), clock)

    waits = [pacing.wait("Detect") for _ in range(4)]

    assert waits[0] == 0
    assert waits[1:] == pytest.approx([spacing_s([Rate(20, 60)])] * 3)


def test_the_pace_is_remembered_when_the_process_ends(tmp_path: Path) -> None:
    clock = FakeClock()
    Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock).wait("Detect")

    assert Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60)), clock).wait("Detect") >= 60


def test_accounts_do_not_wait_for_each_other(tmp_path: Path) -> None:
    clock = FakeClock()
    Pacing(tmp_path / "pacing.db", "one", tier(Rate(1, 60)), clock).wait("Detect")

    assert Pacing(tmp_path / "pacing.db", "other", tier(Rate(1, 60)), clock).wait("Detect") == 0


def test_a_throttle_stops_the_whole_account_for_a_while(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Pacing(tmp_path / "pacing.db", "account", tier(Rate(10, 1)), clock)
    second = Pacing(tmp_path / "pacing.db", "account", tier(Rate(10, 1)), clock)

    first.slow_down(30)

    assert second.wait("Detect") == 30


def test_operations_with_a_limit_of_their_own_do_not_wait_for_each_other(tmp_path: Path) -> None:
    clock = FakeClock()
    limits = tier(Rate(1, 10), IndexFaces=(Rate(2, 1),), ListFaces=(Rate(2, 1),))
    pacing = Pacing(tmp_path / "pacing.db", "account", limits, clock)

    asked = ["IndexFaces", "ListFaces", "Create", "IndexFaces", "Delete"]
    waited = [pacing.wait(operation) for operation in asked]

    assert waited == pytest.approx([0, 0, 0, 0.515, 10.3 - 0.515], abs=1e-6)


def test_a_throttle_of_one_operation_stops_all(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(IndexFaces=(Rate(2, 1),)), FakeClock())

    pacing.slow_down(30)

    assert pacing.wait("IndexFaces") == 30


def test_without_rates_nothing_waits(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(), FakeClock())

    assert [pacing.wait("Detect") for _ in range(3)] == [0, 0, 0]


def _reserve(file: Path, times: int, into: "multiprocessing.Queue[float]") -> None:
    clock = FakeClock()
    pacing = Pacing(file, "account", tier(Rate(10, 1)), clock)
    for _ in range(times):
        pacing.wait("Detect")
        into.put(clock.at)
        clock.at = 1_000_000.0


def test_three_processes_never_take_the_same_slot(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    slots: multiprocessing.Queue[float] = context.Queue()
    workers = [
        context.Process(target=_reserve, args=(tmp_path / "pacing.db", 10, slots)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    taken = sorted(slots.get(timeout=60) for _ in range(30))
    for worker in workers:
        worker.join()

    gaps = [later - earlier for earlier, later in itertools.pairwise(taken)]
    assert min(gaps) > 0.1
