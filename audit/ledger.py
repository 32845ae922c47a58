"""The ledger: every call planned, sent and answered, in one SQLite file in the run folder.

Each change is one durable commit. A call's row is written as `sent` before it leaves and as
`done` or `failed` after, so that after a crash only rows in `sent` are in doubt.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from audit.errors import UserError
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
_MIGRATIONS = (_VERSION_1, _VERSION_2)
SCHEMA_VERSION = len(_MIGRATIONS)


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

    `repeat` tells calls apart that are alike in everything else, such as polls.
    """

    provider: str
    verb: str
    operation: str
    arm: str
    gallery: str = ""
    person: str = ""
    photos: tuple[str, ...] = ()
    repeat: int = 0

    @property
    def id(self) -> str:
        """Return the hash of the call's content."""
        return content_hash(asdict(self))


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
    """Opens, or creates, a run's ledger. The runner alone writes it."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file, isolation_level=None, timeout=60)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._prepare(file)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, calls: Iterable[Call]) -> None:
        """Add planned calls in order; those already there are left as they are."""
        with self._transaction() as database:
            for call in calls:
                database.execute(
                    "INSERT OR IGNORE INTO calls (id, provider, verb, operation, arm, gallery,"
                    " person, photos, repeat, state) VALUES (?,?,?,?,?,?,?,?,?,?)",
                    (
                        call.id,
                        call.provider,
                        call.verb,
                        call.operation,
                        call.arm,
                        call.gallery,
                        call.person,
                        json.dumps(call.photos),
                        call.repeat,
                        CallState.PLANNED,
                    ),
                )
                if call.verb == "create_gallery":
                    database.execute(
                        "INSERT OR IGNORE INTO galleries VALUES (?, ?, 'planned')",
                        (call.gallery, call.arm),
                    )

    def append(self, call: Call) -> CallRow:
        """Add one more call like `call`, numbered apart from those that are there."""
        alike = [
            row
            for row in self.calls(arm=call.arm, verb=call.verb)
            if (row.call.person, row.call.photos) == (call.person, call.photos)
        ]
        numbered = replace(call, repeat=len(alike))
        self.add([numbered])
        return self.calls(arm=call.arm, verb=call.verb)[-1]

    def doubt_unanswered(self) -> None:
        """Mark what a dead process had sent as unknown."""
        with self._transaction() as database:
            database.execute("UPDATE calls SET state = 'unknown' WHERE state = 'sent'")

    def sent(self, seq: int, utc: str) -> None:
        """Record that a call is about to leave."""
        with self._transaction() as database:
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

    def put_off(self, seq: int, latency_ms: float, outcome: str, *, doubtful: bool) -> None:
        """Record an attempt that another must follow; `doubtful`: it may have been carried out."""
        state = CallState.UNKNOWN if doubtful else CallState.PLANNED
        with self._transaction() as database:
            self._close_attempt(database, seq, latency_ms, outcome)
            database.execute("UPDATE calls SET state = ? WHERE seq = ?", (state, seq))

    def done(self, seq: int, utc: str, latency_ms: float, result: Mapping[str, Any]) -> None:
        """Record a call's answer."""
        with self._transaction() as database:
            self._close_attempt(database, seq, latency_ms, "done")
            database.execute(
                "UPDATE calls SET state = 'done', done_utc = ?, latency_ms = ?, result = ?"
                " WHERE seq = ?",
                (utc, latency_ms, json.dumps(result), seq),
            )

    def failed(self, seq: int, utc: str, latency_ms: float, failure: tuple[str, str, str]) -> None:
        """Record that a call's photo was refused; `failure` is kind, code and message."""
        with self._transaction() as database:
            self._close_attempt(database, seq, latency_ms, failure[1])
            database.execute(
                "UPDATE calls SET state = 'failed', done_utc = ?, latency_ms = ?,"
                " failure_kind = ?, failure_code = ?, failure_message = ? WHERE seq = ?",
                (utc, latency_ms, *failure, seq),
            )

    def set_state(self, seq: int, state: CallState) -> None:
        """Skip a call, or plan it anew."""
        with self._transaction() as database:
            database.execute("UPDATE calls SET state = ? WHERE seq = ?", (state, seq))

    def set_gallery(self, name: str, state: str) -> None:
        """Record that a gallery was `created`, `deleted` or found `gone`."""
        with self._transaction() as database:
            database.execute("UPDATE galleries SET state = ? WHERE name = ?", (state, name))

    def record(self, observations: Iterable[Observation]) -> None:
        """Store observations; those of a probe and arm seen before are replaced."""
        marks = ",".join("?" * len(fields(Observation)))
        with self._transaction() as database:
            database.executemany(
                f"INSERT OR REPLACE INTO observations VALUES ({marks})",  # noqa: S608 - only marks
                [astuple(observation) for observation in observations],
            )

    def note_change(self, arm: str, photo: str, data: bytes, change: str) -> None:
        """Record that a photo is uploaded changed: the hash of what leaves, and what was done."""
        row = (arm, photo, hashlib.sha256(data).hexdigest(), len(data), change)
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO changed_uploads VALUES (?, ?, ?, ?, ?)", row)

    def changes(self) -> list[dict[str, Any]]:
        """Return every photo that was uploaded changed, by arm."""
        rows = self._database.execute("SELECT * FROM changed_uploads ORDER BY arm, photo")
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def calls(
        self, *, arm: str | None = None, verb: str | None = None, state: CallState | None = None
    ) -> list[CallRow]:
        """Return the calls of an arm, a verb or a state, in the order in which they were planned."""
        rows = self._database.execute(
            "SELECT seq, provider, verb, operation, arm, gallery, person, photos, repeat, state,"
            " attempts, sent_utc, latency_ms, result, failure_kind, failure_code,"
            " failure_message FROM calls"
            " WHERE arm = ifnull(:arm, arm) AND verb = ifnull(:verb, verb)"
            " AND state = ifnull(:state, state) ORDER BY seq",
            {"arm": arm, "verb": verb, "state": state},
        )
        return [_call_row(row) for row in rows]

    def attempts_made(self) -> int:
        """Return how many requests were sent: what the service counts and charges."""
        return int(self._database.execute("SELECT count(*) FROM attempts").fetchone()[0])

    def attempts_by_operation(self) -> dict[str, int]:
        """Return the requests sent, by the service's operation."""
        return dict(
            self._database.execute(
                "SELECT operation, count(*) FROM attempts JOIN calls ON seq = call_seq"
                " GROUP BY operation ORDER BY operation"
            ).fetchall()
        )

    def states(self) -> dict[str, int]:
        """Return how many calls are in each state."""
        return dict(
            self._database.execute("SELECT state, count(*) FROM calls GROUP BY state").fetchall()
        )

    def galleries(self) -> list[tuple[str, str, str]]:
        """Return name, arm and state of every gallery of this run."""
        return self._database.execute("SELECT name, arm, state FROM galleries").fetchall()

    def observations(self) -> list[dict[str, Any]]:
        """Return all observations, in the order in which they were made."""
        names = [field.name for field in fields(Observation)]
        rows = self._database.execute("SELECT * FROM observations ORDER BY rowid")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _close_attempt(
        self, database: sqlite3.Connection, seq: int, latency_ms: float, outcome: str
    ) -> None:
        database.execute(
            "UPDATE attempts SET latency_ms = ?, outcome = ? WHERE call_seq = ? AND attempt ="
            " (SELECT attempts FROM calls WHERE seq = ?)",
            (latency_ms, outcome, seq, seq),
        )

    def _prepare(self, file: Path) -> None:
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{file} was written by a newer version of this program (schema {version}).",
                expected=f"schema {SCHEMA_VERSION} or older",
                remedy="use the version that wrote the run, or a newer one",
            )
        for number, statements in enumerate(_MIGRATIONS[version:], start=version + 1):
            self._database.executescript(
                f"BEGIN IMMEDIATE; {statements} PRAGMA user_version = {number}; COMMIT;"
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _call_row(row: tuple[Any, ...]) -> CallRow:
    seq, provider, verb, operation, arm, gallery, person, photos, repeat, *rest = row
    state, attempts, sent_utc, latency_ms, result, *failure = rest
    failure_kind, failure_code, failure_message = failure
    return CallRow(
        seq=seq,
        call=Call(
            provider=provider,
            verb=verb,
            operation=operation,
            arm=arm,
            gallery=gallery,
            person=person,
            photos=tuple(json.loads(photos)),
            repeat=repeat,
        ),
        state=CallState(state),
        attempts=attempts,
        sent_utc=sent_utc,
        latency_ms=latency_ms,
        result=json.loads(result) if result else {},
        failure_kind=failure_kind,
        failure_code=failure_code,
        failure_message=failure_message,
    )
