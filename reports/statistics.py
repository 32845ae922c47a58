"""The intervals of a report: a share's, a median's and a mean's.

Where several people are protected, people are what is drawn: a person's probes move together.
"""

import functools
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from reports.units import Units, Values, by_person

CONFIDENCE_LEVEL = 0.95
BOOTSTRAP_MIN = 5
PEOPLE_MIN = 5
"""Of fewer people, no median has an interval and no change a test."""

_RESAMPLES = 9999
_SEED = 20210101


class Interval(NamedTuple):
    """Both ends of a 95 % confidence interval."""

    low: float
    high: float


@functools.lru_cache(maxsize=100_000)
def wilson(successes: int, trials: int) -> Interval | None:
    """Return Wilson's score interval of a proportion, or None without trials."""
    if trials == 0:
        return None
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE_LEVEL, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def share_interval(hits: Values, asked: Values) -> Interval | None:
    """Return the interval of a share, given each person's hits of so many asked, shape (people,).

    It is that of `share_intervals`; None where nobody was asked.
    """
    low, high = share_intervals(hits[:, None], asked)
    return Interval(float(low[0]), float(high[0])) if asked.any() else None


def share_intervals(hits: Values, asked: Values) -> tuple[Values, Values]:
    """Return both ends of the intervals of shares, float64, shape (places,); NaN if none was asked.

    `hits` has shape (people, places), `asked` (people,): of one person the intervals are Wilson's
    over the probes, of several they go by people, also where some weren't asked.
    """
    if not asked.any():
        return np.full(hits.shape[1], np.nan), np.full(hits.shape[1], np.nan)
    if len(asked) > 1:
        return _by_people(hits[asked > 0], asked[asked > 0])
    ends = [wilson(int(each), int(asked[0])) or (np.nan, np.nan) for each in hits[0]]
    return np.array([low for low, _ in ends]), np.array([high for _, high in ends])


def _by_people(hits: Values, asked: Values) -> tuple[Values, Values]:
    """Return Wilson's intervals of as many independent probes as these are worth.

    The quantile is Student's of two degrees of freedom more than people have: where each person's
    probes are all alike, the ends are then about those of Clopper and Pearson's exact interval over
    people. (Saha, Miller and Wang, 2016, compare such intervals; benchmarks/simulated_intervals.py
    measures this one's coverage.)
    """
    trials, total = asked.sum(), hits.sum(axis=0)
    share = total / trials
    off = hits - share * asked[:, None]
    minority = np.minimum(total, trials - total)
    worth = trials / design_effects(off, share * (1 - share), minority, asked)
    z = float(stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, len(asked) + 1))
    shrunk = 1 + z**2 / worth
    middle = (share + z**2 / (2 * worth)) / shrunk
    reach = z * np.sqrt(share * (1 - share) / worth + z**2 / (4 * worth**2)) / shrunk
    return np.minimum(middle - reach, share).clip(0, 1), np.maximum(middle + reach, share).clip(
        0, 1
    )


def design_effects(off: Values, variance: Values, minority: Values, asked: Values) -> Values:
    """Return how many times fewer independent probes people's probes are worth, (places,).

    `off` is each person's total less what it would be if all were alike, (people, places);
    `variance` that of one probe. The effect is the variance of the total over people as a multiple
    of that of independent probes (Rao and Scott, 1992). Of a share near 0 or 1 hardly anything says
    how alike a person's probes are: so it is averaged, weighted by how many probes are in the
    `minority`, with one probe's worth of the effect of probes that are all alike.
    """
    people, trials = len(asked), asked.sum()
    alike = np.square(asked).sum() / trials
    over_people = np.square(off).sum(axis=0) * people / max(1, people - 1)
    known = (variance > 0) & (people > 1)
    seen = np.divide(over_people, variance * trials, where=known, out=np.full_like(off[0], alike))
    seen = seen.clip(1, alike)
    effects: Values = (minority * seen + alike) / (minority + 1)
    return effects


def median_interval(values: "pd.Series[float]", people: "pd.Series[str]") -> Interval | None:
    """Return the interval of the median of values; missing ones (NaN) only tell of more people.

    Of one person's it is the percentile bootstrap over probes, seeded: equal values in any order
    give the equal interval. Of several people's it holds the values between the ends of the
    interval by people of the share that is no larger than the median (Woodruff, 1952). None under
    BOOTSTRAP_MIN values or PEOPLE_MIN people.
    """
    found = values.dropna()
    ordered: Values = np.sort(found.to_numpy(float)).astype(float)
    if people.nunique() < 2:
        return _bootstrapped(ordered) if len(ordered) >= BOOTSTRAP_MIN else None
    whose = people[found.index]
    asked = by_person(np.ones(len(found)), whose)
    if len(asked) < PEOPLE_MIN:
        return None
    under = by_person((found <= found.median()).to_numpy(), whose)
    low, high = share_interval(under, asked) or (0.0, 1.0)
    first, last = int(low * len(ordered)), int(np.ceil(high * len(ordered))) - 1
    return Interval(float(ordered[first]), float(ordered[last]))


def _bootstrapped(ordered: Values) -> Interval:
    tail = (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.quantile(resampled_medians(ordered), [tail, 1 - tail])
    return Interval(float(low), float(high))


def resampled_medians(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the medians of resamples of sorted values, however many there are, without drawing them.

    A resample's k-th smallest value stands in `ordered` where the k-th smallest of as many uniform
    numbers falls, which is Beta distributed; the next one is the least of the rest above it.
    """
    draw = np.random.default_rng(_SEED)
    count = len(ordered)
    half = (count + 1) // 2
    middle = draw.beta(half, count - half + 1, _RESAMPLES)
    lower: NDArray[np.float64] = ordered[(count * middle).astype(int)]
    if count % 2:
        return lower
    least_of_rest = 1 - draw.random(_RESAMPLES) ** (1 / (count - half))
    following = middle + (1 - middle) * least_of_rest
    upper: NDArray[np.float64] = ordered[np.minimum(count * following, count - 1).astype(int)]
    return (lower + upper) / 2


def mean_interval(sample: Units) -> Interval | None:
    """Return Student's interval of the mean over people, or over the probes of the only one.

    Of people their totals count, with one degree of freedom less than there are people. (The
    percentile bootstrap over eight people held the truth in 85 of 100 cases instead of 95:
    benchmarks/simulated_truth.py.) None under BOOTSTRAP_MIN values or two people.
    """
    if sample.counts.sum() < BOOTSTRAP_MIN or len(sample.sums) < 2:
        return None
    quantile = float(stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, len(sample.sums) - 1))
    reach = quantile * sample.standard_error
    return Interval(sample.mean - reach, sample.mean + reach)
