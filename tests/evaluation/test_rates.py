import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import rates

SCORES = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60).map(np.array)


@given(SCORES, st.floats(0, 0.999))
def test_a_threshold_keeps_false_alarms_under_the_rate_and_is_the_lowest_to_do_so(
    negatives: np.ndarray, rate: float
) -> None:
    threshold = rates.threshold_at(negatives, rate)
    assert (negatives >= threshold).mean() <= rate + 1e-9
    below = negatives[negatives < threshold]
    if len(below):
        assert (negatives >= below.max()).mean() > rate


def test_few_negatives_put_the_threshold_above_them_all() -> None:
    found = rates.rate_at(np.array([0.4, 0.6]), np.array([0.1, 0.5]), rates.threshold_at(
        np.array([0.1, 0.5]), 0.01
    ))  # fmt: skip
    assert (found.hits, found.positives, found.false_alarms, found.negatives) == (1, 2, 0, 2)
    assert (found.hit_rate, found.false_rate) == (0.5, 0.0)


def test_a_rate_of_nobody_is_no_number() -> None:
    found = rates.rate_at(np.zeros(0), np.zeros(0), 0.5)
    assert math.isnan(found.hit_rate)
    assert math.isnan(found.false_rate)


@given(SCORES, SCORES)
def test_the_area_is_the_chance_that_a_positive_scores_higher(
    positives: np.ndarray, negatives: np.ndarray
) -> None:
    gaps = positives[:, None] - negatives
    expected = (gaps > 0).mean() + 0.5 * (gaps == 0).mean()
    curve = rates.roc(positives, negatives)
    assert curve.area == pytest.approx(expected, abs=1e-6)
    assert (curve.false_rates[0], curve.hit_rates[0]) == (0, 0)
    assert (curve.false_rates[-1], curve.hit_rates[-1]) == (1, 1)


def test_a_curve_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positives and negatives"):
        rates.roc(np.zeros(0), np.ones(3))
