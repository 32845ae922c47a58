"""Threads at work: all tasks done, lanes in order, the first failure told, nobody waits in vain."""

import threading
from collections import defaultdict
from threading import Barrier, Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.clock import Abandoned, WallClock
from audit.workers import Workers


def nothing() -> None:
    pass


@given(lanes=st.lists(st.integers(1, 5), max_size=30), threads=st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_every_task_is_done_once_and_each_lane_in_order(lanes: list[int], threads: int) -> None:
    done: dict[int, list[int]] = defaultdict(list)
    lock = threading.Lock()

    def work(task: tuple[int, int]) -> None:
        with lock:
            done[task[0]].append(task[1])

    tasks = [[(lane, number) for number in range(size)] for lane, size in enumerate(lanes)]
    Workers(work, threads, Event()).carry_out(tasks, nothing)

    assert dict(done) == {lane: list(range(size)) for lane, size in enumerate(lanes)}


def test_lanes_are_worked_on_at_once() -> None:
    together = Barrier(4, timeout=30)

    def meet(_: int) -> None:
        together.wait()

    Workers(meet, 4, Event()).carry_out([[n] for n in range(4)], nothing)

    assert not together.broken


def test_the_first_failure_is_raised_and_ends_the_others_waits() -> None:
    stop = Event()
    clock = WallClock(stop)
    begun: list[int] = []

    def work(task: int) -> None:
        begun.append(task)
        if task == 2:
            raise ValueError("two")
        clock.sleep(3600)

    with pytest.raises(ValueError, match="two"):
        Workers(work, 3, stop).carry_out([[0], [1], [2], [3], [4]], nothing)

    assert sorted(begun) == [0, 1, 2]


def test_an_interruption_ends_the_waits() -> None:
    stop = Event()
    ended: list[bool] = []

    def work(_: int) -> None:
        try:
            WallClock(stop).sleep(3600)
        except Abandoned:
            ended.append(True)
            raise

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workers(work, 2, stop).carry_out([[0], [1]], interrupt)

    assert ended == [True, True]
