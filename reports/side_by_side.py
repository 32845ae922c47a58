"""Work on one large run, in as many processes as there are cores.

The processes are forked, so that they have the run in memory as it is. Where that can't be done
safely (elsewhere than on Linux), and where it isn't worth the start of a process, the caller does it.
"""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Result = TypeVar("Result")

_works: list[Callable[[], Any]] = []


def side_by_side(works: Sequence[Callable[[], Result]], *, large: bool) -> list[Result]:
    """Return what each work returns, which must be picklable; `large`: it is worth processes."""
    if not large or sys.platform != "linux":
        return [work() for work in works]
    _works[:] = works
    try:
        with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
            return list(pool.map(_do, range(len(works))))
    finally:
        _works.clear()


def _do(number: int) -> Any:
    return _works[number]()
