"""A call to a service: what is planned, what became of it, and its row in the ledger."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from audit.types import content_hash


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


_COPY = ":"


def copy_name(sha256: str, copy: int) -> str:
    """Return what calls name the so-manieth changed copy of a photo; 0 = the photo itself."""
    return f"{sha256}{_COPY}{copy}" if copy else sha256


def copy_of(photo: str) -> tuple[str, int]:
    """Return the photo's hash and the number of its copy, from what calls name it."""
    sha256, _, copy = photo.partition(_COPY)
    return sha256, int(copy or 0)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a service. `person` is our name, `photos` are source photos' hashes.

    Of photos that are enrolled several times, each copy has a name of its own (`copy_name`).

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


def planned_row(call: Call) -> tuple[str | int, ...]:
    """Return a planned call as `insert` takes it."""
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


def insert(database: sqlite3.Connection, rows: Sequence[tuple[str | int, ...]]) -> None:
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


COLUMNS = (
    "provider, verb, operation, arm, gallery, person, photos, repeat, phase,"
    " seq, state, attempts, sent_utc, latency_ms, result,"
    " failure_kind, failure_code, failure_message"
)


def call_row(row: tuple[Any, ...]) -> CallRow:
    """Return a call read with `COLUMNS`."""
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
