"""Works in several processes: the same results in the same order, and the same errors."""

import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path

import pandas as pd
import pytest

import reports
from reports.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread of the tests' own runner count."""
    threads = threading.active_count()
    count = threading.active_count
    monkeypatch.setattr(threading, "active_count", lambda: count() - threads + 1)


@pytest.mark.parametrize("large", [False, True])
def test_results_come_in_order(*, large: bool) -> None:
    frame = pd.DataFrame({"score": [0.25, 0.5]})
    works = [partial(_total, frame, factor) for factor in range(5)]
    assert side_by_side(works, large=large) == [0.0, 0.75, 1.5, 2.25, 3.0]


def test_small_work_is_done_here_and_large_work_in_other_processes() -> None:
    assert side_by_side([os.getpid] * 2, large=False) == [os.getpid()] * 2
    assert os.getpid() not in side_by_side([os.getpid] * 2, large=True)


@pytest.mark.parametrize("large", [False, True])
def test_what_a_work_raises_is_raised(*, large: bool) -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side([os.getpid, lambda: 1 // 0], large=large)


def test_beside_a_thread_nothing_is_forked() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert side_by_side([os.getpid] * 2, large=True) == [os.getpid()] * 2
    finally:
        done.set()
        thread.join()


def test_what_python_says_of_native_threads_at_a_fork_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of 3.12 a fork beside any thread warns; here errors are made of warnings."""
    fork = os.fork

    def fork_and_warn() -> int:
        told = f"This process (pid={os.getpid()}) is multi-threaded, use of fork() may lead to deadlocks"
        warnings.warn(told, DeprecationWarning, stacklevel=2)
        return fork()

    monkeypatch.setattr(os, "fork", fork_and_warn)
    assert os.getpid() not in side_by_side([os.getpid] * 2, large=True)


def test_a_report_made_in_processes_has_the_same_bytes(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    people = ["Ada", "Eve"] * 8
    clean = [{"person": who, "score": 0.8 + n / 100} for n, who in enumerate(people)]
    worse = [{"person": who, "score": 0.4 + n / 50} for n, who in enumerate(people[:15])]
    lost = {"person": "Eve", "outcome": "other_person", "censored": True, "top_person": "Grace"}
    run = make_run({"control": clean, "fawkes-0.3-high": [*worse, lost]}, examples=1)
    reports.build(run)
    alone = _files(run / "report")
    pools = []

    def pool(cores: int, context: BaseContext) -> ProcessPoolExecutor:
        pools.append(cores)
        return ProcessPoolExecutor(cores, context)

    monkeypatch.setattr("reports.side_by_side.ProcessPoolExecutor", pool)
    monkeypatch.setattr("reports.run_folder._LARGE", 1)
    monkeypatch.setattr("reports.flat_files._ROWS_AT_ONCE", 50)
    reports.build(run)

    assert len(pools) > 2  # the tables, the figures and the CSV of the longest tables
    assert _files(run / "report") == alone
    assert len(alone) > 40


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _total(frame: pd.DataFrame, factor: int) -> float:
    return float(frame["score"].sum()) * factor
