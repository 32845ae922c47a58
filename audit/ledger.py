"""The ledger: every call planned, sent and answered, in one SQLite file in the run folder.

A call's row is written as `sent` before it leaves and as `done` or `failed` after, each durable
when the method returns, so that after a crash only rows in `sent` are in doubt.
"""

import hashlib
import json
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from audit.errors import Stopped, UserError
from audit.types import Observation, content_hash

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


class CallState(StrEnum):
    """Where a call is on its way.

    `unknown`: it was sent and no answer came, so the service may or may not have done it.
    `skipped`: an earlier answer made it pointless.
    """

    PLANNED = "planned"
    SENT = "sent"
    UNKNOWN = "unknown"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a service. `person` is our name, `photos` are source photos' hashes.

    `repeat` tells calls apart that are alike in everything else, such as polls. Calls of one
    `phase` may be made in any order and at once, once those of the phases before are answered.
    """

    provider: str
    verb: str
    operation: str
    arm: str
    gallery: str = ""
    person: str = ""
    photos: tuple[str, ...] = ()
    repeat: int = 0
    phase: int = 0

    @property
    def id(self) -> str:
        """Return the hash of the call's content; when it is made is no part of it."""
        names = (field.name for field in fields(self) if field.name != "phase")
        return content_hash({name: getattr(self, name) for name in names})


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call and what became of it."""

    seq: int
    call: Call
    state: CallState
    attempts: int
    sent_utc: str | None
    latency_ms: float | None
    result: Mapping[str, Any]
    failure_kind: str | None
    failure_code: str | None
    failure_message: str | None


class Ledger:
    """Opens, or creates, a run's ledger. The runner alone writes it; its threads share it.

    What a method has written is durable when it returns, and every later read sees it. Raises
    Stopped if the disk is full or can't be written.
    """

    def __init__(self, file: Path) -> None:
        self._writer = _Writer(file)
        self._reader = _connect(file)
        self._reading = Lock()

    def close(self) -> None:
        """Finish what is being written and close the file."""
        self._writer.close()
        with self._reading:
            self._reader.close()

    @property
    def planned(self) -> bool:
        """Tell whether the plan was added: all its calls are there then."""
        return bool(self._query("SELECT EXISTS (SELECT * FROM calls)")[0][0])

    def add(self, calls: Iterable[Call]) -> None:
        """Add planned calls in order, all or none; those already there are left as they are."""
        rows = [_planned_row(call) for call in calls]
        self._writer.write(lambda database: _insert(database, rows))

    def append(self, call: Call) -> CallRow:
        """Add one more call like `call`, numbered apart from those that are there."""

        def change(database: sqlite3.Connection) -> str:
            (repeat,) = database.execute(
                "SELECT ifnull(max(repeat) + 1, 0) FROM calls"
                " WHERE verb = ? AND arm = ? AND person = ? AND photos = ?",
                (call.verb, call.arm, call.person, json.dumps(call.photos)),
            ).fetchone()
            numbered = replace(call, repeat=repeat)
            _insert(database, [_planned_row(numbered)])
            return numbered.id

        (row,) = self._calls(id=self._writer.write(change))
        return row

    def doubt_unanswered(self) -> None:
        """Mark what a dead process had sent as unknown."""
        query = "UPDATE calls SET state = 'unknown' WHERE state = 'sent'"
        self._writer.write(_statement(query))

    def sent(self, seq: int, utc: str) -> None:
        """Record that a call is about to leave."""

        def change(database: sqlite3.Connection) -> None:
            database.execute(
                "UPDATE calls SET state = 'sent', sent_utc = ?, attempts = attempts + 1"
                " WHERE seq = ?",
                (utc, seq),
            )
            database.execute(
                "INSERT INTO attempts (call_seq, attempt, sent_utc)"
                " SELECT seq, attempts, ? FROM calls WHERE seq = ?",
                (utc, seq),
            )

        self._writer.write(change)

    def put_off(self, seq: int, latency_ms: float, outcome: str, *, doubtful: bool) -> None:
        """Record an attempt that another must follow; `doubtful`: it may have been carried out."""
        state = CallState.UNKNOWN if doubtful else CallState.PLANNED
        self._answer(seq, latency_ms, outcome, {"state": state})

    def done(self, seq: int, utc: str, latency_ms: float, result: Mapping[str, Any]) -> None:
        """Record a call's answer."""
        values = {"done_utc": utc, "latency_ms": latency_ms, "result": json.dumps(result)}
        self._answer(seq, latency_ms, "done", {"state": CallState.DONE, **values})

    def failed(self, seq: int, utc: str, latency_ms: float, failure: tuple[str, str, str]) -> None:
        """Record that a call's photo was refused; `failure` is kind, code and message."""
        names = ("failure_kind", "failure_code", "failure_message")
        values = {"done_utc": utc, "latency_ms": latency_ms} | dict(
            zip(names, failure, strict=True)
        )
        self._answer(seq, latency_ms, failure[1], {"state": CallState.FAILED, **values})

    def set_state(self, seq: int, state: CallState) -> None:
        """Skip a call, or plan it anew."""
        query = "UPDATE calls SET state = ? WHERE seq = ?"
        self._writer.write(_statement(query, state, seq))

    def set_gallery(self, name: str, state: str) -> None:
        """Record that a gallery was `created`, `deleted` or found `gone`."""
        query = "UPDATE galleries SET state = ? WHERE name = ?"
        self._writer.write(_statement(query, state, name))

    def record(self, observations: Iterable[Observation]) -> None:
        """Store observations; those of a probe and arm seen before are replaced."""
        marks = ",".join("?" * len(fields(Observation)))
        query = f"INSERT OR REPLACE INTO observations VALUES ({marks})"  # noqa: S608 - only marks
        rows = [astuple(observation) for observation in observations]

        def change(database: sqlite3.Connection) -> None:
            database.executemany(query, rows)

        self._writer.write(change)

    def note_change(self, arm: str, photo: str, data: bytes, change: str) -> None:
        """Record that a photo is uploaded changed: the hash of what leaves, and what was done."""
        row = (arm, photo, hashlib.sha256(data).hexdigest(), len(data), change)
        query = "INSERT OR REPLACE INTO changed_uploads VALUES (?, ?, ?, ?, ?)"
        self._writer.write(_statement(query, *row))

    def pulse(self, utc: str, waiting_until: str | None, eta_s: float | None) -> None:
        """Record a sign of life for those who look on; it is written soon, not when this returns.

        `waiting_until` is the instant (UTC) of the next slot of the rate limit, `eta_s` the time
        to the end.
        """
        query = (
            "INSERT OR REPLACE INTO pulse (rowid, utc, waiting_until, eta_s) VALUES (1, ?, ?, ?)"
        )
        self._writer.submit(_statement(query, utc, waiting_until, eta_s))

    def changes(self) -> list[dict[str, Any]]:
        """Return every photo that was uploaded changed, by arm."""
        names = ("arm", "photo", "uploaded_sha256", "bytes", "change")
        rows = self._query(
            "SELECT arm, photo, uploaded_sha256, bytes, change FROM changed_uploads"
            " ORDER BY arm, photo"
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def calls(
        self, *, arm: str | None = None, verb: str | None = None, state: CallState | None = None
    ) -> list[CallRow]:
        """Return the calls of an arm, a verb or a state, in the order in which they were planned."""
        return self._calls(arm=arm, verb=verb, state=state)

    def attempts_made(self) -> int:
        """Return how many requests were sent: what the service counts and charges."""
        return int(self._query("SELECT count(*) FROM attempts")[0][0])

    def attempts_by_operation(self) -> dict[str, int]:
        """Return the requests sent, by the service's operation."""
        query = "SELECT operation, sum(attempts) FROM calls WHERE attempts > 0 GROUP BY operation"
        return dict(sorted(self._query(query)))

    def states(self) -> dict[str, int]:
        """Return how many calls are in each state."""
        return dict(self._query("SELECT state, count(*) FROM calls GROUP BY state"))

    def galleries(self) -> list[tuple[str, str, str]]:
        """Return name, arm and state of every gallery of this run."""
        return self._query("SELECT name, arm, state FROM galleries ORDER BY rowid")

    def observations(self) -> list[dict[str, Any]]:
        """Return all observations, in the order in which they were made."""
        names = [field.name for field in fields(Observation)]
        rows = self._query("SELECT * FROM observations ORDER BY rowid")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _answer(self, seq: int, latency_ms: float, outcome: str, values: Mapping[str, Any]) -> None:
        """Close a call's attempt and set columns of its row."""
        columns = ", ".join(f"{name} = ?" for name in values)

        def change(database: sqlite3.Connection) -> None:
            database.execute(
                "UPDATE attempts SET latency_ms = ?, outcome = ? WHERE call_seq = ? AND attempt ="
                " (SELECT attempts FROM calls WHERE seq = ?)",
                (latency_ms, outcome, seq, seq),
            )
            query = f"UPDATE calls SET {columns} WHERE seq = ?"  # noqa: S608 - names of ours
            database.execute(query, (*values.values(), seq))

        self._writer.write(change)

    def _calls(self, **wanted: str | None) -> list[CallRow]:
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = :{name}" for name in given) or "TRUE"
        query = f"SELECT {_COLUMNS} FROM calls WHERE {where} ORDER BY seq"  # noqa: S608 - names of ours
        with self._reading:
            return [_call_row(row) for row in self._reader.execute(query, given)]

    def _query(self, query: str) -> list[tuple[Any, ...]]:
        # A connection goes on seeing what it saw until its last query is through: one at a time.
        with self._reading:
            return self._reader.execute(query).fetchall()


class _Writer:
    """A thread that commits the changes of all threads: those that wait, in one transaction."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._database = _connect(file)
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


def _connect(file: Path) -> sqlite3.Connection:
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
            remedy="make room or give write permission, then `audit resume` the run",
        ) from None


def _statement(query: str, *values: object) -> Change[None]:
    def change(database: sqlite3.Connection) -> None:
        database.execute(query, values)

    return change


def _planned_row(call: Call) -> tuple[str | int, ...]:
    return (
        call.id,
        call.provider,
        call.verb,
        call.operation,
        call.arm,
        call.gallery,
        call.person,
        json.dumps(call.photos),
        call.repeat,
        call.phase,
    )


def _insert(database: sqlite3.Connection, rows: Sequence[tuple[str | int, ...]]) -> None:
    """Add planned calls; a gallery is known before the call that creates it can be made."""
    database.executemany(
        "INSERT OR IGNORE INTO calls (id, provider, verb, operation, arm, gallery, person,"
        " photos, repeat, phase, state) VALUES (?,?,?,?,?,?,?,?,?,?, 'planned')",
        rows,
    )
    database.execute(
        "INSERT OR IGNORE INTO galleries SELECT gallery, arm, 'planned' FROM calls"
        " WHERE verb = 'create_gallery' ORDER BY seq"
    )


_COLUMNS = (
    "provider, verb, operation, arm, gallery, person, photos, repeat, phase,"
    " seq, state, attempts, sent_utc, latency_ms, result,"
    " failure_kind, failure_code, failure_message"
)


def _call_row(row: tuple[Any, ...]) -> CallRow:
    provider, verb, operation, arm, gallery, person, photos, repeat, phase, *rest = row
    seq, state, attempts, sent_utc, latency_ms, result, *failure = rest
    named = tuple(json.loads(photos))
    return CallRow(
        seq,
        Call(provider, verb, operation, arm, gallery, person, named, repeat, phase),
        CallState(state),
        attempts,
        sent_utc,
        latency_ms,
        json.loads(result) if result else {},
        *failure,
    )
