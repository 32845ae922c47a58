"""`audit evaluate` on bundled people: sane in both directions, complete, refusing what can't be."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import called
from tests.readers import rows

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [6] * 8
SELECT = ("--protected", "2", "--seed", "1")


@pytest.fixture(scope="module")
def tables(people: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """One evaluation for all tests: noise and a real cloak, cloaked on one network, judged by two."""
    out = tmp_path_factory.mktemp("out") / "evaluation"
    command = [
        *("evaluate", str(people), "--out", str(out), *SELECT, "--json", "--quiet"),
        *("--network", "bundled-conv", "--judge", "bundled-mixer"),
        *("--system", "noise-gaussian", "--system", "fawkes-1.0", "--level", "high"),
        *("--set", "steps=40"),
    ]
    found: dict[str, list[Any]] = {"printed": json.loads(called(*command)), "out": [out]}
    for file in out.glob("*.csv"):
        found[file.stem] = rows(file)
    return found


def rates(tables: dict[str, list[Any]], system: str, judge: str, game: str) -> list[float]:
    return [
        float(row["protection_rate"])
        for row in tables["transfer"]
        if (row["system"], row["judged_by"], row["game"]) == (system, judge, game)
    ]


@pytest.mark.parametrize("judge", ["bundled-conv", "bundled-mixer"])
@pytest.mark.parametrize("game", ["poison", "evade"])
@pytest.mark.parametrize("system", ["none", "noise-gaussian"])
def test_neither_nothing_nor_noise_protects_anybody(
    tables: dict[str, list[Any]], system: str, judge: str, game: str
) -> None:
    assert rates(tables, system, judge, game) == [0.0, 0.0]


@pytest.mark.parametrize("game", ["poison", "evade"])
def test_a_cloak_protects_nearly_always_from_the_network_it_was_made_on(
    tables: dict[str, list[Any]], game: str
) -> None:
    assert min(rates(tables, "fawkes-1.0", "bundled-conv", game)) >= 0.8


def test_cloaked_photos_no_longer_match_leave_their_cluster_and_are_noticed(
    tables: dict[str, list[Any]],
) -> None:
    def of(table: str, column: str, system: str, **where: str) -> float:
        [row] = [
            row
            for row in tables[table]
            if (row["system"], row["judged_by"]) == (system, "bundled-conv")
            and all(row[key] == value for key, value in where.items())
        ]
        return float(row[column])

    for table, column, where in [
        ("verification", "true_match_rate", {"false_match_rate": "0.01"}),
        ("verification", "accuracy", {"false_match_rate": "0.01"}),
        ("clustering", "cluster_accuracy", {"stop": "people"}),
    ]:
        clean, noise, cloaked = (
            of(table, column, system, **where)
            for system in ("none", "noise-gaussian", "fawkes-1.0")
        )
        assert abs(clean - noise) <= 0.05
        assert cloaked < clean - 0.3
    assert of("clustering", "left", "none", stop="own distance") == 0
    assert of("clustering", "left_rate", "fawkes-1.0", stop="own distance") >= 0.8
    gap = {s: of("detection", "deviations", s, method="two means") for s in ("none", "fawkes-1.0")}
    assert gap["fawkes-1.0"] > gap["none"] + 2


def test_every_table_has_the_control_and_intervals_and_the_whole_is_told(
    tables: dict[str, list[Any]],
) -> None:
    for name in ("transfer", "verification", "clustering", "mixtures", "detection", "roc"):
        assert {row["system"] for row in tables[name]} == {"none", "noise-gaussian", "fawkes-1.0"}
    for row in tables["transfer"]:
        assert float(row["protection_rate_low"]) <= float(row["protection_rate"])
        assert float(row["protection_rate"]) <= float(row["protection_rate_high"])
        assert int(row["probes"]) == int(row["within_1"]) + int(row["protected"])
        assert int(row["probes"]) + int(row["no_face"]) == 6
    assert len(tables["printed"]) == 6
    told = json.loads((tables["out"][0] / "evaluation.json").read_text())
    assert told["manifest"]["photos"]["decoy"] == {"people": 6, "photos": 36}
    assert set(told["manifest"]["weights"]) == {"bundled-conv", "bundled-mixer"}
    assert told["manifest"]["cloaks"]["fawkes-1.0-high"]["steps"] == 40
    assert [float(row["accuracy"]) > 0.9 for row in tables["clean_pairs"]] == [True, True]


def test_the_more_photos_are_cloaked_the_less_people_come_together(
    tables: dict[str, list[Any]],
) -> None:
    def accuracies(system: str) -> dict[str, float]:
        return {
            row["share"]: float(row["cluster_accuracy"])
            for row in tables["mixtures"]
            if (row["system"], row["judged_by"], row["stop"]) == (system, "bundled-conv", "people")
        }

    assert accuracies("none") == {"0.0": 1.0}
    assert accuracies("noise-gaussian") == {"0.0": 1.0, "0.1": 1.0, "0.5": 1.0, "1.0": 1.0}
    cloaked = accuracies("fawkes-1.0")
    assert cloaked["0.0"] == 1.0
    assert cloaked["0.5"] < 0.9
    draws = {row["share"]: row["draws"] for row in tables["mixtures"] if row["system"] != "none"}
    assert draws == {"0.0": "1", "0.1": "10", "0.5": "10", "1.0": "1"}


def test_the_same_again_is_nothing_new(
    tables: dict[str, list[Any]], people: Path, audit_here: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr("cloaker.survey.Surveyor._look", never)
    done = audit_here(
        *("evaluate", people, "--out", "again", *SELECT, "--json", "--quiet"),
        *("--network", "bundled-conv", "--judge", "bundled-mixer", "--system", "noise-gaussian"),
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert [row for row in tables["printed"] if row["system"] != "fawkes-1.0"] == printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--system", "foggysight"], "cloaks other people's photos"),
        (["--network", "nonesuch"], "unknown network: nonesuch"),
        (["--person", "nobody"], "nobody in"),
        (["--system", "nonesuch"], "nonesuch"),
        (["--decoys", "1", "--protected", "2"], "too few for pairs"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_message(
    people: Path, audit_here: Audit, arguments: list[str], said: str
) -> None:
    done = audit_here(
        "evaluate", people, "--out", "o", "--quiet", "--network", "bundled-conv", *arguments,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
