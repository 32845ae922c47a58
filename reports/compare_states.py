"""Every arm over all runs of a service: where its level shifts, whether it still protects."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from reports.change_points import FALSE_ALARM_RATE, ChangePoint, change_points

MEASURES = ("mean_score", "protection_success_rate")
PROTECTED_MIN = 0.5
"""An arm protects where the service misses the person in most probes."""

_SERIES = ["service", "arm"]
_RUN = ["service", "run", "transforms"]
"""What an arm's control is told by: its run, and what the tracker does to photos."""


def shifts(trend: pd.DataFrame) -> pd.DataFrame:
    """Return one row per change point: the run from which on a measure of an arm is another.

    One is told of each service, arm and measure at most, and over all of them a false one in one
    of twenty comparisons at most (`change_points`).
    """
    services = [_series(rows) for _, rows in trend.groupby("service", sort=False)]
    found = change_points([series.to_numpy(float) for series in services])
    rows = [
        _shift(series, place, point)
        for series, points in zip(services, found, strict=True)
        for place, point in enumerate(points)
        if point and point.p <= FALSE_ALARM_RATE
    ]
    columns = [*_SERIES, "measure", "run", "before", "after", "p"]
    return pd.DataFrame(rows, columns=columns)


def _series(trend: pd.DataFrame) -> pd.DataFrame:
    """Return one row per arm and measure of a service, and a column per run, in their order."""
    runs = trend["run"].unique()
    long = trend.melt([*_SERIES, "run"], MEASURES, "measure")
    wide = long.pivot_table("value", [*_SERIES, "measure"], "run", sort=False, dropna=False)
    return wide.reindex(columns=runs)


def _shift(series: pd.DataFrame, row: int, point: ChangePoint) -> Mapping[str, Any]:
    told = series.iloc[row].dropna()
    names = zip(series.index.names, series.index[row], strict=True)
    return {
        **{str(name): value for name, value in names},
        "run": told.index[point.place],
        "before": told.iloc[: point.place].mean(),
        "after": told.iloc[point.place :].mean(),
        "p": point.p,
    }


def states(trend: pd.DataFrame) -> pd.DataFrame:
    """Return one row per service and cloaked arm with several runs: whether it still protects.

    Nothing is claimed that the rate's interval doesn't bear out, nor where the service misses the
    person without any cloak.
    """
    controls = trend[trend["system"] == "none"].set_index(_RUN)["ci_high"]
    cloaked = trend[trend["system"] != "none"]
    rows = [
        _state(rows.to_dict("records"), controls)
        for _, rows in cloaked.groupby(_SERIES, sort=False)
        if len(rows) > 1
    ]
    columns = [*_SERIES, "runs", "first", "last", "state"]
    return pd.DataFrame(rows, columns=columns)


def _state(rows: list[dict[Hashable, Any]], controls: "pd.Series[float]") -> Mapping[str, Any]:
    first, last = rows[0], rows[-1]
    return {
        "service": last["service"],
        "arm": last["arm"],
        "runs": len(rows),
        "first": first["protection_success_rate"],
        "last": last["protection_success_rate"],
        "state": _in_words(rows, controls),
    }


def _in_words(rows: list[dict[Hashable, Any]], controls: "pd.Series[float]") -> str:
    last = rows[-1]
    control_high = controls[tuple(last[name] for name in _RUN)]
    if not control_high < PROTECTED_MIN:
        return "can't be told: the control is missed as well"
    if last["ci_low"] > PROTECTED_MIN:
        return "still protected"
    if not last["ci_high"] < PROTECTED_MIN:
        return "can't be told: the interval holds 50 %"
    if any(row["ci_low"] > PROTECTED_MIN for row in rows):
        return "no longer protected"
    return "never protected"
