"""A run's sign of life, once a second: what it waits for and how long it has to go."""

import time
from threading import Lock

from audit.clock import utc
from audit.execution import Executor
from audit.progress import eta_s

_EVERY_S = 1.0


class Pulse:
    """Writes the ledger's pulse. `done` counts the calls that are through; hold `lock` for it."""

    def __init__(self, executor: Executor, total: int, floor_s: float) -> None:
        self._executor = executor
        self._total = total
        self._floor_s = floor_s
        self._started = self._last = time.monotonic()
        self.lock = Lock()
        self.done = 0

    def beat(self) -> None:
        """Write, unless it was done within the last second."""
        now = time.monotonic()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        until = self._executor.waiting_until()
        left_s = eta_s(self.done, self._total, now - self._started, self._floor_s)
        self._executor.ledger.pulse(utc(time.time()), utc(until) if until else None, left_s)
