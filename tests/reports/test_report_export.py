import csv
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import reports
from audit.errors import Stopped, UserError

ANSWERS = {"control": [{"score": 0.9, "person": "NA"}, {"censored": True, "outcome": "no_match"}]}


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
    assert rows[1]["true_score"] == ""
    assert calls.read_text() == "seq,arm,state\n1,control,done\n2,,failed\n"


def test_jsonl_is_one_object_a_line(make_run: Callable[..., Path], tmp_path: Path) -> None:
    observations, calls, *_ = reports.export(make_run(ANSWERS), "jsonl", tmp_path)
    rows = [json.loads(line) for line in observations.read_text().splitlines()]
    assert (rows[0]["true_score"], rows[1]["true_score"]) == (0.9, None)
    assert json.loads(calls.read_text().splitlines()[1]) == {
        "seq": 2,
        "arm": None,
        "state": "failed",
    }


def test_parquet_reads_back(make_run: Callable[..., Path], tmp_path: Path) -> None:
    observations, *_ = reports.export(make_run(ANSWERS), "parquet", tmp_path)
    frame = pd.read_parquet(observations)
    assert frame["true_person"].tolist() == ["NA", "Ada"]
    assert frame["censored"].tolist() == [False, True]


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_enrolment_and_changed_uploads_are_tables_too(
    make_run: Callable[..., Path], tmp_path: Path, file_format: str
) -> None:
    read: dict[str, Callable[[Path], pd.DataFrame]] = {
        "csv": pd.read_csv,
        "jsonl": lambda path: pd.read_json(path, lines=True),
        "parquet": pd.read_parquet,
    }
    run = make_run(
        ANSWERS,
        enrolment=[["control", "NA", "1" * 64, "refused", "TooDark", "", ""]],
        changed_uploads=[["control", "1" * 64, "2" * 64, "900", "encoded as PNG"]],
    )
    *_, enrolment, changed = reports.export(run, file_format, tmp_path)
    assert (enrolment.stem, changed.stem) == ("enrolment", "changed_uploads")
    assert read[file_format](enrolment)["code"].tolist() == ["TooDark"]
    assert read[file_format](changed)["bytes"].tolist() == [900]


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
