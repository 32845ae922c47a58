"""An even pace that stays under every limit of an account, shared by all processes of the user.

Each call reserves the next free slot of its limit in a small SQLite file and then waits for it. Slots are
spaced evenly instead of in bursts, because services throttle bursts below their stated limit
(Microsoft, "mitigate latency"). A spacing of window / calls keeps every window of that length
within its limit, wherever it begins, and is remembered when a process ends.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from audit.clock import Clock
from providers.base import Rate, Tier

_JITTER_MARGIN = 1.03
"""The network delays calls unevenly: slots this much wider still arrive within the limit."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS limits (name TEXT PRIMARY KEY, next_at REAL NOT NULL)
"""


def spacing_s(rates: Sequence[Rate]) -> float:
    """Return the seconds between calls that satisfy every rate; 0 without rates."""
    return max((rate.per_s / rate.calls * _JITTER_MARGIN for rate in rates), default=0.0)


class Pacing:
    """The pace of one account at a tier's limits. `account` holds no secret."""

    def __init__(self, file: Path, account: str, tier: Tier, clock: Clock) -> None:
        self._file = file
        self._account = account
        self._tier = tier
        self._clock = clock

    def spacing_s(self, operation: str) -> float:
        """Return the seconds between calls of an operation that its limit allows at best."""
        return spacing_s(self._tier.limit(operation)[1])

    def wait(self, operation: str) -> float:
        """Wait for the next free slot of an operation; return the seconds waited."""
        spacing = self.spacing_s(operation)
        if not spacing:
            return 0.0
        delay_s = self._reserve(operation, spacing) - self._clock.now()
        if delay_s > 0:
            self._clock.sleep(delay_s)
        return max(delay_s, 0.0)

    def slow_down(self, seconds: float) -> None:
        """Let no process call this account for a while: the service has said that it is enough."""
        pause = self._key("paused")
        with self._transaction() as database:
            until = max(self._next_at(database, pause), self._clock.now() + seconds)
            self._set_next_at(database, pause, until)

    def _reserve(self, operation: str, spacing: float) -> float:
        limit = self._key(self._tier.limit(operation)[0])
        with self._transaction() as database:
            slot = max(
                self._next_at(database, limit),
                self._next_at(database, self._key("paused")),
                self._clock.now(),
            )
            self._set_next_at(database, limit, slot + spacing)
        return slot

    def _key(self, limit: str) -> str:
        return f"{self._account}#{limit}"

    def _next_at(self, database: sqlite3.Connection, key: str) -> float:
        row = database.execute("SELECT next_at FROM limits WHERE name = ?", (key,)).fetchone()
        return float(row[0]) if row else 0.0

    def _set_next_at(self, database: sqlite3.Connection, key: str, at: float) -> None:
        database.execute("INSERT OR REPLACE INTO limits VALUES (?, ?)", (key, at))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the file's write lock, so that two processes never take the same slot."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(sqlite3.connect(self._file, timeout=60, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_SCHEMA)
            yield database
            database.execute("COMMIT")
