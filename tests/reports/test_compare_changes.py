"""Changes between runs: a hand-worked difference in differences, and each case's right sentence."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.compare_changes import changes
from reports.compare_states import states
from reports.compare_tables import trend
from reports.compare_wording import sentences
from reports.comparison import read_comparison

MakeRuns = Callable[..., tuple[Path, ...]]
Answers = Mapping[str, Sequence[Mapping[str, Any]]]


def scored(*scores: float) -> list[dict[str, Any]]:
    return [{"score": score} for score in scores]


def table_of(runs: Sequence[Path]) -> pd.DataFrame:
    return changes(read_comparison(runs, force=False)).set_index("arm")


HAND_BEFORE = {
    "control": scored(0.90, 0.80, 0.95, 0.85, 0.90, 0.70),
    "fawkes-0.3-high": scored(0.70, 0.60, 0.75, 0.65, 0.70, 0.50),
}
HAND_AFTER = {
    "control": scored(0.80, 0.70, 0.85, 0.75, 0.80, 0.60),  # each 0.10 less
    "fawkes-0.3-high": scored(0.65, 0.55, 0.70, 0.60, 0.65, 0.51),  # 0.05 less, the last 0.01 more
}


def test_the_difference_in_differences_is_as_worked_by_hand(make_runs: MakeRuns) -> None:
    table = table_of(make_runs(HAND_BEFORE, HAND_AFTER))
    control, cloaked = table.loc["control"], table.loc["fawkes-0.3-high"]

    assert control["change"] == pytest.approx(-0.10)
    assert table["beyond"].isna().tolist() == [True, False]
    assert (cloaked["pairs"], cloaked["beyond_pairs"]) == (6, 6)
    assert cloaked["change_mean"] == pytest.approx((5 * -0.05 + 0.01) / 6)
    assert cloaked["beyond_mean"] == pytest.approx((5 * 0.05 + 0.11) / 6)
    # Of the means of all pairs of six, 15 are of two that are alike: so is the one in the middle.
    assert cloaked["change"] == pytest.approx(-0.05)
    assert cloaked["beyond"] == pytest.approx(0.05)
    # Of six, the exact test rejects only what lies beyond all of them.
    assert cloaked["beyond_low"] == pytest.approx(0.05)
    assert cloaked["beyond_high"] == pytest.approx(0.11)


def test_holm_is_over_every_test_of_the_page(make_runs: MakeRuns) -> None:
    table = table_of(make_runs(HAND_BEFORE, HAND_AFTER))

    # Exact signed-rank tests of six: all of one sign 2/2**6, with the smallest against 4/2**6.
    assert table["p"]["control"] == pytest.approx(3 * 2 / 2**6)
    assert table["beyond_p"]["fawkes-0.3-high"] == pytest.approx(3 * 2 / 2**6)
    assert table["p"]["fawkes-0.3-high"] == pytest.approx(3 * 2 / 2**6)
    assert table["rate_p"].isna().all()


def test_recognition_is_compared_where_a_face_was_found_both_times(make_runs: MakeRuns) -> None:
    hit, miss, none = {"score": 0.9}, {"outcome": "no_match", "score": 0.2}, {"outcome": "no_face"}
    before = {"control": [hit] * 8, "fawkes-0.3-high": [hit, hit, hit, hit, hit, hit, miss, none]}
    after = {
        "control": [hit] * 8,
        "fawkes-0.3-high": [miss, miss, miss, miss, miss, miss, hit, hit],
    }

    row = table_of(make_runs(before, after)).loc["fawkes-0.3-high"]

    assert (row["asked"], row["identified_before"], row["identified_after"]) == (7, 6, 1)
    assert (row["lost"], row["gained"]) == (6, 1)
    assert row["rate_change"] == pytest.approx(-5 / 7)
    assert row["rate_p"] == pytest.approx(min(1, 3 * 2 * (1 + 7) / 2**7))  # binomial, 7 discordant


def test_hidden_scores_are_counted_and_never_taken_for_zero(make_runs: MakeRuns) -> None:
    hidden = {"outcome": "no_match", "censored": True}
    before = {"control": scored(0.9, 0.9), "fawkes-0.3-high": scored(0.8, 0.6)}
    after = {"control": scored(0.9, 0.9), "fawkes-0.3-high": [{"score": 0.7}, hidden]}

    row = table_of(make_runs(before, after)).loc["fawkes-0.3-high"]

    assert (row["pairs"], row["hidden"]) == (1, 1)
    assert row["change"] == pytest.approx(-0.1)
    assert pd.isna(row["change_low"])


def test_an_interval_goes_by_people_where_there_are_several(make_runs: MakeRuns) -> None:
    """Two people whose probes move together: two of them say next to nothing of others."""
    people = [{"score": 0.8, "person": name} for name in ("Ada", "Grace") for _ in range(5)]
    moved = [{**each, "score": 0.9 if each["person"] == "Ada" else 0.7} for each in people]
    runs = make_runs({"control": people}, {"control": moved})

    row = table_of(runs).loc["control"]

    assert row["people"] == 2
    # Totals of +0.5 and -0.5 of ten probes: a standard error of 0.1, one degree of freedom.
    reach = 0.1 * 12.7062
    assert (row["change_low"], row["change_high"]) == pytest.approx((-reach, reach), abs=1e-4)


def of_people(count: int, moved: float, *, hidden: int = 0) -> Sequence[Answers]:
    """Return two runs of `count` people with four probes, whose control moves by about `moved`."""
    draw = np.random.default_rng(1)
    names = [f"person {place}" for place in range(count) for _ in range(4)]
    clean = draw.normal(0.8, 0.05, len(names))
    own = draw.normal(moved, 0.01, count).repeat(4)
    after = [
        {"score": score, "person": who}
        for score, who in zip((clean + own).tolist(), names, strict=True)
    ]
    for answer in after[:hidden]:
        answer.pop("score")
        answer.update(outcome="no_match", censored=True)
    before = [
        {"score": score, "person": who} for score, who in zip(clean.tolist(), names, strict=True)
    ]
    return {"control": before}, {"control": after}


def test_several_people_are_tested_by_people(make_runs: MakeRuns) -> None:
    row = table_of(make_runs(*of_people(8, -0.05))).loc["control"]

    means = np.random.default_rng(1)
    means.normal(0.8, 0.05, 32)
    expected = stats.ttest_1samp(means.normal(-0.05, 0.01, 8), 0)
    assert (row["people"], row["units"], row["pairs"]) == (8, 8, 32)
    assert row["p"] == pytest.approx(expected.pvalue, rel=1e-3)
    assert row["change_high"] == pytest.approx(expected.confidence_interval(0.95).high, abs=1e-5)
    # Nobody was lost: eight people all alike, of whom Bonett and Price's interval makes ten.
    assert row["rate_high"] == pytest.approx(1.96 * (0.2 / 10) ** 0.5, abs=1e-4)


def test_too_few_people_have_no_test_and_the_sentence_says_so(make_runs: MakeRuns) -> None:
    comparison = read_comparison(make_runs(*of_people(3, -0.2)), force=False)
    table = changes(comparison)

    (sentence,) = sentences(comparison, table)

    assert table["p"].isna().all()
    assert "fell by 0.2" in sentence.finding
    assert sentence.finding.endswith("but 3 people are too few for a test.")


@pytest.mark.parametrize(("hidden", "is_claimed"), [(1, True), (2, False)])
def test_nothing_is_claimed_where_many_scores_are_hidden_in_one_run_only(
    make_runs: MakeRuns, hidden: int, *, is_claimed: bool
) -> None:
    comparison = read_comparison(make_runs(*of_people(8, -0.05, hidden=hidden)), force=False)
    table = changes(comparison)

    (sentence,) = sentences(comparison, table)

    assert table["hidden_once"].tolist() == [hidden]
    assert table["change_low"].notna().tolist() == [is_claimed]
    assert table["detectable"].notna().tolist() == [is_claimed]
    if not is_claimed:
        assert "of 32 probes 2 had a score hidden in one run only" in sentence.finding
        assert "no interval: too many pairs are hidden" in sentence.detail


def test_a_cloak_whose_scores_are_hidden_later_is_not_said_to_have_changed(
    make_runs: MakeRuns,
) -> None:
    """The service drifted, and hides what fell: of the pairs that are left, few fell."""
    first, later = drawn(-0.1, 0.0, seed=1)
    arm = "fawkes-0.3-high"
    shown = [
        answer if answer["score"] > 0.5 else {"outcome": "no_match", "censored": True}
        for answer in later[arm]
    ]
    comparison = read_comparison(make_runs(first, {**later, arm: shown}), force=False)
    table = changes(comparison).set_index("arm")

    sentence = sentences(comparison, table.reset_index())[1]

    assert table["beyond_hidden_once"][arm] == sum("score" not in answer for answer in shown) > 2
    assert table.loc[arm, ["beyond_low", "beyond_high", "beyond_p"]].isna().all()
    assert "no change is claimed" in sentence.finding


def drawn(drift: float, broken: float, seed: int) -> Sequence[Answers]:
    """Return the answers of a run and of a later one, from known distributions."""
    draw = np.random.default_rng(seed)
    clean, cloaked = draw.normal(0.85, 0.02, 31), draw.normal(0.6, 0.04, 31)
    runs = []
    for moved, worse in ((0.0, 0.0), (drift, broken)):
        noise = draw.normal(0, 0.01, (2, 31))
        runs.append(
            {
                "control": scored(*np.clip(clean + moved + noise[0], 0, 1).round(5)),
                "fawkes-0.3-high": scored(
                    *np.clip(cloaked + moved + worse + noise[1], 0, 1).round(5)
                ),
            }
        )
    return runs


@pytest.mark.parametrize(
    ("drift", "broken", "control", "cloak"),
    [
        (0.0, 0.0, "did not change by anything", "can be told from the control's own change"),
        (-0.1, 0.0, "fell by 0.1", "nothing of that can be told from the control's own change"),
        (0.0, 0.2, "did not change by anything", "the cloak protects less than before"),
        (-0.1, 0.2, "fell by 0.1", "the cloak protects less than before"),
        (0.05, -0.2, "rose by 0.0", "the cloak protects more than before"),
    ],
    ids=["nothing", "drift", "broken", "both", "better"],
)
def test_each_case_gets_its_sentence(
    make_runs: MakeRuns, drift: float, broken: float, control: str, cloak: str
) -> None:
    comparison = read_comparison(make_runs(*drawn(drift, broken, seed=1)), force=False)

    first, second = sentences(comparison, changes(comparison))

    assert first.is_control
    assert control in first.finding
    assert cloak in second.finding
    assert first.finding.startswith("Between 2024-05-01 and 2025-05-01, ")
    assert "31 paired probes" in second.detail


def rates(*missed: int) -> Sequence[Answers]:
    hit, miss = {"score": 0.9}, {"outcome": "no_match", "score": 0.2}
    return [
        {"control": [hit] * 20, "fawkes-0.3-high": [miss] * count + [hit] * (20 - count)}
        for count in missed
    ]


@pytest.mark.parametrize(
    ("missed", "state"),
    [
        ((20, 19), "still protected"),
        ((20, 20, 1), "no longer protected"),
        ((0, 2), "never protected"),
        ((20, 11), "can't be told: the interval holds 50 %"),
    ],
)
def test_whether_an_arm_still_protects(
    make_runs: MakeRuns, missed: Sequence[int], state: str
) -> None:
    comparison = read_comparison(make_runs(*rates(*missed)), force=False)

    assert states(trend(comparison))["state"].tolist() == [state]


def test_nothing_is_protected_where_the_control_is_missed(make_runs: MakeRuns) -> None:
    miss = {"outcome": "no_match", "score": 0.2}
    answers = {"control": [miss] * 20, "fawkes-0.3-high": [miss] * 20}
    comparison = read_comparison(make_runs(answers, answers), force=False)

    assert states(trend(comparison))["state"][0].startswith("can't be told: the control")


def test_a_change_is_claimed_only_where_the_mean_went_the_same_way(make_runs: MakeRuns) -> None:
    """Most probes rise a little and a few fall far: the ranks say what the mean does not."""
    before = {"control": scored(*[0.9] * 31)}
    after = {"control": scored(*(0.901 + 0.0001 * place for place in range(27)), *[0.86] * 4)}
    comparison = read_comparison(make_runs(before, after), force=False)
    table = changes(comparison)

    (sentence,) = sentences(comparison, table)

    assert table["p"][0] < 0.05
    assert table["change_mean"][0] < 0 < table["change_low"][0]
    assert "did not change by anything that 31 probes can show" in sentence.finding
