"""Threads that carry out what may be done at once."""

import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

from audit.clock import Abandoned

Task = TypeVar("Task")

_LOOK_EVERY_S = 0.2
_LAST_ANSWERS_S = 5.0
"""How long answers on their way are waited for after Ctrl-C; the ledger doubts the others."""


class Workers(Generic[Task]):
    """Carries out lanes of tasks, each lane in order, as many lanes at once as there are threads.

    `stop` is set by the first task that fails: the others finish what is on its way.
    """

    def __init__(self, work: Callable[[Task], None], threads: int, stop: Event) -> None:
        self._work = work
        self._threads = threads
        self._stop = stop
        self._lanes: SimpleQueue[Sequence[Task]] = SimpleQueue()
        self._failures: list[BaseException] = []
        self._lock = Lock()

    def carry_out(self, lanes: Sequence[Sequence[Task]], tick: Callable[[], None]) -> None:
        """Carry out all lanes, longest first; raise the first failure.

        `tick` is called from this thread now and then meanwhile.
        """
        for lane in sorted(lanes, key=len, reverse=True):
            self._lanes.put(lane)
        crew = [
            Thread(target=self._toil, name="audit-worker", daemon=True)
            for _ in range(min(self._threads, len(lanes)))
        ]
        for worker in crew:
            worker.start()
        try:
            while any(worker.is_alive() for worker in crew):
                _join(crew, _LOOK_EVERY_S)
                tick()
        except BaseException:
            self._stop.set()
            _join(crew, _LAST_ANSWERS_S)
            raise
        if self._failures:
            raise self._failures[0]

    def _toil(self) -> None:
        try:
            for task in self._tasks():
                self._work(task)
        except Abandoned:
            return
        except BaseException as error:  # noqa: BLE001 - it is raised where the work was ordered
            with self._lock:
                self._failures.append(error)
            self._stop.set()

    def _tasks(self) -> Iterator[Task]:
        while True:
            try:
                lane = self._lanes.get_nowait()
            except Empty:
                return
            for task in lane:
                if self._stop.is_set():
                    return
                yield task


def _join(crew: Sequence[Thread], within_s: float) -> None:
    until = time.monotonic() + within_s
    for worker in crew:
        worker.join(max(0.0, until - time.monotonic()))
