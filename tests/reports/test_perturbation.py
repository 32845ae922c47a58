"""Confidence against the size of the cloak, and what else a report tells of the cloaks."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import reports
from audit.types import Arm, Game, Targets
from reports import cloaking_time, perturbation
from reports.manifest import Manifest

LOW, HIGH = "fawkes-0.3-low", "fawkes-0.3-high"


def test_enrolled_cloaks_meet_the_scores_in_an_arm(make_run: Callable[..., Path]) -> None:
    scores = [{"score": 0.2 * number} for number in range(1, 5)] + [{"censored": True}]
    data = reports.load(make_run({"control": [{"score": 0.9}], LOW: scores, HIGH: []}))
    table = data.tables["perturbation"].set_index("arm")
    assert table.index.tolist() == ["control", LOW]  # no score, no point
    assert table.loc[["control"], ["photos", "dssim", "l2", "score"]].to_numpy().tolist() == [
        [0, 0, 0, 0.9]
    ]
    assert table.loc[LOW, "photos"] == 4
    assert table.loc[LOW, "dssim"] == pytest.approx(0.004 * 0.95)
    assert table.loc[LOW, "dssim_q1"] == pytest.approx(0.004 * 0.875)
    assert table.loc[LOW, "score"] == pytest.approx(0.5)


def test_a_cloaked_probe_has_its_own_cloak() -> None:
    control = Arm("control", Game.EVADE, "none", "none", None, 0.0)
    cloaked = Arm("low", Game.EVADE, "fawkes-0.3", "low", Targets.SAME, 1.0)
    arms = [{"arm": arm.name, "game": arm.game, "system": arm.system, "level": arm.level}
            for arm in (control, cloaked)]  # fmt: skip
    manifest = Manifest.model_validate(
        {"run_id": "r", "exit_state": "done", "service": {"provider": "azure"}, "arms": arms}
    )
    answers = pd.DataFrame(
        [(arm, f"p{number}", "Ada", score) for arm, scores in (("control", (0.9, 0.8)), ("low", (0.3, 0.6)))
         for number, score in enumerate(scores)],
        columns=["arm", "probe_sha256", "true_person", "true_score"],
    )  # fmt: skip
    cloaks = pd.DataFrame(
        [("p1", "Ada", "p1.png", 0.002, 100.0), ("p0", "Ada", "p0.png", 0.007, 300.0)],
        columns=["source_sha256", "person", "file", "dssim", "l2"],
    )
    table = perturbation.perturbation(answers, cloaks, manifest)
    low = table[table["arm"] == "low"].set_index("probe_sha256")
    assert low[["dssim", "l2", "score"]].T.to_dict("list") == {
        "p0": [0.007, 300.0, 0.3],
        "p1": [0.002, 100.0, 0.6],
    }
    assert table.loc[table["arm"] == "control", "dssim"].tolist() == [0.0, 0.0]


def test_start_ups_are_told_by_arm(make_run: Callable[..., Path]) -> None:
    run = make_run(
        {"control": [{}], HIGH: [{"score": 0.5}]},
        manifest={"cloaking_startup_s": {HIGH: [2.5, 1.5]}},
    )
    data = reports.load(run)
    assert data.tables["start_ups"].to_dict("list") == {
        "arm": [HIGH, HIGH],
        "number": [0, 1],
        "seconds": [2.5, 1.5],
    }
    drawn = cloaking_time.figure(data.cloaks, data.tables["start_ups"], "Seconds a photo")
    assert drawn is not None
    assert "Start-up: until a person&#39;s first step" in drawn.svg.replace("'", "&#39;")
