"""The page of a comparison: whole, reproducible, and nothing forced goes unsaid."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reports

MakeRuns = Callable[..., tuple[Path, ...]]


def answers(seed: int, drop: float = 0.0) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    draw = np.random.default_rng(seed)
    means = {"control": 0.93 - drop, "fawkes-0.3-high": 0.72 - drop, "lowkey-high": 0.5}
    return {
        arm: [{"score": score} for score in draw.normal(mean, 0.02, 31).round(5).tolist()]
        for arm, mean in means.items()
    }


@pytest.fixture
def two(make_runs: MakeRuns) -> Sequence[Path]:
    return make_runs(answers(1), answers(1, drop=0.05))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_page_is_whole_and_asks_for_nothing(two: Sequence[Path], tmp_path: Path) -> None:
    found = reports.compare(two, tmp_path / "out", against=["uva-2021"])

    page = found.page.read_text()
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    assert "{{" not in page
    for sentence in found.sentences:
        assert sentence.replace("'", "&#39;") in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert [name for name in files(tmp_path / "out") if name.startswith("figures/")] == [
        "figures/changes.png",
        "figures/changes.svg",
        "figures/published_uva-2021.png",
        "figures/published_uva-2021.svg",
    ]


def test_the_page_says_from_where_on_a_change_is_claimed(
    two: Sequence[Path], tmp_path: Path
) -> None:
    page = reports.compare(two, tmp_path / "out").page.read_text()
    assert "claimed where p is below 0.035, the interval excludes 0" in page
    assert "at most 3.5 in 100 claim one that there isn&#39;t" in page
    assert "Hodges and Lehmann&#39;s shift over the probes, of one person" in page


def test_equal_runs_give_equal_bytes_in_any_order_and_place(
    two: Sequence[Path], tmp_path: Path
) -> None:
    reports.compare(two, tmp_path / "first")
    reports.compare(two[::-1], tmp_path / "second")

    assert files(tmp_path / "first") == files(tmp_path / "second")


def test_what_is_forced_is_printed_into_the_report(make_runs: MakeRuns, tmp_path: Path) -> None:
    more = {**answers(1), "fawkes-0.3-mid": answers(2)["control"]}

    found = reports.compare(make_runs(answers(1), more), tmp_path / "out", force=True)

    page = found.page.read_text()
    assert "Forced: " in page
    assert "run-1: arms: also has fawkes-0.3-mid, compared with run-0" in page


def test_many_runs_have_a_trend_and_the_changes_of_model(
    make_runs: MakeRuns, tmp_path: Path
) -> None:
    models = [{"service_model": f"v{1 + (number > 4)}"} for number in range(10)]
    given = [answers(number, drop=0.1 * (number > 4)) for number in range(10)]

    found = reports.compare(make_runs(*given, services=models), tmp_path / "out")

    assert {"trend_score", "trend_rate"} <= {path.stem for path in tmp_path.rglob("*.svg")}
    trend = found.tables["trend"]
    assert trend["run"][trend["model_changed"]].unique().tolist() == ["run-5"]
    assert len(trend) == 30
    # Ten runs in two even halves: the clearest that ten can be, and told of both arms that moved.
    shifts = found.tables["shifts"]
    assert set(shifts["run"]) <= {"run-5"}


def test_services_and_systems_stand_in_one_matrix(make_runs: MakeRuns, tmp_path: Path) -> None:
    facepp = {"provider": "facepp", "name": "Face++", "emulated": False, "recogniser": ""}
    runs = make_runs(answers(1), answers(2), services=[{}, facepp])

    found = reports.compare(runs, tmp_path / "out")

    assert found.sentences == ()
    page = found.page.read_text()
    assert "Systems and services" in page
    for heading in ("Face++", "the Azure Face emulator", "lowkey high, same target"):
        assert heading in page
    assert sorted(found.tables["matrix"]["service"].unique()) == [
        "Face++",
        "the Azure Face emulator",
    ]


def test_one_run_stands_beside_a_study(two: Sequence[Path], tmp_path: Path) -> None:
    found = reports.compare(two[:1], tmp_path / "out", against=["uva-2021", "ulixes-2022"])

    page = found.page.read_text()
    assert "Beside An exploration of the suitability of Fawkes" in page
    for number in ("96.6 %", "93.1 %", "94.3 %", "96.1 %", "88.9 %", "92.6 %", "95.8 %", "79.3 %"):
        assert number in page
    assert "not in this run" in page
    with (tmp_path / "out" / "tables" / "published_uva-2021.csv").open() as file:
        means = [row for row in csv.DictReader(file) if row["quantity"] == "mean_score"]
    assert next(row["published"] for row in means) == "0.966"


def test_what_was_found_is_also_json(two: Sequence[Path], tmp_path: Path) -> None:
    told = json.loads(reports.compare(two, tmp_path / "out").to_json())

    assert told["page"] == str(tmp_path / "out" / "index.html")
    assert [row["arm"] for row in told["changes"]] == [
        "control",
        "fawkes-0.3-high",
        "lowkey-high",
    ]
    assert told["changes"][0]["beyond"] is None
    assert told["changes"][0]["change"] == pytest.approx(-0.05)
