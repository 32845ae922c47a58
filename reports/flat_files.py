"""Files that leave this room, each whole or not at all; and CSV."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute

from audit.errors import Stopped
from reports.side_by_side import side_by_side

_ROWS_AT_ONCE = 100_000


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


def csv_bytes(frame: pd.DataFrame, number: str = "%.10g") -> bytes:
    """Return a frame as CSV: missing values empty, truth as true and false, numbers as `number`.

    The csv module is three times slower, and leaves a lone carriage return unquoted.
    """
    if frame.columns.empty:
        return b"\n"
    header = _lines([pa.array([str(name)]) for name in frame])
    parts = (frame.iloc[row : row + _ROWS_AT_ONCE] for row in range(0, len(frame), _ROWS_AT_ONCE))
    works = [partial(_rows, part, number) for part in parts]
    return b"".join([header, *side_by_side(works, large=len(works) > 1)])


def _rows(part: pd.DataFrame, number: str) -> bytes:
    return _lines([_cells(part[name], number) for name in part])


def _lines(columns: Sequence[pa.Array]) -> bytes:
    lines = compute.binary_join_element_wise(*map(_quoted, columns), ",")
    return "\n".join([*lines.to_pylist(), ""]).encode()


def _cells(column: pd.Series, number: str) -> pa.Array:
    """Return a column's values as text, missing ones as ""."""
    if pd.api.types.is_float_dtype(column):
        values = column.to_numpy(dtype=float, na_value=np.nan).tolist()
        return pa.array(["" if value != value else number % value for value in values])  # noqa: PLR0124 - NaN
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.StringDtype):
        return pa.array(column, pa.string(), from_pandas=True).fill_null("")
    words = {True: "true", False: "false"} if pd.api.types.is_bool_dtype(column) else {}
    told = zip(column.tolist(), column.notna().tolist(), strict=True)
    return pa.array(
        [words.get(value, str(value)) if there else "" for value, there in told], pa.string()
    )


def _quoted(cells: pa.Array) -> pa.Array:
    special = compute.match_substring_regex(cells, '[",\r\n]')
    if not compute.any(special).as_py():
        return cells
    doubled = compute.replace_substring(cells, '"', '""')
    return compute.if_else(special, compute.binary_join_element_wise('"', doubled, '"', ""), cells)
