"""Change points: false alarms come no more often than is said, and a clear shift is found."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reports.change_points
from reports.change_points import FALSE_ALARM_RATE, RUNS_MIN, ChangePoint, change_points
from reports.compare_states import shifts

SERIES = 1000


@pytest.fixture
def fewer_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a simulation of a thousand series end soon; the test stays exact with 399."""
    monkeypatch.setattr(reports.change_points, "_PERMUTATIONS", 399)


def change_point(values: Sequence[float]) -> ChangePoint | None:
    return change_points([np.array([values], dtype=float)])[0][0]


@pytest.mark.usefixtures("fewer_permutations")
@pytest.mark.parametrize("runs", [8, 12])
@pytest.mark.parametrize("kind", ["normal", "skewed", "binomial"])
def test_false_alarms_come_no_more_often_than_is_said(kind: str, runs: int) -> None:
    draw = np.random.default_rng(7)
    values = {
        "normal": draw.normal(0.9, 0.01, (SERIES, runs)),
        "skewed": draw.exponential(0.1, (SERIES, runs)),
        "binomial": draw.binomial(31, 0.4, (SERIES, runs)) / 31,
    }[kind]

    found = [change_point(series.tolist()) for series in values]
    alarms = sum(each is not None and each.p <= FALSE_ALARM_RATE for each in found)

    assert alarms <= SERIES * FALSE_ALARM_RATE + 2 * (SERIES * 0.05 * 0.95) ** 0.5


@pytest.mark.usefixtures("fewer_permutations")
@pytest.mark.parametrize(("arms", "runs"), [(6, 12), (11, 8)])
@pytest.mark.parametrize("common", [0.0, 1.0])
def test_a_page_of_many_series_has_a_false_alarm_no_more_often_than_is_said(
    arms: int, runs: int, common: float
) -> None:
    """`common` is what all arms of a run share, as a service's good and bad days are."""
    draw = np.random.default_rng(11)
    pages = 200
    means = draw.random((pages, arms, runs)) + common * draw.random((pages, 1, runs))
    found = [change_points([page])[0] for page in means]
    alarms = sum(any(point and point.p <= FALSE_ALARM_RATE for point in own) for own in found)

    assert alarms <= pages * FALSE_ALARM_RATE + 2 * (pages * 0.05 * 0.95) ** 0.5


@pytest.mark.usefixtures("fewer_permutations")
def test_services_with_as_many_runs_as_they_have_keep_the_rate_together() -> None:
    draw, pages = np.random.default_rng(13), 300
    alarms = 0
    for _ in range(pages):
        services = [draw.normal(size=(3, 8)), draw.normal(size=(3, 20))]
        services[1][0, :6] = np.nan
        points = [point for own in change_points(services) for point in own]
        alarms += any(point and point.p <= FALSE_ALARM_RATE for point in points)

    assert alarms <= pages * FALSE_ALARM_RATE + 2 * (pages * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize("arms", [1, 3, 11])
def test_eight_runs_are_enough_however_many_series_there_are(arms: int) -> None:
    draw = np.random.default_rng(17)
    means = draw.normal(0.9, 0.005, (arms, RUNS_MIN))
    means[0, 4:] -= 0.1

    table = shifts(trend_table(means))

    assert table["arm"].tolist() == ["arm 0"]
    assert table["run"].tolist() == ["run 4"]


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


def test_a_run_without_a_value_is_passed_over() -> None:
    series = [0.9, 0.9, np.nan, 0.91, 0.9, 0.89, 0.5, 0.5, np.nan, 0.51, 0.5]
    known = [value for value in series if not np.isnan(value)]

    found, expected = change_point(series), change_point(known)
    assert found is not None
    assert expected is not None
    assert found.place == expected.place == 5
    assert found.p == pytest.approx(expected.p, abs=0.005)
    table = shifts(trend_table(np.array([series])))
    assert table["run"].tolist() == ["run 6"]


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
