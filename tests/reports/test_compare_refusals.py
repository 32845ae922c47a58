"""Runs that must not be compared are refused by what differs; what may differ is let through."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from audit.errors import UserError
from reports.comparability import differences
from reports.comparison import read_comparison

MakeRun = Callable[..., Path]
ANSWERS: Mapping[str, Any] = {
    "control": [{"score": 0.9}, {"score": 0.8}],
    "fawkes-0.3-high": [{"score": 0.7}, {"outcome": "no_match", "censored": True}],
}


def changed(run: Path, file: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every JSON object of a file."""
    path = run / file
    lines = path.read_text().splitlines() if file.endswith("jsonl") else [path.read_text()]
    rows = [json.loads(line) for line in lines]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def told(*runs: Path) -> list[str]:
    return [
        f"{each.what}: {each.how}" for each in differences(read_comparison(runs, force=True).runs)
    ]


@pytest.fixture
def two(make_runs: Callable[..., tuple[Path, ...]]) -> tuple[Path, Path]:
    first, second = make_runs(ANSWERS, ANSWERS)
    return first, second


def test_a_run_and_its_repetition_can_be_compared(two: tuple[Path, Path]) -> None:
    assert told(*two) == []
    assert [run.id for run in read_comparison(two[::-1], force=False).runs] == ["run-0", "run-1"]


def test_the_refusal_names_every_difference_and_the_way_on(two: tuple[Path, Path]) -> None:
    changed(two[1], "manifest.json", lambda notes: notes["service"].update(gallery="users"))
    changed(two[1], "photos.jsonl", lambda row: row.update(role="train"))

    with pytest.raises(UserError, match="--force") as refused:
        read_comparison(two, force=False)

    assert "run-1: split: Ada/" in str(refused.value)
    assert "run-1: gallery kind: users instead of the usual in run-0" in str(refused.value)


def test_another_photo_is_told_by_its_name(two: tuple[Path, Path]) -> None:
    lines = (two[1] / "photos.jsonl").read_text().splitlines()
    (two[1] / "photos.jsonl").write_text(lines[0] + "\n")
    lost = json.loads(lines[1])["path"]

    assert told(*two) == [f"photo set: lacks {lost}, compared with run-0"]
    assert told(*two[::-1]) == told(*two)


def test_a_photo_of_another_role_is_another_split(two: tuple[Path, Path]) -> None:
    changed(two[1], "photos.jsonl", lambda row: row.update(role="decoy"))

    (how,) = told(*two)
    assert how.startswith("split: Ada/")
    assert "is decoy, in run-0 probe" in how


def test_other_cloaked_bytes_are_told_by_photo(two: tuple[Path, Path]) -> None:
    changed(two[1], "cloaked/cloaks.jsonl", lambda row: row.update(cloaked_sha256="0" * 64))

    (how,) = told(*two)
    assert how.startswith(
        "cloaked bytes: 4 of 4 files of fawkes-0.3-high are others than in run-0: "
    )


def test_another_threshold_is_refused(two: tuple[Path, Path]) -> None:
    observations = two[1] / "observations.csv"
    observations.write_text(observations.read_text().replace(",0.0,", ",0.5,"))

    assert told(*two) == ["threshold: 0.5 instead of 0 in run-0"]


def test_other_arms_of_one_system_are_refused(
    make_runs: Callable[..., tuple[Path, ...]],
) -> None:
    more = {**ANSWERS, "fawkes-0.3-mid": ANSWERS["control"]}

    assert told(*make_runs(ANSWERS, more)) == ["arms: also has fawkes-0.3-mid, compared with run-0"]


def test_an_arm_of_other_content_is_refused(two: tuple[Path, Path]) -> None:
    changed(two[1], "manifest.json", lambda notes: notes["arms"][1].update(cloaked_fraction=0.5))

    assert told(*two) == ["arm fawkes-0.3-high: cloaked_fraction is 0.5 instead of 1.0 in run-0"]


@pytest.mark.parametrize(
    ("setting", "now", "before"),
    [
        ("verify_photos", 3, 1),
        ("quality_filter", '"AUTO"', '"NONE"'),
        ("fit_photos", "false", "true"),
    ],
)
def test_another_setting_of_the_adapter_is_refused(
    two: tuple[Path, Path], setting: str, now: object, before: object
) -> None:
    for run, value in zip(two, (before, now), strict=True):
        with (run / "experiment.toml").open("a") as file:
            file.write(f"{setting} = {value}\n")

    (how,) = told(*two)
    assert how.startswith(f"setting {setting}: ")
    assert how.endswith(" in run-0")


@pytest.mark.parametrize("key", ["api_version", "region", "matching"])
def test_another_way_of_asking_the_service_is_refused(two: tuple[Path, Path], key: str) -> None:
    changed(two[0], "manifest.json", lambda notes: notes["service"].update({key: "this"}))
    changed(two[1], "manifest.json", lambda notes: notes["service"].update({key: "that"}))

    assert told(*two) == [f"setting {key}: that instead of this in run-0"]


def test_a_setting_that_an_older_run_did_not_write_down_is_not_held_against_it(
    two: tuple[Path, Path],
) -> None:
    with (two[1] / "experiment.toml").open("a") as file:
        file.write("verify_photos = 1\n")

    assert told(*two) == []


@pytest.mark.parametrize("key", ["service_model", "recogniser", "tier", "account"])
def test_the_service_s_model_and_plan_may_differ(two: tuple[Path, Path], key: str) -> None:
    changed(two[1], "manifest.json", lambda notes: notes["service"].update({key: "another"}))

    assert told(*two) == []


def test_another_service_and_another_system_may_stand_beside(
    make_runs: Callable[..., tuple[Path, ...]],
) -> None:
    lowkey = {"control": ANSWERS["control"], "lowkey-high": ANSWERS["control"]}
    runs = make_runs(ANSWERS, ANSWERS, lowkey)
    changed(
        runs[1], "manifest.json",
        lambda notes: notes["service"].update(provider="facepp", name="Face++", api_version="v3"),
    )  # fmt: skip

    assert told(*runs) == []


def test_one_run_twice_is_no_comparison(two: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="run-0 is named twice"):
        read_comparison([two[0], two[0]], force=True)


@pytest.mark.parametrize("usual", [None, ""])
def test_the_usual_gallery_is_one_however_it_is_written(
    two: tuple[Path, Path], usual: str | None
) -> None:
    changed(two[1], "manifest.json", lambda notes: notes["service"].update(gallery=usual))
    assert told(*two) == []
