"""The published numbers are those of the papers, and stand beside the arm that they speak of."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from audit.errors import UserError
from audit.types import Arm, Game
from reports.compared_run import read_compared_runs
from reports.published_results import beside, read_study, setups

MakeRun = Callable[..., Path]
STUDIES = sorted(
    path.name.removesuffix(".csv")
    for path in (resources.files("reports") / "published").iterdir()
    if path.name.endswith(".csv")
)


def printed(study: str, quantity: str, **chosen: object) -> list[float]:
    facts = read_study(study).facts
    for name, value in (chosen | {"quantity": quantity}).items():
        facts = facts[facts[name] == value]
    values: list[float] = facts["value"].tolist()
    return values


def test_the_study_of_amsterdam_is_as_printed() -> None:
    main = {"variant": ""}
    assert printed("uva-2021", "mean_score", level="none") == [96.6]
    assert printed("uva-2021", "mean_score", level="min") == [93.1, 94.3, 96.1]
    assert printed("uva-2021", "mean_score", level="mid", **main) == [88.9, 92.6, 95.8]
    assert printed("uva-2021", "mean_score", level="high") == [79.3]
    assert printed("uva-2021", "min_score") == [74.9]
    assert set(printed("uva-2021", "identified")) == {31}
    assert len(printed("uva-2021", "identified")) == 9


def test_fawkes_table_4_is_as_printed() -> None:
    table = {"quantity": "protection_success_rate", "table": "Table 4"}
    for service, values in {
        "azure": [0, 100, 100],
        "rekognition": [0, 34.38, 100],
        "facepp": [0, 0, 100],
    }.items():
        assert printed("fawkes-2020", service=service, **table) == values


def test_ulixes_table_3_is_as_printed() -> None:
    assert printed("ulixes-2022", "identified_share", table="Table 3") == [96, 45, 90, 65]


@pytest.mark.parametrize("study", STUDIES)
def test_every_row_is_complete(study: str) -> None:
    facts = read_study(study).facts

    assert set(facts["service"]) <= {"azure", "rekognition", "facepp", "local"}
    assert set(facts["game"]) <= {"poison", "evade"}
    assert set(facts["targets"]) <= {"", "same", "separate"}
    assert facts["cloaked_fraction"].between(0, 1).all()
    assert facts["value"][facts["unit"] == "%"].between(0, 100).all()
    assert (facts["table"] != "").all()
    assert not facts.duplicated(subset=list(facts.columns.drop(["value", "note"]))).any()
    assert read_study(study).setup["game"] in {"poison", "evade"}


def test_every_system_is_one_that_can_be_run() -> None:
    from cloaker.levels import SYSTEMS

    for study in STUDIES:
        for fact in read_study(study).facts.to_dict("records"):
            if fact["system"] != "none":
                assert fact["level"] in {"", *SYSTEMS[fact["system"]].levels}


def test_an_unknown_study_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="uva-2021"):
        read_study("uva-2022")


def test_a_run_stands_beside_the_rows_of_its_arms(study_run: Path) -> None:
    rows = beside(read_study("uva-2021"), read_compared_runs([study_run])[0])
    means = rows[rows["quantity"] == "mean_score"].set_index("printed")

    assert means["arm"].to_dict() == {
        "no cloak": "control",
        "fawkes-0.3 min, same target": "fawkes-0.3-min",
        "fawkes-0.3 min, separate targets": "fawkes-0.3-min-separate",
        "fawkes-0.3 min, separate targets, 50 % cloaked": "fawkes-0.3-min-separate-half",
        "fawkes-0.3 mid, same target": "fawkes-0.3-mid",
        "fawkes-0.3 mid, separate targets": "",
        "fawkes-0.3 mid, 50 % cloaked": "",
        "fawkes-0.3 high, same target": "fawkes-0.3-high",
        "fawkes-0.3 mid, same target (with PubFig: 124 people)": "fawkes-0.3-mid",
    }
    assert means["published"]["fawkes-0.3 high, same target"] == pytest.approx(0.793)
    assert means["measured"]["fawkes-0.3 high, same target"] == pytest.approx(0.793, abs=0.02)
    assert means["difference"]["no cloak"] == pytest.approx(means["measured"]["no cloak"] - 0.966)
    assert pd.isna(means["difference"]["fawkes-0.3 mid, separate targets"])
    counts = rows[rows["quantity"] == "identified"].iloc[0]
    assert (counts["published"], counts["published_of"]) == (31, 31)
    assert (counts["measured"], counts["measured_of"]) == (31, 31)


def test_a_share_identified_is_what_the_protection_rate_leaves(make_run: MakeRun) -> None:
    control = Arm("control", Game.EVADE, "none", "none", None, 0.0)
    answers = [{"score": 0.9}, {"score": 0.8}, {"outcome": "no_match"}, {"outcome": "no_face"}]
    service = {"provider": "facepp", "name": "Face++"}
    run = make_run({control: answers}, manifest={"service": service})

    rows = beside(read_study("ulixes-2022"), read_compared_runs([run])[0]).set_index("printed")

    assert rows["measured"]["no cloak"] == pytest.approx(2 / 3)
    assert rows["difference"]["no cloak"] == pytest.approx(2 / 3 - 0.96)


def test_only_what_is_printed_about_the_run_s_service_stands_beside_it(study_run: Path) -> None:
    rows = beside(read_study("fawkes-2020"), read_compared_runs([study_run])[0])

    assert set(rows["service"]) == {"azure"}


def test_what_differs_in_the_set_up_is_told(study_run: Path) -> None:
    table = setups(read_study("uva-2021"), read_compared_runs([study_run])).set_index("aspect")

    assert not table["differs"]["Probes"]
    assert not table["differs"]["Other people in the gallery"]
    assert table["run"]["Who answered"] == (
        "the Azure Face emulator, recognition_04, net, 2024-05-01"
    )
    assert table["run"]["Threshold asked with"] == "0.5"
    assert table["differs"]["Who answered"]
