import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import reports
from reports import mistaken, tables
from reports.flat_files import csv_bytes
from reports.statistics import share_interval, wilson

SUMMARY_HEAD = (
    "arm,system,level,targets,cloaked_fraction,probes,identified,protection_success_rate,ci_low,"
    "ci_high,mean_score,median_score,min_score,max_score,censored,no_face,refused,errors,enrolled,"
    "enrol_rejected"
)


def rows_of(run: Path, name: str) -> list[dict[str, str]]:
    with (run / "report" / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_summary_has_the_columns_of_the_contract_and_an_arm_a_row(study_run: Path) -> None:
    rows = rows_of(study_run, "summary")
    assert ",".join(rows[0]) == SUMMARY_HEAD
    assert [row["arm"] for row in rows][:2] == ["control", "fawkes-0.3-min"]
    assert rows[0]["targets"] == ""
    assert rows[3]["cloaked_fraction"] == "0.5"


def test_only_probes_with_a_face_are_in_the_rate(study_run: Path) -> None:
    row = rows_of(study_run, "summary")[-1]
    counts = {name: int(row[name]) for name in ("probes", "identified", "censored", "no_face")}
    assert counts == {"probes": 31, "identified": 16, "censored": 11, "no_face": 2}
    assert (row["refused"], row["errors"], row["enrolled"]) == ("1", "1", "70")
    assert float(row["protection_success_rate"]) == pytest.approx(11 / 27)
    assert float(row["ci_low"]) == pytest.approx(0.2451, abs=1e-4)
    assert float(row["ci_high"]) == pytest.approx(0.5927, abs=1e-4)


def test_hidden_scores_are_left_out_of_every_score(make_run: Callable[..., Path]) -> None:
    hidden = {"outcome": "no_match", "censored": True}
    run = make_run({"control": [{"score": 0.9}, {"score": 0.7}, hidden, hidden]})
    row = reports.load(run).summary.iloc[0]
    assert row["mean_score"] == pytest.approx(0.8)
    assert (row["min_score"], row["max_score"], row["censored"]) == (0.7, 0.9, 2)
    assert row["protection_success_rate"] == 0.5


def test_an_arm_without_probes_has_counts_but_no_rate(make_run: Callable[..., Path]) -> None:
    run = make_run({"control": [{"score": 0.9}], "fawkes-0.3-high": []})
    reports.build(run)
    row = rows_of(run, "summary")[1]
    assert (row["probes"], row["identified"], row["protection_success_rate"]) == ("0", "0", "")
    assert (row["ci_low"], row["mean_score"]) == ("", "")


def test_each_level_stands_beside_the_control(study_run: Path) -> None:
    rows = rows_of(study_run, "by_level")
    labels = [row["label"] for row in rows if row["level"] == "Level min, fawkes-0.3"]
    assert labels == [
        "No cloak",
        "Same target",
        "Separate targets",
        "Separate targets, 50 % cloaked",
    ]
    assert (rows[0]["identified"], rows[0]["probes_with_face"]) == ("31", "31")


def test_changes_pair_each_probe_with_itself(make_run: Callable[..., Path]) -> None:
    control = [{"score": 0.9 - 0.1 * number} for number in range(6)]
    high: list[dict[str, object]] = [
        {"score": 0.7 - 0.1 * number, "number": number} for number in reversed(range(6))
    ]
    high[0] = {"censored": True, "outcome": "no_match", "number": 5}
    reports.build(run := make_run({"control": control, "fawkes-0.3-high": high}))
    (row,) = rows_of(run, "paired_changes")
    assert (row["pairs"], row["pairs_without_both_scores"]) == ("5", "1")
    assert float(row["median_change"]) == pytest.approx(-0.2)
    assert float(row["ci_low"]) == pytest.approx(-0.2)


def test_people_are_counted_apart(make_run: Callable[..., Path]) -> None:
    ada, eve = {"score": 0.9}, {"outcome": "no_match", "person": "Eve", "score": 0.2}
    reports.build(run := make_run({"control": [ada, ada, eve]}))
    rates = {row["person"]: row["protection_success_rate"] for row in rows_of(run, "by_person")}
    assert rates == {"Ada": "0", "Eve": "1"}


def test_what_each_person_lost_has_columns_rows_and_bars(make_run: Callable[..., Path]) -> None:
    ada = [{"score": 0.9, "number": 1}, {"outcome": "no_face", "number": 2}]
    eve = [{"score": 0.8, "person": "Eve", "number": number} for number in (3, 4)]
    outcomes = [("Ada", "no_face"), ("Ada", "enrolled"), ("Eve", "enrolled"), ("Eve", "open")]
    sent = [
        [arm, person, f"{number}" * 64, outcome, "", "", ""]
        for arm in ("control", "a-high")
        for number, (person, outcome) in enumerate(outcomes)
    ]
    run = make_run({"control": ada + eve, "a-high": ada + eve}, enrolment=sent)
    text = reports.build(run).read_text(encoding="utf-8")
    columns = ("person", "no_face", "refused", "errors", "enrolled", "enrol_rejected")
    assert [tuple(row[name] for name in columns) for row in rows_of(run, "by_person")] == [
        ("Ada", "1", "0", "0", "1", "1"),
        ("Eve", "0", "0", "0", "1", "0"),
    ] * 2
    lost = [row for row in rows_of(run, "left_out_by_person") if row["count"] != "0"]
    assert [list(row.values()) for row in lost] == [
        ["Ada", "no_face", "2", "4", "0.5", "", ""],
        ["Ada", "enrol_rejected", "2", "4", "0.5", "", ""],
    ]
    assert "The same by person, over all arms" in text


def test_what_a_single_person_lost_is_not_told_twice(study_run: Path) -> None:
    assert rows_of(study_run, "left_out_by_person") == []
    assert not (study_run / "report" / "figures" / "left_out_by_person.svg").exists()


def test_wrong_names_are_counted_most_often_first(make_run: Callable[..., Path]) -> None:
    names = ["Bo", "NA", "NA", "Cy"]
    probes = [{"outcome": "other_person", "top_person": name} for name in names]
    run = make_run({"control": probes, "a-high": probes[:1]})
    table = mistaken.mistaken_for(reports.load(run).observations)
    assert table["arm"].tolist() == ["control"] * 3 + ["a-high"]
    assert table["top_person"].tolist() == ["NA", "Bo", "Cy", "Bo"]
    assert table["probes"].tolist() == [2, 1, 1, 1]
    assert table["of"].tolist() == [4, 4, 4, 1]
    assert table["share"].tolist() == [0.5, 0.25, 0.25, 1.0]
    assert list(zip(table["ci_low"], table["ci_high"], strict=True)) == [
        *(wilson(2, 4), wilson(1, 4), wilson(1, 4), wilson(1, 1))
    ]


def test_of_several_people_the_intervals_of_a_wrong_name_go_by_people() -> None:
    rows = pd.DataFrame(
        [("Ada", "Bo", 5), ("Ada", "Cy", 1), ("Eve", "Cy", 2)],
        columns=["true_person", "top_person", "probes"],
    )
    faces = pd.Series({"Ada": 10.0, "Eve": 8.0, "Joan": 9.0})
    names = mistaken.named(rows, faces)
    assert names.index.tolist() == ["Bo", "Cy"]
    assert names["probes"].tolist() == [5, 3]
    low, high = share_interval(np.array([5.0, 0, 0]), np.array([10.0, 8, 9])) or (0, 0)
    assert (names["low"]["Bo"], names["high"]["Bo"]) == (27 * low, 27 * high)


def test_names_beyond_the_first_so_many_are_one_entry() -> None:
    rows = pd.DataFrame(
        [("Ada", f"name {number}", 9 - number) for number in range(8)],
        columns=["true_person", "top_person", "probes"],
    )
    names = mistaken.named(rows, pd.Series({"Ada": 50.0}))
    assert names.index.tolist() == [*(f"name {number}" for number in range(6)), "2 others"]
    assert names["probes"].tolist() == [9, 8, 7, 6, 5, 4, 5]
    ends = zip(names["low"] / 50, names["high"] / 50, strict=True)
    assert [pytest.approx(each) for each in ends][-1] == wilson(5, 50)


def test_cloaks_alike_are_told_apart_by_their_folder() -> None:
    keys = [["lowkey", "high", "a", "same"], ["lowkey", "high", "b", "same"], ["x", "y", ".", ""]]
    assert tables.cloak_titles(keys) == [
        "Level high, lowkey, same target (a)",
        "Level high, lowkey, same target (b)",
        "Level y, x",
    ]


def test_the_cloaking_table_holds_dssim_against_its_budget(study_run: Path) -> None:
    rows = {row["folder"]: row for row in rows_of(study_run, "cloaking")}
    row = rows["fawkes-0.3-min"]
    assert (row["photos"], row["budget"], row["over_budget"]) == ("4", "0.004", "1")
    assert float(row["dssim_max"]) == pytest.approx(0.0044)
    assert row["targets"] == "same"
    assert rows["fawkes-0.3-min-separate"]["targets"] == "separate"


def test_what_was_left_out_is_listed(study_run: Path) -> None:
    assert rows_of(study_run, "rejected")[0]["path"] == "Ada/<b>scan</b>.tif"
    lost = rows_of(study_run, "unanswered")
    assert [row["outcome"] for row in lost] == ["error", "no_face", "no_face", "refused"]
    assert all(re.fullmatch(r"Ada/[0-9a-f]{6}\.jpg", row["path"]) for row in lost)


def test_every_table_is_a_frame_too(study_run: Path) -> None:
    frames = reports.load(study_run).tables
    folder = study_run / "report" / "tables"
    assert {path.stem for path in folder.iterdir()} == set(frames)
    for name, frame in frames.items():
        assert csv_bytes(frame) == (folder / f"{name}.csv").read_bytes()
