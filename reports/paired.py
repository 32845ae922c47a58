"""Paired tests between two answers to the same probes, and what they could have told."""

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from reports.statistics import (
    BOOTSTRAP_MIN,
    CONFIDENCE_LEVEL,
    PEOPLE_MIN,
    Interval,
    design_effects,
    mean_interval,
)
from reports.units import Units, Values

POWER = 0.8
SIGNIFICANCE = 0.035
"""Below this adjusted p value a change is claimed, so of all pages 3.5 % at most claim a false one.

That is stricter than 5 %, so that false claims stay at most 5 % also where they are counted (1,000
repeats count more than 5 % of a true 5 % in nearly every second case, of 3.5 % in one of 170) and
where scores are not as the tests take them to be.
"""
SIGNS_MIN = 6
"""All of fewer signs are alike by chance more often than once in twenty cases: 2 in 2**5."""
_EXACT_MAX = 50
_HALVINGS = 50
_SHIFT_DIGITS = 12
_SPREADS = 100
_DIGITS = 9
_RANKS_WORTH = 3 / math.pi  # of normal values: Pitman's efficiency of Wilcoxon's test


class Shift(NamedTuple):
    """A median shift with its 95 % interval, missing (NaN) where there are too few values."""

    value: float
    low: float
    high: float


def score_test(changes: Units) -> float:
    """Return the p value of the test that scores did not change.

    Of one person it is Wilcoxon's over the probes, of several Student's over people, who are what
    is drawn. (Wilcoxon's of eight people is never under 2 / 2**8, which Holm's factor takes above
    SIGNIFICANCE from five tests on, whatever changed; of summaries by group Student's is robust: Hayes and
    Moulton, 2017, chapter 10.) Missing where nothing changed, or of under PEOPLE_MIN people.
    """
    if not changes.are_people:
        return wilcoxon(changes.sums)
    if len(changes.sums) < PEOPLE_MIN or not changes.sums.any():
        return math.nan
    error, mean = changes.standard_error, changes.mean
    ratio = abs(mean) / error if error else math.inf
    return float(2 * stats.t.sf(ratio, len(changes.sums) - 1))


def wilcoxon(changes: Values) -> float:
    """Return the p value of Wilcoxon's signed-rank test that changes are symmetric about 0.

    Zeros are dropped (Wilcoxon, 1945); missing where nothing is left. What is equal but for the
    rounding of a subtraction has equal ranks.
    """
    changes = changes.round(_DIGITS)
    return float(stats.wilcoxon(changes).pvalue) if (changes != 0).any() else math.nan


def recognition_test(lost: Values, gained: Values) -> float:
    """Return the p value of the test that as many probes were lost as gained, shape (people,).

    Of one person it is McNemar's exact test. Of several, each person's probes change sides
    together: the net number gained has either sign with equal chance, exactly over all signs of
    all people (scipy's `permutation_test` draws them from 14 people on). With one probe a person
    that is McNemar's test again. Missing where nothing changed, or of under SIGNS_MIN people.
    """
    if len(lost) < 2:
        return mcnemar(int(lost.sum()), int(gained.sum()))
    net = (gained - lost).astype(int)
    if len(net) < SIGNS_MIN or not net.any():
        return math.nan
    chances = _sum_chances(np.abs(net).tolist())
    sums = 2 * np.arange(len(chances)) - np.abs(net).sum()
    return min(1.0, float(chances[np.abs(sums) >= abs(net.sum())].sum()))


def _sum_chances(parts: Iterable[int]) -> Values:
    """Return the chance of each sum, from 0, of whole parts that are each in or out by a coin."""
    chances = np.ones(1)
    for part in parts:
        longer = np.zeros(len(chances) + part)
        longer[: len(chances)] = chances / 2
        longer[part:] += chances / 2
        chances = longer
    return chances


def mcnemar(lost: int, gained: int) -> float:
    """Return the p value of McNemar's exact test, given how many went which way."""
    return float(stats.binomtest(lost, lost + gained).pvalue) if lost + gained else math.nan


def share_change(lost: Values, gained: Values, asked: Values) -> Interval | None:
    """Return the interval of the change of a share between paired answers, by person (people,).

    Bonett and Price's (2012) adjusted Wald interval, which has a width also where nothing changed.
    Of several people the counts are of as many independent probes as theirs are worth. None where
    nobody was asked.
    """
    trials = asked.sum()
    if not trials:
        return None
    counts = np.array([lost.sum(), gained.sum()])
    share = counts / trials
    if len(asked) > 1:
        rest = trials - max(*counts, trials - counts.sum())
        change = share[1] - share[0]
        off = (gained - lost - change * asked)[:, None][asked > 0]
        variance = np.array([share.sum() - change**2]).round(_DIGITS)
        trials = trials / design_effects(off, variance, rest, asked[asked > 0])[0]
    low, high = (share * trials + 1) / (trials + 2)
    z = stats.norm.ppf((1 + CONFIDENCE_LEVEL) / 2)
    middle, spread = high - low, math.sqrt((low + high - (high - low) ** 2) / (trials + 2))
    return Interval(max(-1.0, float(middle - z * spread)), min(1.0, float(middle + z * spread)))


