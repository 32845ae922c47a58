"""Paired tests between two answers to the same probes, and what they could have told."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from reports.statistics import BOOTSTRAP_MIN, CONFIDENCE_LEVEL

POWER = 0.8
WALSH_MAX = 2000
_DIGITS = 9

Values = NDArray[np.float64]


class Shift(NamedTuple):
    """A median shift with its 95 % interval, missing (NaN) where there are too few values."""

    value: float
    low: float
    high: float


def wilcoxon(changes: Values) -> float:
    """Return the p value of Wilcoxon's signed-rank test that changes are symmetric about 0.

    Zeros are dropped (Wilcoxon, 1945); missing where nothing is left. What is equal but for the
    rounding of a subtraction has equal ranks.
    """
    changes = changes.round(_DIGITS)
    return float(stats.wilcoxon(changes).pvalue) if (changes != 0).any() else math.nan


def mcnemar(lost: int, gained: int) -> float:
    """Return the p value of McNemar's exact test, given how many went which way."""
    return float(stats.binomtest(lost, lost + gained).pvalue) if lost + gained else math.nan


def hodges_lehmann(changes: Values) -> Shift:
    """Return the median of all pairs' means, with the interval that Wilcoxon's test leaves.

    The interval holds every shift that the test (normal approximation) does not reject. Missing
    under BOOTSTRAP_MIN values, and above WALSH_MAX, whose pairs would be millions.
    """
    count = len(changes)
    if not BOOTSTRAP_MIN <= count <= WALSH_MAX:
        return Shift(math.nan, math.nan, math.nan)
    first, second = np.triu_indices(count)
    walsh = np.sort((changes[first] + changes[second]) / 2)
    z = stats.norm.ppf(1 - (1 - CONFIDENCE_LEVEL) / 2)
    spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    cut = max(0, math.floor(len(walsh) / 2 - z * spread))
    return Shift(float(np.median(walsh)), float(walsh[cut]), float(walsh[-1 - cut]))


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


def smallest_detectable(changes: Values) -> float:
    """Return the mean change that so many changes, so spread, would tell in 80 of 100 cases."""
    if len(changes) < BOOTSTRAP_MIN:
        return math.nan
    z = stats.norm.ppf(1 - (1 - CONFIDENCE_LEVEL) / 2) + stats.norm.ppf(POWER)
    return float(z * changes.std(ddof=1) / math.sqrt(len(changes)))
