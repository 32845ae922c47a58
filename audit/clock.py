"""The one clock. Tests hand in one that never waits."""

import time
from datetime import UTC, datetime
from threading import Event
from typing import Protocol


class Clock(Protocol):
    """Wall-clock seconds since the epoch (processes share it), and a way to wait."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Abandoned(Exception):  # noqa: N818 - nothing went wrong
    """Nobody needs what a thread waits for any more."""


class WallClock:
    """The machine's clock. Waits end when `stop` is set: nobody needs their outcome then."""

    def __init__(self, stop: Event | None = None) -> None:
        self._stop = stop or Event()

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait; raises Abandoned if the wait is ended."""
        if self._stop.wait(seconds):
            raise Abandoned


def utc(seconds: float) -> str:
    """Return an instant as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
