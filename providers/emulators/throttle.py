"""An exact sliding window: never more than so many calls in any stretch of time."""

from collections import deque
from collections.abc import Callable

from providers.base import Rate


class Throttle:
    """Lets `rate.calls` through in any window of `rate.per_s` seconds; `rate` None = no limit."""

    def __init__(self, rate: Rate | None, clock: Callable[[], float]) -> None:
        self.rate = rate
        self._clock = clock
        self._taken: deque[float] = deque()

    def change(self, rate: Rate | None) -> None:
        """Put another rate in force and forget the calls so far."""
        self.rate = rate
        self._taken.clear()

    def take(self) -> float:
        """Let one call through and return 0, or return the seconds until one may pass."""
        if self.rate is None:
            return 0.0
        now = self._clock()
        while self._taken and self._taken[0] <= now - self.rate.per_s:
            self._taken.popleft()
        if len(self._taken) >= self.rate.calls:
            return self._taken[0] + self.rate.per_s - now
        self._taken.append(now)
        return 0.0
