"""The ledger: every call planned, sent and answered, in one SQLite file in the run folder.

A call's row is written as `sent` before it leaves and as `done` or `failed` after, each durable
when the method returns, so that after a crash only rows in `sent` are in doubt.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields, replace
from pathlib import Path
from threading import Lock, local
from typing import Any

from audit.calls import COLUMNS, Call, CallRow, CallState, call_row, insert, planned_row
from audit.ledger_writer import Change, Writer, connect
from audit.types import Observation


class Ledger:
    """Opens, or creates, a run's ledger. The runner alone writes it; its threads share it.

    What a method has written is durable when it returns, and every later read sees it. Raises
    Stopped if the disk is full or can't be written.
    """

    def __init__(self, file: Path) -> None:
        self._writer = Writer(file)
        self._reader = connect(file)
        self._reading = Lock()
        self._held = _Held()

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
        rows = [planned_row(call) for call in calls]
        self._writer.write(lambda database: insert(database, rows))

    def append(self, call: Call) -> CallRow:
        """Add one more call like `call`, numbered apart from those that are there."""

        def change(database: sqlite3.Connection) -> str:
            (repeat,) = database.execute(
                "SELECT ifnull(max(repeat) + 1, 0) FROM calls"
                " WHERE verb = ? AND arm = ? AND person = ? AND photos = ?",
                (call.verb, call.arm, call.person, json.dumps(call.photos)),
            ).fetchone()
            numbered = replace(call, repeat=repeat)
            insert(database, [planned_row(numbered)])
            return numbered.id

        (row,) = self._calls(id=self._writer.write(change))
        return row

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit this thread's answers at once with what follows from them, at the end of this.

        Or earlier, before a further call is sent. A crash between an answer and its consequence
        would make the same question be asked twice.
        """
        outer = self._held.changes
        self._held.changes = outer or []
        try:
            yield
        finally:
            changes, self._held.changes = self._held.changes, None if outer is None else []
            self._writer.write(_all(changes))

    def commit(self) -> None:
        """Commit what this thread holds back, before it waits or sends."""
        if self._held.changes:
            self._writer.write(_all(self._held.changes))
            self._held.changes = []

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

        self.commit()
        self._writer.write(change)

    def not_sent(self, seq: int) -> None:
        """Take back that a call was about to leave."""

        def change(database: sqlite3.Connection) -> None:
            database.execute(
                "DELETE FROM attempts WHERE call_seq = ? AND attempt ="
                " (SELECT attempts FROM calls WHERE seq = ?)",
                (seq, seq),
            )
            database.execute(
                "UPDATE calls SET state = 'planned', attempts = attempts - 1 WHERE seq = ?", (seq,)
            )

        self._write(change)

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
        self._write(_statement(query, state, seq))

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

        self._write(change)

    def _write(self, change: Change[None]) -> None:
        if self._held.changes is None:
            self._writer.write(change)
        else:
            self._held.changes.append(change)

    def _calls(self, **wanted: str | None) -> list[CallRow]:
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = :{name}" for name in given) or "TRUE"
        query = f"SELECT {COLUMNS} FROM calls WHERE {where} ORDER BY seq"  # noqa: S608 - names of ours
        with self._reading:
            return [call_row(row) for row in self._reader.execute(query, given)]

    def _query(self, query: str) -> list[tuple[Any, ...]]:
        # A connection goes on seeing what it saw until its last query is through: one at a time.
        with self._reading:
            return self._reader.execute(query).fetchall()


class _Held(local):
    """What a thread has written and not committed yet, None outside of `together`."""

    changes: list[Change[None]] | None = None


def _all(changes: Sequence[Change[None]]) -> Change[None]:
    def change(database: sqlite3.Connection) -> None:
        for part in changes:
            part(database)

    return change


def _statement(query: str, *values: object) -> Change[None]:
    def change(database: sqlite3.Connection) -> None:
        database.execute(query, values)

    return change
