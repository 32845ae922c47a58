"""What was left out: on the first screen where it is much, with its reasons, and whose it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import reports
from reports import left_out
from reports.statistics import share_interval, wilson
from reports.tables import rejected_by_reason


@pytest.mark.parametrize(("errors", "first"), [(1, 0), (2, 1)])
def test_what_got_no_answer_comes_first_from_two_in_a_hundred_on(
    make_run: Callable[..., Path], errors: int, first: int
) -> None:
    probes = [{"outcome": "error"}] * errors + [{"score": 0.9}] * (70 - errors)
    data = reports.load(make_run({"control": probes}))
    table = data.tables["left_out"]
    row = table[table["kind"] == "errors"].iloc[0]
    assert (row["count"], row["of"]) == (errors, 70)
    assert row["ci_low"] < errors / 70 < row["ci_high"]
    assert left_out.is_much(table) == first
    told = left_out.words(table, rejected_by_reason(data.photos))
    assert told.startswith(f"Probes that failed: {errors} of 70")


def test_a_rejected_enrolment_is_a_share_of_what_was_sent(study_run: Path) -> None:
    table = reports.load(study_run).tables["left_out"]
    rows = table[table["kind"] == "enrol_rejected"]
    assert rows["of"].unique().tolist() == [71]
    assert table[table["kind"] == "rejected_files"][["count", "of"]].to_numpy().tolist() == [
        [1, 32]
    ]


def test_the_reasons_of_rejected_files_are_told_with_their_number(
    make_run: Callable[..., Path],
) -> None:
    reasons = ["no_face"] * 2 + ["unreadable", "too_small", "duplicate", "too_large"]
    files = [rejected("Ada", number, reason) for number, reason in enumerate(reasons)]
    page = reports.build(make_run({"control": [{"score": 0.9}] * 14}, rejected=files)).read_text()
    told = "files rejected: 6 of 20 (no face 2, duplicate 1, too large 1, too small 1, other reasons 1)."
    assert told in page
    assert page.index(told) < page.index("The scores in numbers")  # on the first screens


def test_rejected_files_are_told_by_person_with_their_reasons(
    make_run: Callable[..., Path],
) -> None:
    probes: list[dict[str, object]] = [{"score": 0.9, "number": number} for number in range(6)]
    probes += [{"score": 0.9, "number": number, "person": "Eve"} for number in range(6, 14)]
    files = [
        rejected("Ada", 1, "no_face"),
        rejected("Ada", 2, "unreadable"),
        rejected("Ada", 3, "unreadable"),
        *(rejected("a decoy", number, "no_face") for number in range(4)),
    ]
    run = make_run({"control": probes}, rejected=files)
    page = reports.build(run).read_text()
    table = reports.load(run).tables["rejected_by_person"]
    assert table["person"].tolist() == ["Ada", "a decoy"]
    assert table["protected"].tolist() == [True, False]
    assert table[["files", "rejected"]].to_numpy().tolist() == [[9, 3], [4, 4]]
    assert table["reasons"].tolist() == ["unreadable 2, no face 1", "no face 4"]
    assert (table["ci_low"][0], table["ci_high"][0]) == wilson(3, 9)
    assert "Rejected files by person" in page
    losses = reports.load(run).tables["left_out_by_person"]
    files_lost = losses[losses["kind"] == "rejected_files"][["person", "count", "of"]]
    assert files_lost.to_numpy().tolist() == [["Ada", 3, 9], ["Eve", 0, 8]]


def rejected(person: str, number: int, reason: str) -> dict[str, object]:
    return {"sha256": "", "person": person, "path": f"{person}/{number}.jpg", "role": "",
            "rejected": True, "reason": reason, "detail": "", "width": None, "height": None}  # fmt: skip


def test_the_interval_of_what_a_person_lost_goes_by_photos(make_run: Callable[..., Path]) -> None:
    """The same probe lost in each of three arms says no more than once."""
    ada = [{"outcome": "no_face", "number": 0}, *({"score": 0.9, "number": n} for n in range(1, 8))]
    eve = [{"score": 0.9, "number": 8 + n, "person": "Eve"} for n in range(4)]
    run = make_run({arm: [*ada, *eve] for arm in ("control", "a-min", "a-high")})
    table = reports.load(run).tables["left_out_by_person"]
    first, *_ = table[(table["person"] == "Ada") & (table["kind"] == "no_face")].to_dict("records")
    assert (first["count"], first["of"]) == (3, 24)
    ends = share_interval(np.array([3.0, *[0.0] * 7]), np.full(8, 3.0))
    assert (first["ci_low"], first["ci_high"]) == ends
    pooled = wilson(3, 24)
    assert pooled is not None
    assert first["ci_high"] - first["ci_low"] > pooled.high - pooled.low
    few = table[table["person"] == "Eve"]  # of under five photos there is no interval
    assert few[["ci_low", "ci_high"]].isna().all(axis=None)
