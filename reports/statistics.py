"""The two intervals of a report: a proportion's and a median's."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE_LEVEL = 0.95
BOOTSTRAP_MIN = 5
_SEED = 20210101


class Interval(NamedTuple):
    """Both ends of a 95 % confidence interval."""

    low: float
    high: float


def wilson(successes: int, trials: int) -> Interval | None:
    """Return Wilson's score interval of a proportion, or None without trials."""
    if trials == 0:
        return None
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE_LEVEL, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def median_interval(values: Sequence[float]) -> Interval | None:
    """Return the percentile bootstrap interval of the median, or None under five values.

    The resampling is seeded: equal values in equal order give the equal interval.
    """
    if len(values) < BOOTSTRAP_MIN:
        return None
    sample = np.asarray(values, dtype=float)
    result = stats.bootstrap(
        (sample,),
        np.median,
        confidence_level=CONFIDENCE_LEVEL,
        method="percentile",
        n_resamples=9999,
        batch=500,
        rng=np.random.default_rng(_SEED),
    )
    interval = result.confidence_interval
    return Interval(float(interval.low), float(interval.high))
