"""Paired tests against scipy, known answers, and what must hold for any values."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from reports import paired
from reports.units import Units

CHANGES = st.lists(
    st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=5, max_size=40
).map(np.array)


@given(CHANGES)
def test_a_shift_moves_with_its_values_and_turns_with_their_sign(changes: np.ndarray) -> None:
    shift, moved = paired.hodges_lehmann(changes), paired.hodges_lehmann(changes + 3)
    assume(not math.isnan(shift.low))
    assert np.subtract(moved, shift) == pytest.approx([3, 3, 3])
    turned = paired.hodges_lehmann(-changes)
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (-shift.value, -shift.high, -shift.low)
    )
    assert shift.low <= shift.value <= shift.high


def test_a_shift_of_few_values_is_worked_by_hand() -> None:
    # The fifteen means of pairs of 1, 2, 4, 8, 16 in order; the eighth is in the middle. From 1 to
    # 16 would hold 1 - 2 / 2**5, 93.75 %, of six values 1 - 2 / 2**6.
    five, low, high = paired.hodges_lehmann(np.array([16.0, 1, 8, 2, 4]))
    assert five == 5.0
    assert math.isnan(low)
    assert math.isnan(high)
    assert paired.hodges_lehmann(np.array([16.0, 1, 8, 2, 4, 32])) == (8.5, 1.0, 32.0)


@pytest.mark.parametrize("count", [6, 9, 20, 50])
def test_a_shift_s_exact_interval_is_what_the_exact_test_leaves(count: int) -> None:
    changes = np.random.default_rng(count).normal(0.3, 1, count)
    _, low, high = paired.hodges_lehmann(changes)
    for end, sign in ((low, -1), (high, 1)):
        inside, outside = (
            stats.wilcoxon(changes - end + sign * step, method="exact").pvalue
            for step in (1e-6, -1e-6)
        )
        assert outside <= 0.05 < inside


def test_a_shift_s_interval_is_what_the_test_leaves() -> None:
    changes = np.random.default_rng(1).normal(0.3, 1, 60)
    shift = paired.hodges_lehmann(changes)
    for end, sign in ((shift.low, -1), (shift.high, 1)):
        inside, outside = (
            stats.wilcoxon(changes - end + sign * step, method="approx").pvalue
            for step in (0.05, -0.05)
        )
        assert outside < 0.05 < inside


@given(CHANGES)
def test_a_shift_is_the_median_of_the_means_of_all_pairs(changes: np.ndarray) -> None:
    first, second = np.triu_indices(len(changes))
    means = (changes[first] + changes[second]) / 2
    assert paired.hodges_lehmann(changes).value == pytest.approx(np.median(means), abs=1e-11)


def test_a_shift_of_very_many_values_is_had_too() -> None:
    """Of values evenly spread about one, whose pairs are 50 million."""
    shift, low, high = paired.hodges_lehmann(np.linspace(0, 2, 10_001))
    assert shift == pytest.approx(1, abs=1e-9)
    # The ranks' standard error is the mean's here: 1 / sqrt(3 * 10001).
    assert (1 - low, high - 1) == pytest.approx([1.96 / (3 * 10_001) ** 0.5] * 2, rel=0.01)


def test_too_few_values_have_no_interval_and_none_no_shift() -> None:
    assert all(map(math.isnan, paired.hodges_lehmann(np.ones(0))))
    for count in (1, 4, 5):
        value, low, high = paired.hodges_lehmann(np.ones(count))
        assert value == 1
        assert math.isnan(low)
        assert math.isnan(high)


def test_one_wild_probe_of_one_person_moves_neither_change_nor_interval_far() -> None:
    changes = np.random.default_rng(5).normal(0.1, 0.04, 31)
    wild = np.append(changes[:-1], -0.5)
    before, after = (paired.typical_change(one_person(each)) for each in (changes, wild))
    assert after == paired.hodges_lehmann(wild)
    assert np.subtract(after, before) == pytest.approx([0, 0, 0], abs=0.005)


def test_what_people_changed_is_their_mean_with_students_interval() -> None:
    means = np.random.default_rng(5).normal(0.1, 0.04, 8)
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert paired.typical_change(people(means)) == pytest.approx((means.mean(), *expected))


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


def test_claims_at_the_level_stay_under_5_percent_where_they_are_counted() -> None:
    assert stats.binom.sf(50, 1000, paired.SIGNIFICANCE) < 0.01
    assert 2 / 2**paired.SIGNS_MIN < paired.SIGNIFICANCE  # six signs alike can still be told


def one_person(changes: np.ndarray) -> Units:
    return Units(changes, np.ones(len(changes)), are_people=False)


def people(means: np.ndarray, probes: int = 10) -> Units:
    return Units(means * probes, np.full(len(means), float(probes)), are_people=True)


@pytest.mark.parametrize("tests", [1, 3, 8])
@pytest.mark.parametrize("count", [10, 31, 80])
def test_a_detectable_change_of_probes_is_detected_in_eighty_of_a_hundred_cases(
    count: int, tests: int
) -> None:
    first, noise = np.random.default_rng(3).normal(0, 1, (2, 1000, count))
    told = [paired.smallest_detectable(one_person(row), tests) for row in first]
    p_values = stats.wilcoxon(noise + np.array(told)[:, None], axis=1).pvalue
    assert 0.74 < np.mean(p_values * tests < paired.SIGNIFICANCE) < 0.85


@pytest.mark.parametrize("tests", [1, 3, 8])
@pytest.mark.parametrize("count", [5, 8, 20])
def test_a_detectable_change_of_people_is_detected_in_eighty_of_a_hundred_cases(
    count: int, tests: int
) -> None:
    first, noise = np.random.default_rng(4).normal(0, 1, (2, 1000, count))
    told = [paired.smallest_detectable(people(row), tests) for row in first]
    p_values = [
        paired.score_test(people(row + size)) for row, size in zip(noise, told, strict=True)
    ]
    assert 0.75 < np.mean(np.array(p_values) * tests < paired.SIGNIFICANCE) < 0.85


def test_what_no_change_whatever_would_show_has_no_detectable_change() -> None:
    assert math.isnan(paired.smallest_detectable(one_person(np.arange(5.0)), 1))
    assert paired.smallest_detectable(one_person(np.arange(6.0)), 1) > 0
    assert math.isnan(paired.smallest_detectable(one_person(np.arange(6.0)), 2))


@given(st.lists(st.integers(-1000, 1000), min_size=5, max_size=20), st.integers(1, 9))
def test_of_people_with_as_many_probes_the_test_is_students_of_their_means(
    thousandths: list[int], probes: int
) -> None:
    assume(len(set(thousandths)) > 1)
    means = np.array(thousandths) / 1000
    p = paired.score_test(people(means, probes))
    assert p == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_of_one_person_the_test_is_wilcoxons() -> None:
    changes = np.random.default_rng(2).normal(0.1, 1, 31)
    assert paired.score_test(one_person(changes)) == stats.wilcoxon(changes).pvalue


def test_too_few_people_or_equal_ones_have_no_p_value() -> None:
    assert math.isnan(paired.score_test(people(np.arange(4.0))))
    assert math.isnan(paired.score_test(people(np.zeros(9))))
    assert math.isnan(paired.recognition_test(np.ones(5), np.zeros(5)))
    assert math.isnan(paired.recognition_test(np.ones(9), np.ones(9)))


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=6, max_size=12).filter(any))
def test_with_a_probe_a_person_recognition_is_tested_by_mcnemar(net: list[int]) -> None:
    lost, gained = (np.array([float(each == side) for each in net]) for side in (-1, 1))
    expected = paired.mcnemar(net.count(-1), net.count(1))
    assert paired.recognition_test(lost, gained) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=6, max_size=9))
def test_recognition_s_p_value_counts_the_signs_of_all_people(sides: list[tuple[int, int]]) -> None:
    lost, gained = np.array(sides, float).T
    net = gained - lost
    assume(net.any())
    signs = np.array(list(itertools.product((-1, 1), repeat=len(net))))
    expected = np.mean(np.abs(signs @ net) >= abs(net.sum()))
    assert paired.recognition_test(lost, gained) == pytest.approx(expected)


def test_recognition_of_many_people_is_tested_as_by_flips_that_scipy_draws() -> None:
    draw = np.random.default_rng(12)
    lost, gained = draw.binomial(10, [[0.3], [0.2]], (2, 40)).astype(float)
    flips = stats.permutation_test(
        (gained - lost,), np.sum, permutation_type="samples", vectorized=True, rng=draw
    )
    assert paired.recognition_test(lost, gained) == pytest.approx(flips.pvalue, abs=0.01)


def test_probes_of_a_person_that_change_together_are_no_false_alarm() -> None:
    """Where people change sides as a whole, probes taken as independent alarm far more often."""
    draw = np.random.default_rng(6)
    moved = draw.choice([-10.0, 0.0, 10.0], p=[0.2, 0.6, 0.2], size=(400, 8))
    lost, gained = -moved.clip(max=0), moved.clip(min=0)
    by_people = [paired.recognition_test(*each) for each in zip(lost, gained, strict=True)]
    pooled = [
        paired.mcnemar(int(few.sum()), int(many.sum()))
        for few, many in zip(lost, gained, strict=True)
    ]
    assert np.mean(np.array(by_people) < 0.05) <= 0.06
    assert np.mean(np.array(pooled) < 0.05) > 0.3


def test_the_interval_of_a_changed_share_is_as_printed() -> None:
    """Airway hyper-responsiveness before and after: Fagerland, Lydersen and Laake, 2014, table V."""
    ends = paired.share_change(*(np.array([float(count)]) for count in (7, 1, 21)))
    assert ends == pytest.approx((-0.508, -0.013), abs=5e-4)


def test_a_share_that_did_not_change_has_an_interval_with_a_width() -> None:
    none = np.zeros(1)
    low, high = paired.share_change(none, none, np.array([31.0])) or (0, 0)
    # Of 33 answers one went either way: 1.96 times the root of 2 / 33 / 33.
    assert (low, high) == pytest.approx((-0.08399, 0.08399), abs=1e-5)
    assert paired.share_change(none, none, none) is None


SIDES = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))


@given(st.lists(SIDES.filter(any), min_size=1, max_size=10))
def test_a_changed_share_s_interval_turns_with_its_sign(sides: list[tuple[int, int, int]]) -> None:
    lost, gained, same = np.array(sides, float).T
    asked = lost + gained + same
    low, high = paired.share_change(lost, gained, asked) or (math.nan, math.nan)
    assert -1 <= low < high <= 1
    assert paired.share_change(gained, lost, asked) == pytest.approx((-high, -low))
    if len(asked) > 1:
        pooled = paired.share_change(*(each.sum(keepdims=True) for each in (lost, gained, asked)))
        assert pooled is not None
        assert high - low >= (pooled.high - pooled.low) * (1 - 1e-9)


@pytest.mark.parametrize("alike", [0.05, 0.5])
@pytest.mark.parametrize("shares", [(0.05, 0.05), (0.2, 0.0), (0.6, 0.1)])
@pytest.mark.parametrize("count", [1, 8])
def test_intervals_of_a_changed_share_cover(
    count: int, shares: tuple[float, float], alike: float
) -> None:
    draw, probes = np.random.default_rng(8), 10 if count > 1 else 31
    parts = np.array([*shares, 1 - sum(shares)])
    pull = parts * ((1 - alike) / alike if count > 1 else 1e9)
    own = draw.gamma(np.broadcast_to(pull, (1000, count, 3))).clip(1e-300)
    sides = draw.multinomial(probes, own / own.sum(axis=2, keepdims=True)).astype(float)
    asked = np.full(count, float(probes))
    ends = [paired.share_change(each[:, 0], each[:, 1], asked) or (1, 0) for each in sides]
    assert np.mean([low <= shares[1] - shares[0] <= high for low, high in ends]) >= 0.91
