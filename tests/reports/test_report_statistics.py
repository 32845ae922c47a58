import math
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import ks_2samp

from reports.statistics import (
    BOOTSTRAP_MIN,
    PEOPLE_MIN,
    Interval,
    resampled_medians,
    share_interval,
    wilson,
)
from reports.statistics import mean_interval as mean_interval_of
from reports.statistics import median_interval as median_interval_of
from reports.units import units


def mean_interval(values: "pd.Series[float]", people: "pd.Series[str]") -> Interval | None:
    return mean_interval_of(units(np.array(values, dtype=np.float64), people))


def median_interval(values: list[float], *people: str) -> Interval | None:
    series = pd.Series(values, dtype=float)
    return median_interval_of(series, pd.Series(people or "Ada", index=series.index))


@given(st.integers(0, 400), st.integers(1, 400))
def test_wilson_is_the_closed_formula(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    z, share = 1.959963984540054, successes / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    low, high = wilson(successes, trials) or (math.nan, math.nan)
    assert low == pytest.approx((middle - half) / (1 + z * z / trials), abs=1e-9)
    assert high == pytest.approx((middle + half) / (1 + z * z / trials), abs=1e-9)
    assert 0 <= low <= share <= high <= 1


def test_no_trials_no_interval() -> None:
    assert wilson(0, 0) is None


def test_the_median_has_no_interval_under_five_values() -> None:
    assert median_interval([0.1] * (BOOTSTRAP_MIN - 1)) is None


def test_equal_values_have_an_interval_without_width() -> None:
    assert median_interval([-0.2] * 5) == (-0.2, -0.2)


def test_the_median_interval_holds_the_median_and_repeats() -> None:
    values = [-0.3, -0.21, -0.2, -0.19, -0.1, -0.05, 0.02]
    interval = median_interval(values)
    assert interval is not None
    assert min(values) <= interval.low <= -0.19 <= interval.high <= max(values)
    assert median_interval(values) == interval


@pytest.mark.parametrize("count", [5, 6, 12, 31, 200])
def test_medians_are_distributed_as_those_of_resamples_that_are_drawn(count: int) -> None:
    values = np.sort(np.random.default_rng(count).normal(size=count))
    drawn = np.random.default_rng(1).choice(values, (20_000, count))
    medians = resampled_medians(values)
    assert ks_2samp(medians, np.median(drawn, axis=1)).pvalue > 0.001


@given(
    st.lists(st.integers(0, 20).map(float), min_size=5, max_size=40),
    st.randoms(use_true_random=False),
)
def test_the_median_interval_is_of_the_values_whatever_their_order(
    values: list[float], shuffler: random.Random
) -> None:
    interval = median_interval(values)
    shuffled = values.copy()
    shuffler.shuffle(shuffled)
    assert interval is not None
    assert interval == median_interval(shuffled)
    assert min(values) <= interval.low <= np.median(values) <= interval.high <= max(values)


HUNDREDTHS = st.integers(-100, 100).map(lambda number: number / 100)


@given(st.lists(HUNDREDTHS, min_size=BOOTSTRAP_MIN, max_size=60))
def test_a_mean_s_interval_of_one_person_is_students(values: list[float]) -> None:
    assume(len(set(values)) > 1)
    series = pd.Series(values)
    interval = mean_interval(series, pd.Series("Ada", index=series.index))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.lists(HUNDREDTHS, min_size=3, max_size=20), st.integers(2, 5))
def test_a_person_s_equal_probes_count_as_one(values: list[float], times: int) -> None:
    """Of people with as many probes each, it is Student's interval of their means."""
    assume(len(set(values)) > 1)
    people = pd.Series([f"p{i}" for i in range(len(values)) for _ in range(times)])
    interval = mean_interval(pd.Series(np.repeat(values, times)), people)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_too_few_values_have_no_interval_of_the_mean() -> None:
    few = pd.Series([0.1] * (BOOTSTRAP_MIN - 1))
    assert mean_interval(few, pd.Series("Ada", index=few.index)) is None


def test_a_person_left_alone_by_hidden_scores_does_not_turn_probes_into_people() -> None:
    values = pd.Series([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, math.nan])
    people = pd.Series(["Ada"] * 6 + ["Eve"])
    assert mean_interval(values, people) is None
    assert median_interval_of(values, people) is None


COUNTS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=2, max_size=12)


@given(COUNTS)
def test_a_share_s_interval_by_people_holds_the_share_and_is_no_narrower_than_wilsons(
    counts: list[tuple[int, int]],
) -> None:
    asked = np.array([of for _, of in counts], float)
    hits = np.minimum([few for few, _ in counts], asked)
    low, high = share_interval(hits, asked) or (math.nan, math.nan)
    narrow = wilson(int(hits.sum()), int(asked.sum())) or (math.nan, math.nan)
    assert 0 <= low <= hits.sum() / asked.sum() <= high <= 1
    assert high - low >= (narrow[1] - narrow[0]) * (1 - 1e-9)
    turned = share_interval(asked - hits, asked)
    assert turned == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize("people", range(2, 20))
def test_where_everybody_is_alike_the_interval_is_about_the_exact_one_over_people(
    people: int,
) -> None:
    low, high = share_interval(np.full(people, 10.0), np.full(people, 10.0)) or (0, 0)
    exact = stats.binomtest(people, people).proportion_ci(0.95, method="exact").low
    assert low == pytest.approx(exact, abs=0.03)
    assert high == 1.0


def test_independent_probes_of_many_people_have_wilsons_interval() -> None:
    hits = np.random.default_rng(5).binomial(10, 0.3, 200).astype(float)
    low, high = share_interval(hits, np.full(200, 10.0)) or (0, 0)
    assert (low, high) == pytest.approx(wilson(int(hits.sum()), 2000), abs=0.003)


@pytest.mark.parametrize("spread", [0.01, 0.2, 0.5])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_intervals_by_people_cover_the_share_however_alike_a_person_s_probes_are(
    spread: float, share: float
) -> None:
    """`spread` is the correlation of two probes of a person; Wilson's over probes covers less."""
    draw, cases, people, probes = np.random.default_rng(3), 500, 8, 10
    pull = (1 - spread) / spread
    own = draw.beta(share * pull, (1 - share) * pull, (cases, people))
    hits = draw.binomial(probes, own).astype(float)
    ends = [share_interval(row, np.full(people, float(probes))) or (0, 0) for row in hits]
    covered = np.mean([low <= share <= high for low, high in ends])
    assert covered >= 0.93


def test_a_median_of_several_people_goes_by_people() -> None:
    names = [f"p{number}" for number in range(8) for _ in range(10)]
    values = np.repeat(np.arange(8.0), 10)  # a person's values are all alike
    low, high = median_interval(values.tolist(), *names) or (math.nan, math.nan)
    assert low <= 1
    assert high >= 6
    assert median_interval(values.tolist()) == pytest.approx((3, 4), abs=1)
    few = 10 * (PEOPLE_MIN - 1)
    assert median_interval(values.tolist()[:few], *names[:few]) is None


@pytest.mark.parametrize("differ", [0.0, 0.5, 2.0])
def test_intervals_of_medians_by_people_cover(differ: float) -> None:
    draw = np.random.default_rng(9)
    names = np.repeat([f"p{number}" for number in range(8)], 10).tolist()
    values = differ * draw.normal(size=(300, 8, 1)) + draw.normal(size=(300, 8, 10))
    ends = [median_interval(row.ravel().tolist(), *names) or (1, 0) for row in values]
    assert np.mean([low <= 0 <= high for low, high in ends]) >= 0.9