def typical_change(changes: Units) -> Shift:
    """Return how far the units changed, with the interval that fits their `score_test`.

    Of one person's probes it is Hodges and Lehmann's shift, of people the mean with Student's
    interval. (Over probes Student's is too wide where one is wild: it held the truth in 98 of 100
    cases instead of 95, benchmarks/simulated_truth.py.)
    """
    if not changes.are_people:
        return hodges_lehmann(changes.sums)
    return Shift(changes.mean, *(mean_interval(changes) or (math.nan, math.nan)))


def hodges_lehmann(changes: Values) -> Shift:
    """Return the median of all pairs' means, with the interval that Wilcoxon's test leaves.

    The interval holds every shift that the exact test does not reject, above _EXACT_MAX values its
    normal approximation. It is missing under SIGNS_MIN values, all is where there is none.
    """
    count = len(changes)
    if not count:
        return Shift(math.nan, math.nan, math.nan)
    ordered, pairs, cut = np.sort(changes), count * (count + 1) // 2, _ranks_cut(count)
    middle = (_pairs_mean(ordered, (pairs - 1) // 2) + _pairs_mean(ordered, pairs // 2)) / 2
    if cut < 0:
        return Shift(middle, math.nan, math.nan)
    return Shift(middle, _pairs_mean(ordered, cut), _pairs_mean(ordered, pairs - 1 - cut))


def _pairs_mean(ordered: Values, rank: int) -> float:
    """Return the mean of that rank, from 0, of all pairs of sorted values, each with itself too.

    It is closed in on, since the pairs may be too many to be listed.
    """
    low, high = float(ordered[0]), float(ordered[-1])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        partners = np.searchsorted(ordered, 2 * middle - ordered, side="right").sum()
        itself = np.searchsorted(ordered, middle, side="right")
        low, high = (low, middle) if partners + itself > 2 * rank else (middle, high)
    return round(high, _SHIFT_DIGITS)


@functools.cache
def _ranks_cut(count: int) -> int:
    """Return the largest sum of signed ranks that Wilcoxon's test rejects, -1 if it can't."""
    tail = (1 - CONFIDENCE_LEVEL) / 2
    if count > _EXACT_MAX:
        spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
        return math.floor(count * (count + 1) / 4 + stats.norm.ppf(tail) * spread)
    chances = _sum_chances(range(1, count + 1))
    return int(np.searchsorted(chances.cumsum(), tail, side="right")) - 1


def holm(p_values: Values) -> Values:
    """Return Holm's (1979) adjusted p values; those that are missing stay so and don't count."""
    adjusted = p_values.astype(float)
    known = ~np.isnan(adjusted)
    found = adjusted[known]
    order = found.argsort(kind="stable")
    factors = np.arange(len(found), 0, -1)
    found[order] = np.maximum.accumulate(found[order] * factors).clip(max=1)
    adjusted[known] = found
    return adjusted


def smallest_detectable(changes: Units, tests: int) -> float:
    """Return the mean change that the test of such units would tell in about 80 of 100 cases.

    The test is `score_test`, at the level that Holm's first of so many `tests` has; values that
    are ranked are worth a little less than as many that are averaged. Missing where no change
    whatever would be told.
    """
    level, units = SIGNIFICANCE / max(1, tests), len(changes.sums)
    if units < BOOTSTRAP_MIN or (not changes.are_people and 2 / 2.0**units >= level):
        return math.nan
    worth = 1.0 if changes.are_people else _RANKS_WORTH
    return _told_errors(units * worth - 1, level) * changes.standard_error / math.sqrt(worth)


@functools.cache
def _told_errors(freedom: float, level: float) -> float:
    """Return how many standard errors a mean must be off for Student's test to have its power.

    The standard error is itself estimated, so the power is averaged over what it may have been.
    """
    critical = stats.t.ppf(1 - level / 2, freedom)
    places = (np.arange(_SPREADS) + 0.5) / _SPREADS
    spreads = np.sqrt(stats.chi2.ppf(places, freedom) / freedom)

    def lacking(off: float) -> float:
        return float(np.mean(stats.nct.sf(critical, freedom, off * spreads))) - POWER

    told: float = optimize.brentq(lacking, 0, 10 * critical)
    return told
