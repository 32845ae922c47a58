"""An even pace that stays under every limit of an account, shared by all processes of the user.

Each call reserves the next free slot in a small SQLite file and then waits for it. Slots are
spaced evenly instead of in bursts, because services throttle bursts below their stated limit
(Microsoft, "mitigate latency"). A spacing of window / calls keeps every window of that length
within its limit, wherever it begins, and is remembered when a process ends.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from audit.clock import Clock
from providers.base import Rate

_JITTER_MARGIN = 1.03
"""The network delays calls unevenly: slots this much wider still arrive within the limit."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS slots (account TEXT PRIMARY KEY, next_at REAL NOT NULL)
"""


def spacing_s(rates: Sequence[Rate]) -> float:
    """Return the seconds between calls that satisfy every rate; 0 without rates."""
    return max((rate.per_s / rate.calls * _JITTER_MARGIN for rate in rates), default=0.0)


class Pacing:
    """The pace of one account. `account` holds no secret."""

    def __init__(self, file: Path, account: str, rates: Sequence[Rate], clock: Clock) -> None:
        self._file = file
        self._account = account
        self._clock = clock
        self.spacing_s = spacing_s(rates)

    def wait(self) -> float:
        """Wait for the next free slot; return the seconds waited."""
        if not self.spacing_s:
            return 0.0
        delay_s = self._reserve() - self._clock.now()
        if delay_s > 0:
            self._clock.sleep(delay_s)
        return max(delay_s, 0.0)

    def slow_down(self, seconds: float) -> None:
        """Let no process call this account for a while: the service has said that it is enough."""
        with self._transaction() as database:
            until = max(self._next_at(database), self._clock.now() + seconds)
            self._set_next_at(database, until)

    def _reserve(self) -> float:
        with self._transaction() as database:
            slot = max(self._next_at(database), self._clock.now())
            self._set_next_at(database, slot + self.spacing_s)
        return slot

    def _next_at(self, database: sqlite3.Connection) -> float:
        row = database.execute(
            "SELECT next_at FROM slots WHERE account = ?", (self._account,)
        ).fetchone()
        return float(row[0]) if row else 0.0

    def _set_next_at(self, database: sqlite3.Connection, at: float) -> None:
        database.execute("INSERT OR REPLACE INTO slots VALUES (?, ?)", (self._account, at))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the file's write lock, so that two processes never take the same slot."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(sqlite3.connect(self._file, timeout=60, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(_SCHEMA)
            yield database
            database.execute("COMMIT")
