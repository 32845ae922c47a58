"""Files that leave this room: each whole or not at all; and a run's rows as flat tables."""

import contextlib
import csv
import io
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from audit.errors import Stopped, UserError
from reports.run_folder import read_changed_uploads, read_enrolment, read_observations


def write_tables(run: Path, file_format: str, out: Path) -> tuple[Path, ...]:
    """Write a run's tables into `out` as csv, parquet or jsonl and return the files.

    They are the observations, the calls, the photos' enrolment and the changed uploads.
    """
    to_bytes = _FORMATS.get(file_format)
    if to_bytes is None:
        raise UserError(
            f"format {file_format!r} is unknown",
            expected=f"one of {', '.join(_FORMATS)}",
            remedy="choose one with --format",
        )
    frames = {
        "observations": read_observations(run),
        "calls": read_calls(run),
        "enrolment": read_enrolment(run),
        "changed_uploads": read_changed_uploads(run),
    }
    files = {out / f"{name}.{file_format}": to_bytes(frame) for name, frame in frames.items()}
    write_all(files, f"`audit export {run.name}` writes them again")
    return tuple(files)


def read_calls(run: Path) -> pd.DataFrame:
    """Read the ledger's calls, whatever their columns; the ledger is opened for reading only."""
    path = run / "ledger.db"
    if not path.is_file():
        raise _unreadable(path, "the file is missing")
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as ledger:
            cursor = ledger.execute("SELECT * FROM calls")
            names = [column[0] for column in cursor.description]
            return pd.DataFrame(cursor.fetchall(), columns=names)
    except sqlite3.Error as error:
        raise _unreadable(path, str(error)) from error


def write_all(files: Mapping[Path, bytes], remedy: str) -> None:
    """Write every file in order, each whole under its name or not at all.

    Raises Stopped, telling `remedy`, when the disk is full or the folder can't be written.
    """
    for path, content in files.items():
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise Stopped(
                f"{path} can't be written: {error.strerror}; the run's data is safe",
                expected="room on the disk and a folder that can be written",
                remedy=f"make room or give permission; then {remedy}",
            ) from error


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Return a frame as CSV: missing values empty, truth as true and false, numbers to 10 digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame.columns)
    writer.writerows(zip(*(_cells(frame[name]) for name in frame), strict=True))
    return text.getvalue().encode()


def _cells(column: pd.Series) -> list[Any]:
    values = column.astype(object).where(column.notna(), None).tolist()
    if pd.api.types.is_bool_dtype(column):
        return [None if value is None else str(value).lower() for value in values]
    if pd.api.types.is_float_dtype(column):
        return [None if value is None else f"{value:.10g}" for value in values]
    return values


def _jsonl_bytes(frame: pd.DataFrame) -> bytes:
    text: str = frame.to_json(orient="records", lines=True, force_ascii=False, double_precision=15)
    return text.encode()


def _parquet_bytes(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


_FORMATS: Mapping[str, Callable[[pd.DataFrame], bytes]] = {
    "csv": csv_bytes,
    "parquet": _parquet_bytes,
    "jsonl": _jsonl_bytes,
}


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} can't be read: {why}",
        expected="the ledger as the run wrote it, with its table `calls`",
        remedy="restore the file",
    )
