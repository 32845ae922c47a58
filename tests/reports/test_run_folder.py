import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import reports
from audit.errors import UserError
from reports import run_folder

ENROLMENT = ("arm", "person", "photo_sha256", "outcome", "code", "reason", "note")
CHANGED_UPLOADS = ("arm", "photo", "uploaded_sha256", "bytes", "change")

PLAIN = {"control": [{"score": 0.9}]}


def test_a_run_is_read_with_types(make_run: Callable[..., Path]) -> None:
    data = reports.load(make_run({"control": [{"score": 0.9}, {"censored": True}]}))
    assert data.observations["censored"].tolist() == [False, True]
    assert data.observations["true_score"].isna().tolist() == [False, True]
    assert data.observations["level"].tolist() == ["none", "none"]
    assert data.manifest.control.enrolled == 70
    assert len(data.photos) == 2
    assert data.cloaks.empty


@pytest.mark.parametrize(
    "name", ["manifest.json", "experiment.toml", "photos.jsonl", "observations.csv"]
)
def test_a_missing_file_is_named(make_run: Callable[..., Path], name: str) -> None:
    run = make_run(PLAIN)
    (run / name).unlink()
    with pytest.raises(UserError, match=rf"{name} is missing"):
        reports.load(run)


def test_no_run_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        reports.build(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("manifest.json", '"arms"', '"arm"', "arms: Field required"),
        ("manifest.json", '"level": "none"', '"level": "low"', "no control arm"),
        ("manifest.json", "{", "[", "is not JSON"),
        ("photos.jsonl", '"reason"', '"because"', "row 1 has no reason"),
        ("photos.jsonl", "}", "", "line 1 is not JSON"),
        ("observations.csv", "true_score,", "score,", "no column true_score"),
        ("observations.csv", ",match,", ",maybe,", "column outcome holds maybe"),
        ("observations.csv", ",0.9,", ",1.9,", "column true_score leaves 0..1"),
        ("observations.csv", ",0.9,", ",many,", "column true_score"),
        ("observations.csv", ",false,", ",perhaps,", "column censored"),
        ("observations.csv", ",false,", ",true,", "censored and has a true_score"),
        ("observations.csv", ",control,", ",other,", "arm other is not in manifest"),
        ("observations.csv", ",Ada,match", ',"Ada,match', "can't be used"),
    ],
)
def test_a_broken_file_is_named(
    make_run: Callable[..., Path], name: str, old: str, new: str, why: str
) -> None:
    run = make_run(PLAIN)
    text = (run / name).read_text(encoding="utf-8")
    assert old in text
    (run / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=name) as error:
        reports.load(run)
    assert why in str(error.value)


def test_a_folder_of_before_enrolment_was_written_is_read(make_run: Callable[..., Path]) -> None:
    run = make_run(PLAIN)
    observations = run / "observations.csv"
    frame = pd.read_csv(observations, dtype=str, keep_default_na=False)
    frame.drop(columns="service_thresholds").to_csv(observations, index=False)
    (run / "changed_uploads.csv").write_text("")
    data = reports.load(run)
    assert data.observations["service_thresholds"].tolist() == [""]
    assert (data.enrolment.empty, data.changed_uploads.empty) == (True, True)
    assert "Enrolment" not in reports.build(run).read_text(encoding="utf-8")
    tables = run / "report" / "tables"
    assert (tables / "enrolment.csv").read_text() == f"{','.join(ENROLMENT)}\n"
    assert (tables / "changed_uploads.csv").read_text() == f"{','.join(CHANGED_UPLOADS)}\n"


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("enrolment.csv", "reason,", "because,", "no column reason"),
        ("enrolment.csv", "control,", "other,", "arm other is not in manifest"),
        ("changed_uploads.csv", ",900,", ",many,", "column bytes"),
        ("changed_uploads.csv", ",900,", ',"900,', "can't be used"),
    ],
)
def test_a_broken_table_of_uploads_is_named(
    make_run: Callable[..., Path], name: str, old: str, new: str, why: str
) -> None:
    run = make_run(
        PLAIN,
        enrolment=[["control", "Ada", "1" * 64, "enrolled", "", "", ""]],
        changed_uploads=[["control", "1" * 64, "2" * 64, "900", "encoded as PNG"]],
    )
    text = (run / name).read_text(encoding="utf-8")
    (run / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=name) as error:
        reports.load(run)
    assert why in str(error.value)


def test_a_probe_counted_twice_is_refused(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [{"number": 1}, {"number": 1}]})
    with pytest.raises(UserError, match="a probe stands twice in one arm"):
        reports.load(run)


def test_unknown_keys_of_a_manifest_do_no_harm(make_run: Callable[..., Path]) -> None:
    run = make_run(PLAIN, manifest={"later": {"deep": {"er": [1, True, None]}}})
    assert "deep.er" in reports.build(run).read_text(encoding="utf-8")
    assert json.loads((run / "manifest.json").read_text())["later"]


def test_lists_read_at_once_and_line_by_line_are_equal(study_run: Path) -> None:
    at_once = reports.load(study_run)
    line_by_line = pd.DataFrame(run_folder.read_cloaks(study_run))
    columns = list(run_folder.CLOAK_COLUMNS)
    pd.testing.assert_frame_equal(
        at_once.cloaks[columns], line_by_line[columns], check_dtype=False, check_exact=True
    )
    photos = pd.DataFrame(run_folder.read_photos(study_run))[list(run_folder.PHOTO_COLUMNS)]
    pd.testing.assert_frame_equal(at_once.photos[photos.columns.tolist()], photos)


def test_what_looks_like_a_date_stays_text_and_null_stays_missing(
    make_run: Callable[..., Path],
) -> None:
    run = make_run(PLAIN)
    lines = (run / "photos.jsonl").read_text(encoding="utf-8").splitlines()
    row = {**json.loads(lines[0]), "person": "2024-05-01", "reason": "", "detail": "12"}
    (run / "photos.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    photos = reports.load(run).photos
    assert (photos["person"].tolist(), photos["detail"].tolist()) == (["2024-05-01"], ["12"])
    (run / "photos.jsonl").write_text(json.dumps({**row, "person": None}) + "\n", encoding="utf-8")
    assert reports.load(run).photos["person"].isna().tolist() == [True]
