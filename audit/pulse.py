"""A run's sign of life: in the terminal, and once a second in the ledger for `audit status`."""

import time

from audit.clock import utc
from audit.execution import Executor
from audit.progress import Advance, duration, eta_s

_EVERY_S = 1.0
_SLOW_S = 60.0
"""A call on its way for longer is named: whether it hangs, only the service knows."""


class Pulse:
    """Counts the calls that are through, and tells what the others wait for.

    `before` calls were through when this session began; `floor_s` is what a call takes at least.
    """

    def __init__(
        self, executor: Executor, advance: Advance, before: int, total: int, floor_s: float
    ) -> None:
        self._executor = executor
        self._advance = advance
        self._before = before
        self._total = total
        self._floor_s = floor_s
        self._started = self._last = time.monotonic()
        self.done = 0

    def beat(self) -> None:
        """Show how things stand; write it too, unless that was done within the last second."""
        self._advance(self._before + self.done, note=self.note())
        now = time.monotonic()
        if now - self._last < _EVERY_S:
            return
        self._last = now
        until = self._executor.waiting_until()
        ahead = self._total - self._before
        left_s = eta_s(self.done, ahead, now - self._started, self._floor_s)
        self._executor.ledger.pulse(utc(time.time()), utc(until) if until else None, left_s)

    def note(self) -> str:
        """Return what the run does right now, for people: waiting is told apart from hanging."""
        sent = self._executor.on_their_way()
        if sent:
            operation, age_s = sent[0]
            if age_s > _SLOW_S:
                return f"{operation} without an answer for {duration(age_s)}"
            return f"{len(sent)} on their way"
        until = self._executor.waiting_until()
        return f"next call in {duration(max(until - time.time(), 0.0))}" if until else ""
