"""Protection by threshold and rank: worked examples, and what holds for any answers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reports
from reports.curves import RANKS_MAX, _ranks, _thresholds
from reports.statistics import share_interval

HIGH = "fawkes-0.3-high"


def answers(*rows: tuple[str, float | None, bool], threshold: float = 0.0) -> pd.DataFrame:
    columns = ["outcome", "true_score", "censored"]
    told = pd.DataFrame(rows, columns=columns)
    return told.assign(threshold=threshold, rank=1.0, true_person="Ada")


def rate(table: pd.DataFrame, threshold: float, column: str = "most") -> float:
    return float(np.interp(threshold, table["threshold"], table[column]))


def test_a_match_is_recognised_up_to_its_score() -> None:
    table = _thresholds(
        answers(("match", 0.4, False), ("match", 0.9, False), ("other_person", 0.3, False)), "a"
    )
    assert [round(rate(table, t), 3) for t in (0, 0.4, 0.41, 0.9, 0.91, 1)] == [
        *(0.333, 0.333, 0.667, 0.667, 1.0, 1.0)
    ]
    assert (table["least"] == table["most"]).all()
    assert set(table["probes"]) == {3}


def test_a_hidden_score_leaves_both_possible_below_the_threshold() -> None:
    table = _thresholds(
        answers(("match", 0.8, False), ("no_match", None, True), threshold=0.5), "a"
    )
    assert (rate(table, 0.3, "least"), rate(table, 0.3, "most")) == (0.0, 0.5)
    assert (rate(table, 0.6, "least"), rate(table, 0.6, "most")) == (0.5, 0.5)


def test_what_shows_no_face_has_no_part() -> None:
    table = _thresholds(answers(("no_face", None, False), ("error", None, False)), "a")
    assert table[["least", "most", "ci_low", "ci_high"]].isna().all(axis=None)


OUTCOMES = st.one_of(
    st.tuples(st.just("match"), st.floats(0, 1), st.just(False)),
    st.tuples(st.just("other_person"), st.floats(0, 1), st.just(False)),
    st.tuples(st.just("no_match"), st.none(), st.just(True)),
)


@given(st.lists(OUTCOMES, min_size=1, max_size=30), st.floats(0, 1))
def test_protection_only_grows_with_the_threshold(
    rows: list[tuple[str, float | None, bool]], threshold: float
) -> None:
    table = _thresholds(answers(*rows, threshold=threshold), "a")
    for column in ("least", "most"):
        assert table[column].is_monotonic_increasing
    assert (table["ci_low"] <= table["least"] + 1e-9).all()
    assert (table["least"] <= table["most"]).all()
    assert (table["most"] <= table["ci_high"] + 1e-9).all()
    unmatched = sum(outcome != "match" for outcome, _, _ in rows)
    assert table["most"].iloc[0] == pytest.approx(unmatched / len(rows))


def test_of_several_people_the_rates_stay_and_the_intervals_go_by_people() -> None:
    rows = answers(*[("match", 0.9, False)] * 6, *[("other_person", 0.1, False)] * 6)
    several = rows.assign(true_person=["Ada"] * 6 + ["Eve"] * 6)
    one, two = _thresholds(rows, "a"), _thresholds(several, "a")
    assert one[["least", "most"]].equals(two[["least", "most"]])
    ends = share_interval(np.array([0.0, 6.0]), np.array([6.0, 6.0]))
    assert (two["ci_low"][0], two["ci_high"][0]) == ends
    assert two["ci_high"][0] - two["ci_low"][0] > one["ci_high"][0] - one["ci_low"][0]


def test_ranks_are_counted_among_the_probes_with_a_face() -> None:
    rows = answers(*[("match", 0.9, False)] * 2, *[("other_person", 0.1, False)] * 2)
    table = _ranks(rows.assign(rank=[1, 1, 3, np.nan]), "a").set_index("rank")
    assert table["most"].loc[[1, 2, 3, RANKS_MAX]].tolist() == [0.5, 0.5, 0.75, 0.75]


def test_the_page_tells_what_would_change_each_finding(make_run: Callable[..., Path]) -> None:
    many = [{"score": 0.5 + number / 100} for number in range(31)]
    others = [{"outcome": "other_person", "score": 0.2}] * 3
    run = make_run({"control": many, HIGH: others, "fawkes-0.3-mid": [{"outcome": "no_face"}]})
    text = reports.build(run).read_text(encoding="utf-8")
    assert "That changes from a threshold of 0.66 on" in text
    assert "A lower threshold would not change that: the Azure Face emulator put somebody" in text
    assert text.count("threshold would") + text.count("That changes from") == 2
