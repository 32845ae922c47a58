"""Work on one large run, in as many processes as there are cores.

The processes are forked, so that they have the run in memory as it is. Where that can't be done
safely (elsewhere than on Linux, or beside a thread of Python, which may hold a lock that the fork
would keep for ever), and where it isn't worth the start of a process, the caller does it.
"""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Result = TypeVar("Result")

_works: list[Callable[[], Any]] = []


def side_by_side(works: Sequence[Callable[[], Result]], *, large: bool) -> list[Result]:
    """Return what each work returns, which must be picklable; `large`: it is worth processes."""
    if not large or sys.platform != "linux" or threading.active_count() > 1:
        return [work() for work in works]
    _works[:] = works
    try:
        with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
            return list(_forked(pool, len(works)))
    finally:
        _works.clear()


def _forked(pool: ProcessPoolExecutor, count: int) -> Iterator[Any]:
    """Hand out the works; with the first of them all processes are forked."""
    with warnings.catch_warnings():
        # Python 3.12 warns of any thread. Those that are left, of BLAS and Arrow, expect forks.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        return pool.map(_do, range(count))


def _do(number: int) -> Any:
    return _works[number]()
