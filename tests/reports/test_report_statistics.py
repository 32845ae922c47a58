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
    mean_interval,
    median_interval,
    resampled_medians,
    wilson,
)


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


@given(st.lists(st.integers(0, 20), min_size=5, max_size=40), st.randoms(use_true_random=False))
def test_the_median_interval_is_of_the_values_whatever_their_order(
    values: list[int], shuffler: random.Random
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
