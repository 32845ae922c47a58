"""Files that leave this room, each whole or not at all; CSV; and the ledger's calls."""

import contextlib
import csv
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from audit.errors import Stopped, UserError


def read_calls(run: Path) -> pd.DataFrame:
    """Read the ledger's calls, whatever their columns; the ledger is opened for reading only."""
    path = run / "ledger.db"
    if not path.is_file():
        raise _unreadable(path, "the file is missing")
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as ledger:
            cursor = ledger.execute("SELECT * FROM calls ORDER BY seq")
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


def csv_bytes(frame: pd.DataFrame, number: str = "{:.10g}") -> bytes:
    """Return a frame as CSV: missing values empty, truth as true and false, numbers as `number`."""
    lines: list[str] = []
    # The writer quotes the letters of its line end: so a lone carriage return in a name is quoted.
    lines_file = SimpleNamespace(write=lambda line: lines.append(f"{line[:-2]}\n"))
    writer = csv.writer(lines_file, lineterminator="\r\n")
    writer.writerow(frame.columns)
    writer.writerows(zip(*(_cells(frame[name], number) for name in frame), strict=True))
    return "".join(lines).encode()


def _cells(column: pd.Series, number: str) -> list[Any]:
    values = column.astype(object).where(column.notna(), None).tolist()
    if pd.api.types.is_bool_dtype(column):
        return [None if value is None else str(value).lower() for value in values]
    if pd.api.types.is_float_dtype(column):
        return [None if value is None else number.format(value) for value in values]
    return values


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} can't be read: {why}",
        expected="the ledger as the run wrote it, with its table `calls`",
        remedy="restore the file",
    )
