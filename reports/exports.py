"""A run's rows as tables for other programs: csv, parquet, jsonl, each with the schema's types."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from audit.errors import UserError
from audit.types import SCHEMA_VERSION
from reports import schema
from reports.flat_files import csv_bytes, write_all
from reports.ledger_rows import read_calls
from reports.run_folder import (
    csv_table,
    read_changed_uploads,
    read_enrolment,
    read_observations,
)

_ROWS_AT_ONCE = 10_000


def write_tables(run: Path, file_format: str, out: Path) -> tuple[Path, ...]:
    """Write a run's tables into `out` as csv, parquet or jsonl and return the files.

    They are the observations, the calls, the photos' enrolment and the changed uploads, then
    schema.json, which tells the version and every column.
    """
    to_bytes = FORMATS.get(file_format)
    if to_bytes is None:
        raise UserError(
            f"format {file_format!r} is unknown",
            expected=f"one of {', '.join(FORMATS)}",
            remedy="choose one with --format",
        )
    frames = {
        "observations": read_observations(run),
        "calls": read_calls(run),
        "enrolment": read_enrolment(run),
        "changed_uploads": read_changed_uploads(run),
    }
    files = {
        out / f"{name}.{file_format}": to_bytes(typed(frame, name))
        for name, frame in frames.items()
    }
    files[out / "schema.json"] = json.dumps(schema.described(), indent=2).encode()
    write_all(files, f"`audit export {run.name}` writes them again")
    return tuple(files)


def typed(frame: pd.DataFrame, table: str) -> pa.Table:
    """Return a frame as a table of the schema: its columns in order, what is missing null.

    A missing text, in a frame "", is null too; columns that older runs lack are all null.
    """
    columns = {
        column.name: _column(frame.get(column.name), schema.ARROW[column.type], len(frame))
        for column in schema.TABLES[table]
    }
    told = {"schema_version": str(SCHEMA_VERSION), "table": table}
    return pa.table(columns, schema=schema.arrow(table).with_metadata(told))


def _column(values: pd.Series | None, kind: pa.DataType, count: int) -> pa.ChunkedArray:
    if values is None:
        return pa.chunked_array([pa.nulls(count, kind)])
    text = kind == pa.string()
    column = pa.chunked_array(pa.array(values, kind if text else None, from_pandas=True))
    if not text:
        return column.cast(kind)
    return pyarrow.compute.if_else(pyarrow.compute.equal(column, ""), None, column)


def read_table(path: Path) -> pd.DataFrame:
    """Read one exported table with its types, whatever its format; missing values are missing."""
    kinds = schema.arrow(path.stem)
    return _frame(_READERS[path.suffix.removeprefix(".")](path, kinds))


def _frame(table: pa.Table) -> pd.DataFrame:
    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def _exact_csv(table: pa.Table) -> bytes:
    return csv_bytes(_frame(table), "%r")


def _jsonl(table: pa.Table) -> bytes:
    lines = (
        f"{json.dumps(row, ensure_ascii=False)}\n"
        for batch in table.to_batches(_ROWS_AT_ONCE)
        for row in batch.to_pylist()
    )
    return "".join(lines).encode()


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def _read_jsonl(path: Path, kinds: pa.Schema) -> pa.Table:
    with path.open(encoding="utf-8", newline="\n") as lines:
        return pa.Table.from_pylist([json.loads(line) for line in lines], kinds)


FORMATS: Mapping[str, Callable[[pa.Table], bytes]] = {
    "csv": _exact_csv,
    "parquet": _parquet,
    "jsonl": _jsonl,
}
_READERS: Mapping[str, Callable[[Path, pa.Schema], pa.Table]] = {
    "csv": csv_table,
    "parquet": lambda path, _: pyarrow.parquet.read_table(path),
    "jsonl": _read_jsonl,
}
