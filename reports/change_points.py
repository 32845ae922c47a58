"""Where series of runs shift their level, with a false-alarm rate that is kept by permutation."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.units import Values

FALSE_ALARM_RATE = 0.05
RUNS_MIN = 8
_PERMUTATIONS = 9999
_SEED = 20210101
_ALIKE_MIN = 1e-9  # of a series' variance: the least that is left to noise


class ChangePoint(NamedTuple):
    """The most likely shift of a series: `place` is the first run of the new level, from 0.

    `p` is the chance of as clear a shift somewhere in any of the series if none has one.
    """

    place: int
    p: float


def change_points(services: Sequence[Values]) -> list[list[ChangePoint | None]]:
    """Return each series' one most likely shift of level, None under RUNS_MIN runs or if constant.

    `services` has the series of each service as rows (series, runs), a run without a value NaN;
    a place counts the runs that have one. The runs of a service are put into random orders, all of
    its series alike, and each time the clearest shift of any series of any service counts: so p is
    over all of them, for any distribution, and series that move together don't cost more than one
    (Westfall and Young, 1993). Equal values give the equal answer.
    """
    draw = np.random.default_rng(_SEED)
    clearest = np.zeros(_PERMUTATIONS)
    seen: list[list[Values | None]] = []
    for series in services:
        keys = draw.random((_PERMUTATIONS, series.shape[1]))
        orders: dict[bytes, NDArray[np.intp]] = {}
        seen.append([])
        for row in series:
            there = ~np.isnan(row)
            values = row[there]
            if len(values) < RUNS_MIN or np.ptp(values) == 0:
                seen[-1].append(None)
                continue
            if there.tobytes() not in orders:
                orders[there.tobytes()] = keys[:, there].argsort(axis=1)
            by_chance = _clearness(values[orders[there.tobytes()]]).max(axis=1)
            clearest = np.maximum(clearest, by_chance)
            seen[-1].append(_clearness(values[None, :])[0])
    return [[_point(each, clearest) for each in own] for own in seen]


def _point(seen: Values | None, clearest: Values) -> ChangePoint | None:
    if seen is None:
        return None
    as_clear = int((clearest >= seen.max() * (1 - 1e-9)).sum())
    return ChangePoint(int(seen.argmax()) + 1, (as_clear + 1) / (_PERMUTATIONS + 1))


def _clearness(series: Values) -> Values:
    """Return per row, for each place to divide it, how much clearer two levels are than one.

    It is the likelihood ratio of normal values, which is on one scale for series of any length.
    """
    runs = series.shape[1]
    before = np.arange(1, runs)
    centred = series - series.mean(axis=1, keepdims=True)
    sums = centred.cumsum(axis=1)[:, :-1]
    between = np.square(sums) * runs / (before * (runs - before))
    left = 1 - between / np.square(centred).sum(axis=1, keepdims=True)
    found: Values = -(runs - 2) * np.log(left.clip(_ALIKE_MIN))
    return found
