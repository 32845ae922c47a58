"""Clocks that a test moves on, and tiers to keep to."""

import tempfile
import threading
from pathlib import Path

from providers.base import Rate, Tier

SPACING = 1.016
WINDOW = 1.014


class FakeClock:
    """A clock that waits by moving on; threads may share it."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.at += seconds


class Woken(Exception):  # noqa: N818 - an event
    """Ends a wait, which the simulation begins again when the time has come."""


class SimulatedClock(FakeClock):
    """A clock on which several processes wait at once."""

    def sleep(self, seconds: float) -> None:
        raise Woken(seconds)


def tier(*rates: Rate, quota: int | None = None, **operations: tuple[Rate, ...]) -> Tier:
    return Tier("a tier", rates, 0.0, calls_per_month=quota, operation_rates=operations)


def new_file() -> Path:
    return Path(tempfile.mkdtemp()) / "pacing.db"
