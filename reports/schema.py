"""The exported tables, column by column: the one place that says what a column means."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from audit.types import SCHEMA_VERSION

Kind = Literal["text", "boolean", "integer", "number"]
ARROW: Mapping[Kind, pa.DataType] = {
    "text": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
}
_UTC = "instant as text, ISO 8601, UTC"
_HASH = "SHA-256, hexadecimal"


class Column(NamedTuple):
    """One column. `unit` is that of a number, or how a text is written; "" if it has none."""

    name: str
    type: Kind
    unit: str
    meaning: str


TABLES: Mapping[str, tuple[Column, ...]] = {
    "observations": (
        Column("run_id", "text", "", "the run"),
        Column("utc", "text", _UTC, "when the call that answered was sent"),
        Column("provider", "text", "", "whose adapter asked"),
        Column("service_model", "text", "", "which models the service said that it used"),
        Column("game", "text", "", "poison: cloaked photos are enrolled; evade: they are asked about"),
        Column("arm", "text", "", "the arm"),
        Column("system", "text", "", "the cloaking system; none in the control"),
        Column("level", "text", "", "its level; none in the control"),
        Column("targets", "text", "", "same or separate: whom a person's photos are cloaked towards"),
        Column("cloaked_fraction", "number", "0..1", "share of the photos that were cloaked"),
        Column("probe_sha256", "text", _HASH, "the photo asked about"),
        Column("true_person", "text", "", "whom it shows"),
        Column("outcome", "text", "", "match, other_person, no_match, no_face, refused or error"),
        Column("top_person", "text", "", "the first candidate"),
        Column("top_score", "number", "0..1", "the first candidate's score"),
        Column("rank", "integer", "1 = first", "the true person's place among the candidates"),
        Column("true_score", "number", "0..1", "the true person's score"),
        Column("true_score_source", "text", "", "identify or verify: which question gave it"),
        Column("censored", "boolean", "", "the service hid the true person's score"),
        Column("threshold", "number", "0..1", "the score below which the service was asked to hide"),
        Column("native_score", "number", "the service's own", "the true person's score as it came"),
        Column("latency_ms", "number", "ms", "how long the call that answered took"),
        Column("attempts", "integer", "", "how often that call was sent"),
        Column("service_thresholds", "text", "JSON object, the service's own scale", "thresholds that came with the score"),
    ),
    "calls": (
        Column("seq", "integer", "", "the call's number, in the order of the plan"),
        Column("id", "text", _HASH, "hash of what is asked, whenever that is"),
        Column("provider", "text", "", "whose adapter asked"),
        Column("verb", "text", "", "what is asked, in our words"),
        Column("operation", "text", "", "what is asked, in the service's words"),
        Column("arm", "text", "", "the arm; empty for what all arms share"),
        Column("gallery", "text", "", "the gallery's name at the service"),
        Column("person", "text", "", "whose photo or entry"),
        Column("photos", "text", "JSON array of SHA-256", "the source photos; HASH:N is a copy"),
        Column("repeat", "integer", "", "tells calls apart that are alike in everything else"),
        Column("state", "text", "", "planned, sent, unknown, done, failed or skipped"),
        Column("sent_utc", "text", _UTC, "when it was last sent"),
        Column("done_utc", "text", _UTC, "when it was answered"),
        Column("latency_ms", "number", "ms", "how long the last answer took"),
        Column("attempts", "integer", "", "how often it was sent"),
        Column("result", "text", "JSON object", "what the answer says"),
        Column("failure_kind", "text", "", "no_face or refused"),
        Column("failure_code", "text", "", "the service's code"),
        Column("failure_message", "text", "", "the service's words"),
        Column("phase", "integer", "", "calls of one phase may be made at once; since version 3"),
    ),
    "enrolment": (
        Column("arm", "text", "", "the arm"),
        Column("person", "text", "", "whose photo"),
        Column("photo_sha256", "text", _HASH, "the source photo that was sent for enrolment"),
        Column("outcome", "text", "", "enrolled, no_face, refused, or open: no answer yet"),
        Column("code", "text", "", "the service's code"),
        Column("reason", "text", "", "the service's words"),
        Column("note", "text", "", "what the service, or the adapter, remarked"),
    ),
    "changed_uploads": (
        Column("arm", "text", "", "the arm; empty for what all arms share"),
        Column("photo", "text", _HASH, "the source photo"),
        Column("uploaded_sha256", "text", _HASH, "the bytes that were sent in its place"),
        Column("bytes", "integer", "bytes", "their number"),
        Column("change", "text", "", "what was done to it"),
    ),
}  # fmt: skip


def names(table: str) -> tuple[str, ...]:
    """Return a table's columns, in order."""
    return tuple(column.name for column in TABLES[table])


def arrow(table: str) -> pa.Schema:
    """Return a table's columns and types."""
    return pa.schema([(column.name, ARROW[column.type]) for column in TABLES[table]])


def described() -> Mapping[str, Any]:
    """Return what schema.json holds: the version, and each table's columns in order."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tables": {name: [column._asdict() for column in row] for name, row in TABLES.items()},
    }
