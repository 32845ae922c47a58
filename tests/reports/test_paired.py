"""Paired tests against scipy, known answers, and what must hold for any values."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports import paired

CHANGES = st.lists(
    st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=5, max_size=40
).map(np.array)


@given(CHANGES)
def test_a_shift_moves_with_its_values_and_turns_with_their_sign(changes: np.ndarray) -> None:
    shift, moved = paired.hodges_lehmann(changes), paired.hodges_lehmann(changes + 3)
    assert np.subtract(moved, shift) == pytest.approx([3, 3, 3])
    turned = paired.hodges_lehmann(-changes)
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (-shift.value, -shift.high, -shift.low)
    )
    assert shift.low <= shift.value <= shift.high


def test_a_shift_of_five_values_is_worked_by_hand() -> None:
    # The fifteen means of pairs of 1, 2, 4, 8, 16 in order; the eighth is in the middle.
    shift = paired.hodges_lehmann(np.array([16.0, 1, 8, 2, 4]))
    assert shift == (5.0, 1.0, 16.0)


def test_a_shift_s_interval_is_what_the_test_leaves() -> None:
    changes = np.random.default_rng(1).normal(0.3, 1, 60)
    shift = paired.hodges_lehmann(changes)
    for end, sign in ((shift.low, -1), (shift.high, 1)):
        inside, outside = (
            stats.wilcoxon(changes - end + sign * step, method="approx").pvalue
            for step in (0.05, -0.05)
        )
        assert outside < 0.05 < inside


@pytest.mark.parametrize("count", [0, 4, paired.WALSH_MAX + 1])
def test_too_few_or_too_many_values_have_no_shift(count: int) -> None:
    assert all(map(math.isnan, paired.hodges_lehmann(np.ones(count))))


def test_equal_answers_have_no_p_value() -> None:
    assert math.isnan(paired.wilcoxon(np.zeros(9)))
    assert math.isnan(paired.mcnemar(0, 0))


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_a_fair_coin(lost: int, gained: int) -> None:
    p = paired.mcnemar(lost, gained)
    assert p == pytest.approx(paired.mcnemar(gained, lost), nan_ok=True)
    if lost + gained:
        tail = sum(math.comb(lost + gained, k) for k in range(min(lost, gained) + 1))
        assert p == pytest.approx(min(1, 2 * tail / 2 ** (lost + gained)))


def test_holm_s_own_steps() -> None:
    adjusted = paired.holm(np.array([0.01, math.nan, 0.04, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, math.nan, 0.06, 0.06, 0.02], nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_never_helps(p_values: list[float]) -> None:
    given_, adjusted = np.array(p_values), paired.holm(np.array(p_values))
    assert (adjusted >= given_).all()
    assert (adjusted <= 1).all()
    assert pd.Series(adjusted[given_.argsort(kind="stable")]).is_monotonic_increasing


def test_a_detectable_change_is_detected_in_eighty_of_a_hundred_cases() -> None:
    draw = np.random.default_rng(3)
    noise = draw.normal(0, 1, (2000, 31))
    told = paired.smallest_detectable(noise[0] / noise[0].std(ddof=1))
    p_values = stats.ttest_1samp(noise + told, 0, axis=1).pvalue
    assert 0.74 < np.mean(p_values < 0.05) < 0.84
