"""An even pace that stays under every limit of an account, shared by all processes of the user.

Every call takes a slot in a small SQLite file shortly before it is sent. Slots are spaced evenly
instead of in bursts, because services throttle bursts below their stated limit (Microsoft,
"mitigate latency"). The moments at which the last calls left are kept too: a call that leaves late
is followed by others on time, and only the moments tell whether a window is full.
"""

import functools
import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from audit.clock import Clock, utc
from audit.errors import Stopped
from audit.spacing import spacing_s, window_s
from providers.base import Rate, Tier

_WIDEN = 1.5
_WIDEST = 16.0
_RECOVERY_HALF_LIFE_S = 60.0
"""A throttle makes slots wider by `_WIDEN`, up to `_WIDEST`. From the end of the pause on the width
halves in this time: one throttle is forgotten after 35 s, the slowest pace after 4 minutes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS limits (name TEXT PRIMARY KEY, next_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS calls (
    name TEXT, number INTEGER, at REAL NOT NULL, pid INTEGER NOT NULL,
    left INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (name, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS throttles (
    account TEXT PRIMARY KEY, paused_until REAL NOT NULL, width REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS months (
    account TEXT, month TEXT, calls INTEGER NOT NULL, PRIMARY KEY (account, month)
) WITHOUT ROWID;
"""
"""`limits` is as old as this file; what else was written into it before is of no use any more."""


_LEAD_S = 0.05
"""How long before its moment a slot is taken: time to write down what is about to be sent."""

_CLOCK_STEP_S = 1e-6
"""A shorter wait may leave the clock as it is."""

_DEAD_AFTER_S = 10.0
"""A call that has not left so long after its moment never will."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A moment (Unix seconds) at which one call may leave."""

    at: float
    _wait: Callable[[], None]

    def wait(self) -> None:
        """Wait for the moment; what is sent right after it keeps the limits."""
        self._wait()


@dataclass(frozen=True, slots=True)
class _Taken:
    """A slot's moment and number, or no number and when there may be a slot."""

    at: float
    number: int | None


def _at_once() -> None:
    pass


