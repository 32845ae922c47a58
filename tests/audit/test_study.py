"""Built-in studies: their arms, and one of them in small on generated people."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import study
from audit.errors import UserError
from audit.experiment import Experiment, read_toml, resolve, to_toml
from audit.types import Targets
from datasets import generated
from tests.command_line import called, figures_left_out
from tests.readers import jsonl

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [15, 4, 4, 4, 4, 4]
UVA_ARMS = [
    ("control", None, 0.0),
    ("fawkes-0.3-min", "same", 1.0),
    ("fawkes-0.3-min-separate", "separate", 1.0),
    ("fawkes-0.3-min-separate-50pc", "separate", 0.5),
    ("fawkes-0.3-mid", "same", 1.0),
    ("fawkes-0.3-mid-separate", "separate", 1.0),
    ("fawkes-0.3-mid-separate-50pc", "separate", 0.5),
    ("fawkes-0.3-high", "same", 1.0),
]
ARM = {"system": "fawkes-0.3", "level": "min"}


def uva(given: dict[str, Any], file: Path | None = None) -> Experiment:
    [run] = study.read("uva-2021", given, file).runs
    return run.experiment


def test_the_amsterdam_study_has_the_arms_of_its_tables(tmp_path: Path) -> None:
    told = uva({"emulate": True})
    assert [(arm.name, arm.targets, arm.cloaked_fraction) for arm in told.arms()] == UVA_ARMS
    assert (told.provider, told.train, told.probes, told.decoys) == ("azure", 70, 31, 40)
    file = tmp_path / "experiment.toml"
    file.write_text(to_toml(told), encoding="utf-8")
    assert resolve(None, read_toml(file)) == told


def test_flags_win_over_a_file_and_a_file_over_a_study(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("train = 20\ndecoys = 7\n")
    told = uva({"decoys": 8}, file)
    assert (told.train, told.decoys, told.probes) == (20, 8, 31)


def test_arms_told_one_by_one_have_their_own_levels() -> None:
    with pytest.raises(
        UserError, match="leave out cloaked_fraction, leaked, level, sybils, system, targets"
    ):
        resolve(None, {"provider": "mock", "level": ("high",), "arm": [ARM]})


def test_a_level_that_is_told_twice_is_one_arm() -> None:
    experiment = resolve(None, {"provider": "mock", "arm": [ARM, ARM | {"targets": "same"}]})
    assert [arm.targets for arm in experiment.arms()] == [None, Targets.SAME]


def test_an_unknown_study_is_refused() -> None:
    with pytest.raises(UserError, match="no study 'mit-1999'"):
        study.read("mit-1999", {})


@pytest.fixture(scope="module")
def study_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    generated.write_people(folder / "people", len(PEOPLE), PEOPLE.__getitem__)
    small = ("--train", "8", "--probes", "5", "--decoys", "4")
    # As fast as the lowest level learns: at the pace of `high`, twelve steps move nothing.
    fast = ("--set", "steps=12", "--set", "learning_rate=40")
    people = ("--photos", str(folder / "people"), "--person", "person-000")
    where = ("--runs", str(folder), "--out", "uva", "--quiet")
    with figures_left_out():
        called("run", "--study", "uva-2021", "--emulate", *people, *small, *fast, *where)
    return folder / "uva"


def test_half_an_arm_has_the_very_files_of_the_whole_one(study_run: Path) -> None:
    by_arm: dict[str, dict[str, str]] = {}
    for row in jsonl(study_run / "cloaked" / "cloaks.jsonl"):
        arm = row["file"].split("/")[0]
        by_arm.setdefault(arm, {})[row["source_sha256"]] = row["cloaked_sha256"]
    assert {name: len(files) for name, files in by_arm.items()} == {
        name: 8 * fraction for name, _, fraction in UVA_ARMS if name != "control"
    }
    for level in ("min", "mid"):
        whole = by_arm[f"fawkes-0.3-{level}-separate"]
        assert by_arm[f"fawkes-0.3-{level}-separate-50pc"].items() < whole.items()
        assert not whole.items() & by_arm[f"fawkes-0.3-{level}"].items()


def test_the_study_in_small_points_where_the_paper_does(study_run: Path) -> None:
    with (study_run / "report" / "tables" / "summary.csv").open(encoding="utf-8") as text:
        rows = {row["arm"]: row for row in csv.DictReader(text)}
    assert [row["targets"] or None for row in rows.values()] == [arm[1] for arm in UVA_ARMS]
    mean = {name: float(row["mean_score"]) for name, row in rows.items()}
    for level in ("min", "mid"):
        whole, half = (
            mean[f"fawkes-0.3-{level}-separate"],
            mean[f"fawkes-0.3-{level}-separate-50pc"],
        )
        assert whole < half <= mean["control"]
    assert mean["fawkes-0.3-high"] < mean["fawkes-0.3-mid"] < mean["control"]
    assert {row["identified"] for row in rows.values()} == {"5"}


def test_the_study_stands_beside_its_paper(study_run: Path) -> None:
    folder = study_run.parent / "studies" / "uva"
    with (folder / "tables" / "published.csv").open(encoding="utf-8") as text:
        rows = [row for row in csv.DictReader(text) if row["quantity"] == "mean_score"]
    printed = {
        row["arm"]: float(row["published"]) for row in rows if "PubFig" not in row["printed"]
    }
    assert printed == {
        "control": 0.966,
        "fawkes-0.3-min": 0.931,
        "fawkes-0.3-min-separate": 0.943,
        "fawkes-0.3-min-separate-50pc": 0.961,
        "fawkes-0.3-mid": 0.889,
        "fawkes-0.3-mid-separate": 0.926,
        "fawkes-0.3-mid-separate-50pc": 0.958,
        "fawkes-0.3-high": 0.793,
    }
    assert all(0 < float(row["measured"]) < 1 for row in rows)
    with (folder / "tables" / "findings.csv").open(encoding="utf-8") as text:
        holds = {(row["left"], row["right"]): row["holds"] for row in csv.DictReader(text)}
    # Which people are targets decides more, in so few steps, than whether all photos share one.
    del holds["/fawkes-0.3-mid", "/fawkes-0.3-mid-separate"]
    assert set(holds.values()) == {"yes", "points that way"}


@pytest.mark.usefixtures("without_figures")
def test_a_study_goes_on_with_its_files_when_it_is_resumed(study_run: Path) -> None:
    before = (study_run / "observations.csv").read_bytes()
    called("resume", str(study_run), "--runs", str(study_run.parent), "--quiet")
    assert (study_run / "observations.csv").read_bytes() == before
