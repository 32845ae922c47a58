"""One thread that writes the ledger's file, durably, for all threads; its schema and migrations."""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from audit.errors import Stopped, UserError

_VERSION_1 = """
CREATE TABLE calls (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, verb TEXT NOT NULL,
    operation TEXT NOT NULL, arm TEXT NOT NULL, gallery TEXT NOT NULL, person TEXT NOT NULL,
    photos TEXT NOT NULL, repeat INTEGER NOT NULL, state TEXT NOT NULL, sent_utc TEXT,
    done_utc TEXT, latency_ms REAL, attempts INTEGER NOT NULL DEFAULT 0, result TEXT,
    failure_kind TEXT, failure_code TEXT, failure_message TEXT
) STRICT;
CREATE INDEX calls_by_state ON calls (state, seq);
CREATE TABLE attempts (
    call_seq INTEGER NOT NULL REFERENCES calls (seq), attempt INTEGER NOT NULL,
    sent_utc TEXT NOT NULL, latency_ms REAL, outcome TEXT, PRIMARY KEY (call_seq, attempt)
) STRICT;
CREATE TABLE galleries (
    name TEXT PRIMARY KEY, arm TEXT NOT NULL, state TEXT NOT NULL
) STRICT;
CREATE TABLE observations (run_id, utc, provider, service_model, game, arm, system, level, targets,
    cloaked_fraction, probe_sha256, true_person, outcome, top_person, top_score, rank, true_score,
    true_score_source, censored, threshold, native_score, latency_ms, attempts,
    UNIQUE (arm, probe_sha256) ON CONFLICT REPLACE);
"""
_VERSION_2 = """
ALTER TABLE observations ADD COLUMN service_thresholds;
CREATE TABLE changed_uploads (
    arm TEXT NOT NULL, photo TEXT NOT NULL, uploaded_sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    change TEXT NOT NULL, PRIMARY KEY (arm, photo)
) STRICT;
"""
_VERSION_3 = """
ALTER TABLE calls ADD COLUMN phase INTEGER NOT NULL DEFAULT 0;
UPDATE calls SET phase = seq;
CREATE INDEX calls_by_verb ON calls (verb, arm, person);
CREATE TABLE pulse (utc TEXT NOT NULL, waiting_until TEXT, eta_s REAL) STRICT;
"""
_MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
SCHEMA_VERSION = len(_MIGRATIONS)

_DISK_ERRORS = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
)

Result = TypeVar("Result")
Change = Callable[[sqlite3.Connection], Result]
"""What is done in a transaction; it may be rolled back and done again."""


class Writer:
    """A thread that commits the changes of all threads: those that wait, in one transaction."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._database = connect(file)
        self._waiting = deque[tuple[Change[Any], Future[Any]]]()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit-ledger")
        try:
            with _disk_errors(file):
                _prepare(self._database, file)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Commit what waits and close the file."""
        self._thread.shutdown()
        self._database.close()

    def write(self, change: Change[Result]) -> Result:
        """Carry out a change; return its result once it is durable, or raise its error."""
        return self.submit(change).result()

    def submit(self, change: Change[Result]) -> Future[Result]:
        """Have a change carried out soon."""
        future: Future[Result] = Future()
        self._waiting.append((change, future))
        self._thread.submit(self._commit_waiting)
        return future

    def _commit_waiting(self) -> None:
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if batch:
            self._commit(batch)

    def _commit(self, batch: Sequence[tuple[Change[Any], Future[Any]]]) -> None:
        """Commit changes together; where one fails each alone, so that none fails for another."""
        try:
            with _disk_errors(self._file), self._database as database:
                database.execute("BEGIN IMMEDIATE")
                results = [change(database) for change, _ in batch]
        except BaseException as error:  # noqa: BLE001 - it is raised where the change was asked for
            for alone in batch if len(batch) > 1 else ():
                self._commit([alone])
            if len(batch) == 1:
                batch[0][1].set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)


def connect(file: Path) -> sqlite3.Connection:
    """Return a connection of its own to a ledger's file."""
    with _disk_errors(file):
        return sqlite3.connect(file, isolation_level=None, timeout=60, check_same_thread=False)


def _prepare(database: sqlite3.Connection, file: Path) -> None:
    """Make commits durable and bring the schema up to date."""
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{file} was written by a newer version of this program (schema {version}).",
            expected=f"schema {SCHEMA_VERSION} or older",
            remedy="use the version that wrote the run, or a newer one",
        )
    for number, statements in enumerate(_MIGRATIONS[version:], start=version + 1):
        database.executescript(
            f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {number}; COMMIT;"
        )


@contextmanager
def _disk_errors(file: Path) -> Iterator[None]:
    """Turn a disk that is full, or can't be written, into one message."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _DISK_ERRORS:
            raise
        raise Stopped(
            f"{file} can't be written: {error}.",
            remedy="make room or give write permission, then call again (a run: `audit resume`)",
        ) from None
