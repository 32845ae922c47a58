"""What a sample is drawn of: the protected people, or the probes of the only one."""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = NDArray[np.float64]
_DIGITS = 9


class Units(NamedTuple):
    """Values by unit: each unit's sum, and how many values it has, float64, shape (units,).

    A unit is a person where several are protected (probes of one person move together), else a
    probe.
    """

    sums: Values
    counts: Values
    are_people: bool

    @property
    def means(self) -> Values:
        """Return each unit's mean."""
        means: Values = self.sums / self.counts
        return means

    @property
    def mean(self) -> float:
        """Return the mean of all values."""
        return float(self.sums.sum() / self.counts.sum()) if len(self.sums) else math.nan

    @property
    def standard_error(self) -> float:
        """Return the mean's standard error, from how the units differ; NaN under two units."""
        units = len(self.sums)
        if units < 2:
            return math.nan
        power = float(np.square(self.sums - self.mean * self.counts).sum())
        return math.sqrt(power * units / (units - 1)) / float(self.counts.sum())


def units(values: Values, people: "NDArray[Any] | pd.Series[str]") -> Units:
    """Return the units of values of which some may be missing (NaN), given whose each is.

    The missing ones' people count too in whether there are several. Differences are rounded, so
    that what is equal but for the rounding of a subtraction is equal.
    """
    there = ~np.isnan(values)
    counts = by_person(there, people)
    if len(counts) < 2:
        shown: Values = np.round(values[there], _DIGITS)
        return Units(shown, np.ones(len(shown)), are_people=False)
    sums = by_person(np.where(there, values, 0).round(_DIGITS), people)
    return Units(sums[counts > 0], counts[counts > 0], are_people=True)


def by_person(amounts: NDArray[Any], people: "NDArray[Any] | pd.Series[str]") -> Values:
    """Return the sum of amounts (or of flags set) of each person, float64, shape (people,)."""
    whose, persons = pd.factorize(np.asarray(people))
    return np.bincount(whose, weights=amounts, minlength=len(persons)).astype(np.float64)
