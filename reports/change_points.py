"""Where a series of runs shifts its level, with a false-alarm rate that is kept by permutation."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FALSE_ALARM_RATE = 0.05
RUNS_MIN = 8
_PERMUTATIONS = 9999
_SEED = 20210101


class ChangePoint(NamedTuple):
    """The most likely shift of a series: `place` is the first run of the new level, from 0.

    `p` is the chance of as clear a shift somewhere in as many runs that have none.
    """

    place: int
    p: float


def change_point(values: Sequence[float]) -> ChangePoint | None:
    """Return the one most likely shift of level of a series, None under RUNS_MIN runs.

    The statistic is the largest standardised difference of means over all places to divide the
    series at; its p value is that of a permutation test, so that it holds for any distribution of
    values that come in no order. Equal values give the equal answer.
    """
    series = np.asarray(values, dtype=float)
    if len(series) < RUNS_MIN or np.ptp(series) == 0:
        return None
    seen = _differences(series[None, :])[0]
    shuffled = np.random.default_rng(_SEED).permuted(
        np.broadcast_to(series, (_PERMUTATIONS, len(series))), axis=1
    )
    by_chance = _differences(shuffled).max(axis=1)
    as_clear = int((by_chance >= seen.max() * (1 - 1e-9)).sum())
    return ChangePoint(int(seen.argmax()) + 1, (as_clear + 1) / (_PERMUTATIONS + 1))


def _differences(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return per row, for each place to divide it, the standardised difference of the means.

    The whole row's deviation is the same for all of its orders, so it isn't divided by.
    """
    runs = series.shape[1]
    before = np.arange(1, runs)
    sums = series.cumsum(axis=1)
    means = sums[:, :-1] / before
    rest = (sums[:, -1:] - sums[:, :-1]) / (runs - before)
    found: NDArray[np.float64] = np.abs(rest - means) * np.sqrt(before * (runs - before) / runs)
    return found
