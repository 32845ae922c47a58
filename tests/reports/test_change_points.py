"""Change points: false alarms come no more often than is said, and a clear shift is found."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import change_points
from reports.change_points import FALSE_ALARM_RATE, RUNS_MIN, change_point
from reports.compare_states import shifts

SERIES = 1000


@pytest.fixture
def fewer_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a simulation of a thousand series end soon; the test stays exact with 399."""
    monkeypatch.setattr(change_points, "_PERMUTATIONS", 399)


@pytest.mark.usefixtures("fewer_permutations")
@pytest.mark.parametrize("kind", ["normal", "skewed", "binomial"])
def test_false_alarms_come_no_more_often_than_is_said(kind: str) -> None:
    draw = np.random.default_rng(7)
    values = {
        "normal": draw.normal(0.9, 0.01, (SERIES, 12)),
        "skewed": draw.exponential(0.1, (SERIES, 12)),
        "binomial": draw.binomial(31, 0.4, (SERIES, 12)) / 31,
    }[kind]

    found = [change_point(series.tolist()) for series in values]
    alarms = sum(each is not None and each.p <= FALSE_ALARM_RATE for each in found)

    assert alarms <= SERIES * FALSE_ALARM_RATE + 2 * (SERIES * 0.05 * 0.95) ** 0.5


@pytest.mark.usefixtures("fewer_permutations")
def test_a_page_of_many_series_has_a_false_alarm_no_more_often_than_is_said() -> None:
    draw = np.random.default_rng(11)
    pages = 200
    alarms = sum(len(shifts(trend_table(draw.random((6, 12)) / 100))) > 0 for _ in range(pages))

    assert alarms <= pages * FALSE_ALARM_RATE + 2 * (pages * 0.05 * 0.95) ** 0.5


def trend_table(means: np.ndarray) -> pd.DataFrame:
    rows = [
        {"service": "s", "arm": f"arm {arm}", "run": f"run {run}", "mean_score": score,
         "protection_success_rate": None}
        for arm, scores in enumerate(means)
        for run, score in enumerate(scores)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"protection_success_rate": float})


def test_a_clear_shift_is_found_where_it_is() -> None:
    draw = np.random.default_rng(3)
    means = draw.normal(0.9, 0.01, (2, 24))
    means[1, 10:] -= 0.1

    table = shifts(trend_table(means))

    assert table["arm"].tolist() == ["arm 1"]
    assert table["run"].tolist() == ["run 10"]
    assert table["before"][0] == pytest.approx(means[1, :10].mean())
    assert table["after"][0] == pytest.approx(means[1, 10:].mean())


def test_the_p_value_of_a_perfect_shift_is_that_of_all_orders() -> None:
    found = change_point([0.0] * 5 + [1.0] * 5)

    assert found is not None
    assert found.place == 5
    assert found.p == pytest.approx(2 / 252, abs=0.003)  # 10! / (5! 5!) orders, two as clear


@pytest.mark.parametrize("values", [[0.1, 0.9] * 3, [0.5] * 20, []])
def test_few_or_equal_values_have_no_change_point(values: list[float]) -> None:
    assert len(values) < RUNS_MIN or len(set(values)) == 1
    assert change_point(values) is None


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 1000), min_size=RUNS_MIN, max_size=15, unique=True),
    st.sampled_from([2.0, 8.0]),
    st.integers(-5, 5),
)
def test_scale_and_level_change_nothing(values: list[int], scale: float, level: int) -> None:
    moved = [scale * value + level for value in values]

    assert change_point([float(value) for value in values]) == change_point(moved)