class Pacing:
    """The pace of one account at a tier's limits, for any number of threads and processes.

    `account` holds no secret.
    """

    def __init__(self, file: Path, account: str, tier: Tier, clock: Clock) -> None:
        self._account = account
        self._tier = tier
        self._clock = clock
        self._database = _open(file)
        self._database_lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = {}
        self._waiting: dict[int, float] = {}
        weakref.finalize(self, self._database.close)

    def spacing_s(self, operation: str) -> float:
        """Return the seconds between calls of an operation that its limit allows at best."""
        return spacing_s(self._tier.limit(operation)[1])

    def quota_left(self) -> int | None:
        """Return how many calls are left in this calendar month (UTC); None without a quota."""
        quota = self._tier.calls_per_month
        if quota is None:
            return None
        with self._database_lock:
            return max(quota - self._spent(self._clock.now()), 0)

    def waiting_until(self) -> float | None:
        """Return when (Unix seconds) the next of those who wait may call; None if nobody waits."""
        return min(tuple(self._waiting.values()), default=None)

    def wait(self, operation: str) -> float:
        """Wait for the next free slot of an operation; return the seconds waited.

        Raises Stopped when the month's quota is spent.
        """
        began = self._clock.now()
        self.reserve(operation).wait()
        return self._clock.now() - began

    def reserve(self, operation: str) -> Slot:
        """Take the next slot of an operation, shortly before its moment.

        Raises Stopped when the month's quota is spent.
        """
        name, rates = self._tier.limit(operation)
        now = self._clock.now()
        if not rates and self._tier.calls_per_month is None and not self._is_paused(now):
            return Slot(now, _at_once)
        # A slot is awaited by one thread of a process; the others stand in line behind it.
        with self._turns.setdefault(name, threading.Lock()):
            while (taken := self._take(name, rates)).number is None:
                self._sleep_until(taken.at - _LEAD_S, taken)
        return Slot(taken.at, functools.partial(self._wait_for, name, taken))

    def _wait_for(self, name: str, taken: "_Taken") -> None:
        """Wait for a slot's moment and enter when its call really leaves."""
        self._sleep_until(taken.at, taken)
        with self._transaction() as database:
            database.execute(
                "UPDATE calls SET at = max(at, ?), left = 1 WHERE name = ? AND number = ?",
                (self._clock.now(), f"{self._account}#{name}", taken.number),
            )

    def _sleep_until(self, moment: float, taken: "_Taken") -> None:
        ahead_s = moment - self._clock.now()
        if ahead_s <= 0:
            return
        me = threading.get_ident()
        self._waiting[me] = taken.at
        try:
            self._clock.sleep(ahead_s)
        finally:
            del self._waiting[me]

    def slow_down(self, seconds: float) -> None:
        """Let no process call this account for a while, and all call it more slowly then.

        For when the service has said that it is enough. What it says during the pause was asked
        before the pause and slows nothing further.
        """
        with self._transaction() as database:
            now = self._clock.now()
            paused_until, width = self._throttle(now)
            if now >= paused_until:
                width = min(width * _WIDEN, _WIDEST)
            until = max(paused_until, now + seconds)
            database.execute(
                "INSERT INTO throttles VALUES (?1, ?2, ?3)"
                " ON CONFLICT DO UPDATE SET paused_until = ?2, width = ?3",
                (self._account, until, width),
            )

    def _take(self, name: str, rates: Sequence[Rate]) -> "_Taken":
        """Take a slot of the near future, or return when there may be one."""
        limit = f"{self._account}#{name}"
        with self._transaction():
            now = self._clock.now()
            self._check_quota(now)
            paused_until, width = self._throttle(now)
            number, last_at = self._last(limit)
            if last_at > now + _LEAD_S:
                self._set_back(limit, now)
            due = self._due(limit)
            free_at = max(due, paused_until, self._windows_free_at(limit, number, rates, now))
            if free_at - now > _LEAD_S + _CLOCK_STEP_S:
                return _Taken(free_at, None)
            at = max(free_at, now)
            if rates:
                spacing = spacing_s(rates) * width
                # A call that is late by less than a slot does not delay those that follow.
                next_at = (due if at - due < spacing else at) + spacing
                self._enter(limit, number, at, next_at)
                self._forget(limit, number - max(rate.calls for rate in rates))
            self._count(now)
            return _Taken(at, number)

    def _last(self, limit: str) -> tuple[int, float]:
        """Return the number of the next call and the moment of the last one."""
        row = self._database.execute(
            "SELECT number + 1, at FROM calls WHERE name = ? ORDER BY number DESC LIMIT 1", (limit,)
        ).fetchone()
        return row or (0, 0.0)

    def _set_back(self, limit: str, now: float) -> None:
        """Make the moments of calls that a clock set back has put into the future now."""
        self._database.execute("UPDATE calls SET at = ?2 WHERE name = ?1 AND at > ?2", (limit, now))
        self._database.execute("DELETE FROM limits WHERE name = ?", (limit,))

    def _due(self, limit: str) -> float:
        found = self._database.execute("SELECT next_at FROM limits WHERE name = ?", (limit,))
        row = found.fetchone()
        return float(row[0]) if row else 0.0

    def _windows_free_at(self, limit: str, number: int, rates: Sequence[Rate], now: float) -> float:
        """Return when every rate's window has room for one more call."""
        free_at = 0.0
        for rate in rates:
            row = self._database.execute(
                "SELECT at, left, pid FROM calls WHERE name = ? AND number = ?",
                (limit, number - rate.calls),
            ).fetchone()
            if row:
                at, left, pid = row
                # A call that has not left yet leaves now at the earliest.
                gone = left or not _is_alive(pid)
                left_at = at if gone else max(at, min(now, at + _DEAD_AFTER_S))
                free_at = max(free_at, left_at + window_s(rate))
        return free_at

    def _enter(self, limit: str, number: int, now: float, next_at: float) -> None:
        self._database.execute("INSERT OR REPLACE INTO limits VALUES (?, ?)", (limit, next_at))
        self._database.execute(
            "INSERT INTO calls (name, number, at, pid) VALUES (?, ?, ?, ?)",
            (limit, number, now, os.getpid()),
        )

    def _forget(self, limit: str, number: int) -> None:
        """Forget the moments that no window needs any more."""
        self._database.execute("DELETE FROM calls WHERE name = ? AND number <= ?", (limit, number))

    def _is_paused(self, now: float) -> bool:
        with self._database_lock:
            return self._throttle(now)[0] > now

    def _throttle(self, now: float) -> tuple[float, float]:
        """Return until when the account is paused, and how much wider its slots are."""
        row = self._database.execute(
            "SELECT paused_until, width FROM throttles WHERE account = ?", (self._account,)
        ).fetchone()
        if row is None:
            return 0.0, 1.0
        half_lives = max(now - row[0], 0.0) / _RECOVERY_HALF_LIFE_S
        return row[0], max(row[1] * 0.5**half_lives, 1.0)

    def _check_quota(self, now: float) -> None:
        quota = self._tier.calls_per_month
        if quota is not None and self._spent(now) >= quota:
            raise Stopped(
                f"the quota of {quota} calls in {_month(now)} (UTC) of tier {self._tier.name} is spent.",
                remedy="`audit resume` the run next month, or choose another --tier",
            )

    def _spent(self, now: float) -> int:
        row = self._database.execute(
            "SELECT calls FROM months WHERE account = ? AND month = ?", (self._account, _month(now))
        ).fetchone()
        return int(row[0]) if row else 0

    def _count(self, now: float) -> None:
        if self._tier.calls_per_month is not None:
            self._database.execute(
                "INSERT INTO months VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET calls = calls + 1",
                (self._account, _month(now)),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the file's write lock, so that two processes never take the same slot."""
        with self._database_lock, self._database as database:
            database.execute("BEGIN IMMEDIATE")
            yield database


def _open(file: Path) -> sqlite3.Connection:
    """Open the file, in which a power cut may lose the last slots but nothing else."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = sqlite3.connect(file, timeout=60, isolation_level=None, check_same_thread=False)
    # While another process is switching the file over, it is locked: then it is done already.
    with suppress(sqlite3.OperationalError):
        database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(_SCHEMA)
    return database


def _is_alive(pid: int) -> bool:
    """Tell whether a process of this machine may still be there."""
    if sys.platform == "win32":  # signal 0 would end it there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _month(now: float) -> str:
    return utc(now)[:7]
