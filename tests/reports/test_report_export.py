import csv
import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reports
from audit.errors import Stopped, UserError
from audit.ledger import Ledger
from audit.types import SCHEMA_VERSION, Observation
from reports import exports, schema
from reports.flat_files import csv_bytes
from reports.ledger_rows import read_calls

ANSWERS = {"control": [{"score": 0.9, "person": "NA"}, {"censored": True, "outcome": "no_match"}]}
FORMATS = ("csv", "parquet", "jsonl")
README = Path(__file__).parents[2] / "README.md"


def test_csv_keeps_empty_cells_and_small_letters(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    observations, calls, *_ = reports.export(run := make_run(ANSWERS), "csv", tmp_path / "out")
    with observations.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (run / "observations.csv").open(newline="") as file:
        assert list(rows[0]) == next(csv.reader(file))
    assert [row["true_person"] for row in rows] == ["NA", "Ada"]
    assert [row["censored"] for row in rows] == ["false", "true"]
    assert [row["attempts"] for row in rows] == ["1", "1"]
    assert rows[1]["true_score"] == ""
    with calls.open(newline="") as file:
        told = [{key: row[key] for key in ("seq", "arm", "state", "phase")}
                for row in csv.DictReader(file)]  # fmt: skip
    assert told == [
        {"seq": "1", "arm": "control", "state": "done", "phase": "1"},
        {"seq": "2", "arm": "control", "state": "done", "phase": "1"},
        {"seq": "3", "arm": "", "state": "failed", "phase": "2"},
    ]


def test_jsonl_is_one_object_a_line(make_run: Callable[..., Path], tmp_path: Path) -> None:
    observations, calls, *_ = reports.export(make_run(ANSWERS), "jsonl", tmp_path)
    rows = [json.loads(line) for line in observations.read_text().splitlines()]
    assert (rows[0]["true_score"], rows[1]["true_score"]) == (0.9, None)
    assert (rows[0]["censored"], rows[0]["attempts"], rows[0]["targets"]) == (False, 1, None)
    last = json.loads(calls.read_text().splitlines()[-1])
    assert {key: last[key] for key in ("seq", "arm", "state", "sent_utc")} == {
        "seq": 3,
        "arm": None,
        "state": "failed",
        "sent_utc": None,
    }


def test_parquet_has_types_and_tells_the_version(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    observations, *_ = reports.export(make_run(ANSWERS), "parquet", tmp_path)
    kinds = pyarrow.parquet.read_schema(observations)
    assert kinds.metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()
    assert [str(kinds.field(name).type) for name in ("censored", "rank", "true_score", "utc")] == [
        "bool",
        "int64",
        "double",
        "string",
    ]
    frame = pd.read_parquet(observations)
    assert frame["true_person"].tolist() == ["NA", "Ada"]
    assert frame["censored"].tolist() == [False, True]


@pytest.mark.parametrize("file_format", FORMATS)
def test_enrolment_and_changed_uploads_are_tables_too(
    make_run: Callable[..., Path], tmp_path: Path, file_format: str
) -> None:
    run = make_run(
        ANSWERS,
        enrolment=[["control", "NA", "1" * 64, "refused", "TooDark", "", ""]],
        changed_uploads=[["control", "1" * 64, "2" * 64, "900", "encoded as PNG"]],
    )
    *_, enrolment, changed, described = reports.export(run, file_format, tmp_path)
    assert (enrolment.stem, changed.stem) == ("enrolment", "changed_uploads")
    assert exports.read_table(enrolment)["code"].tolist() == ["TooDark"]
    assert exports.read_table(changed)["bytes"].tolist() == [900]
    told = json.loads(described.read_text())
    assert (described.name, told["schema_version"]) == ("schema.json", SCHEMA_VERSION)
    assert [column["name"] for column in told["tables"]["enrolment"]][:2] == ["arm", "person"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_run_reads_back_as_it_was(study_run: Path, tmp_path: Path, file_format: str) -> None:
    files = {path.stem: path for path in reports.export(study_run, file_format, tmp_path)}
    for name, frame in (
        ("observations", reports.load(study_run).observations),
        ("enrolment", reports.load(study_run).enrolment),
    ):
        read = exports.read_table(files[name])
        assert len(read) == len(frame) > 0
        for column in frame:
            expected = [None if cell == "" or pd.isna(cell) else cell for cell in frame[column]]
            assert [None if pd.isna(cell) else cell for cell in read[column]] == expected


_TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["NA", "null", "nan", "None", "true", "0", '"', "a,b", "a\nb", "a\r\nb", "\r"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
)
_CELLS: dict[str, st.SearchStrategy[Any]] = {
    "text": _TEXTS,
    "boolean": st.one_of(st.none(), st.booleans()),
    "integer": st.one_of(st.none(), st.integers(-(2**53), 2**53)),
    "number": st.one_of(st.none(), st.floats(allow_nan=False)),
}
_DTYPES: dict[str, Any] = {
    "text": object,
    "boolean": "boolean",
    "integer": "Int64",
    "number": "Float64",
}


@st.composite
def frames(draw: st.DrawFn) -> tuple[str, pd.DataFrame]:
    """Return a table's name and a frame of its columns, or of some of them."""
    table = draw(st.sampled_from(sorted(schema.TABLES)))
    columns = draw(st.lists(st.sampled_from(schema.TABLES[table]), min_size=2, unique=True))
    count = draw(st.integers(0, 4))
    cells = {
        column.name: pd.Series(
            draw(st.lists(_CELLS[column.type], min_size=count, max_size=count)),
            dtype=_DTYPES[column.type],
        )
        for column in columns
    }
    return table, pd.DataFrame(cells)


@given(frames())
@settings(deadline=None)
def test_any_frame_reads_back_alike_from_every_format(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[str, pd.DataFrame]
) -> None:
    table, frame = drawn
    folder = tmp_path_factory.mktemp("export")
    written = exports.typed(frame, table)
    for name, to_bytes in exports.FORMATS.items():
        path = folder / f"{table}.{name}"
        path.write_bytes(to_bytes(written))
        read = exports.read_table(path)
        assert list(read) == list(schema.names(table))
        for column in read:
            given_cells = frame[column] if column in frame else [None] * len(frame)
            cells = [None if pd.isna(cell) else cell for cell in read[column]]
            assert cells == [None if pd.isna(cell) else cell for cell in given_cells]


def test_the_schema_is_that_of_what_a_run_writes(tmp_path: Path) -> None:
    assert schema.names("observations") == tuple(column.name for column in fields(Observation))
    with closing(Ledger(tmp_path / "ledger.db")):
        assert read_calls(tmp_path).columns.tolist() == list(schema.names("calls"))


def test_the_readme_lists_the_observations_columns() -> None:
    text = README.read_text(encoding="utf-8")
    table = text[text.index("`observations.csv` has these columns") :].split("\n\n")[1]
    told = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]  # fmt: skip
    assert told == list(schema.names("observations"))


def test_a_table_of_nothing_is_an_empty_line() -> None:
    assert csv_bytes(pd.DataFrame()) == b"\n"
    assert csv_bytes(pd.DataFrame(columns=["arm", 'a "name", odd'])) == b'arm,"a ""name"", odd"\n'


def test_an_unknown_format_is_refused(make_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="csv, parquet, jsonl"):
        reports.export(make_run(ANSWERS), "xlsx", tmp_path)


def test_a_ledger_that_is_missing_or_none_is_named(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    ledger = make_run(ANSWERS) / "ledger.db"
    ledger.write_bytes(b"no ledger at all" * 100)
    with pytest.raises(UserError, match=r"ledger\.db can't be read"):
        reports.export(ledger.parent, "csv", tmp_path)
    ledger.unlink()
    with pytest.raises(UserError, match=r"ledger\.db can't be read: the file is missing"):
        reports.export(ledger.parent, "csv", tmp_path)
    assert not ledger.exists()


def test_out_that_is_a_file_stops(make_run: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(Stopped, match="audit export"):
        reports.export(make_run(ANSWERS), "csv", tmp_path / "out")
