"""The calls over time against the service's limits, and where it throttled them."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from reports.drawing import CLOAKED, CONTROL, INK, WARNING, Drawn, drawing, drawn, markers, stacked
from reports.manifest import Limit, Manifest

LIMITS_DRAWN_MAX = 6
_STEPS = 300
_LIMITS_SINCE = 6  # the version of a run folder
_PAUSE_SHARE, PAUSE_LEAST_S = 0.05, 300.0
_ROWS = 2.6
_ALL = "all operations"
_THROTTLED = r"429|throttl|throughput|rate.?limit|concurrency|^limitexceeded"
_COLUMNS = ["limit", "window_s", "allowed", "elapsed_s", "sent_s", "calls", "throttled",
            "failed", "in_window", "after_pause"]  # fmt: skip
_UNITS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "hours"), (120, 60, "minutes"))


_Values = NDArray[np.float64]


class _Limit(NamedTuple):
    """What is counted together: an operation, or all; `allowed` (NaN: any) in `window_s`."""

    name: str
    window_s: float
    allowed: float


def call_timeline(attempts: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return what each of the service's limits saw over time, in up to 300 steps.

    `attempts` is the frame of `ledger_rows.read_attempts`. `limit` is an operation with a limit of
    its own, or `all operations`; `allowed` calls may fall into `window_s` seconds, missing where
    the tier has no limit or the run is of before version 6, which did not tell. `elapsed_s` is when
    the step begins, pauses left out (`after_pause` tells where), `sent_s` its first call (Unix
    seconds); `throttled` and `failed` count its answers, `in_window` is the largest number of
    calls in any window that ended in the step.
    """
    calls = _timed(attempts)
    if calls.empty:
        return pd.DataFrame(columns=_COLUMNS)
    step_s = max(calls["elapsed_s"].iloc[-1] / (_STEPS - 1), 0.01)
    parts = [
        _steps(calls[calls["operation"].isin(operations)], limit, step_s)
        for limit, operations in _by_limit(calls["operation"].unique().tolist(), manifest).items()
    ]
    return pd.concat(parts, ignore_index=True)[_COLUMNS]


def _timed(attempts: pd.DataFrame) -> pd.DataFrame:
    """Add when each call was sent, long pauses left out, and how it failed."""
    calls = attempts[attempts["sent_s"].notna()]
    gaps = np.diff(calls["sent_s"].to_numpy(float), prepend=calls["sent_s"].iloc[:1])
    busy_s = gaps[gaps <= PAUSE_LEAST_S].sum()
    is_pause = gaps > max(PAUSE_LEAST_S, _PAUSE_SHARE * busy_s)
    outcomes = calls["outcome"].unique()
    codes = pd.Series(outcomes, outcomes, dtype="string").fillna("")
    throttled = calls["outcome"].map(codes.str.contains(_THROTTLED, case=False)).eq(True)
    return calls.assign(
        elapsed_s=np.where(is_pause, 0.0, gaps).cumsum(),
        after_pause=is_pause,
        throttled=throttled,
        failed=~throttled & calls["outcome"].ne("done"),
    )


def _by_limit(operations: Sequence[str], manifest: Manifest) -> Mapping[_Limit, list[str]]:
    """Return the limits that operations count against, each with these operations."""
    found: dict[_Limit, list[str]] = {}
    for operation in operations:
        for limit in _limits_of(operation, manifest.service.limits):
            found.setdefault(limit, []).append(operation)
    return found


def _limits_of(operation: str, limits: Sequence[Limit]) -> Sequence[_Limit]:
    fitting = [it for it in limits if not it.operations or fnmatchcase(operation, it.operations)]
    first = [it for it in fitting if it.operations == fitting[0].operations]
    return [_Limit(operation if it.operations else _ALL, it.per_s, it.calls) for it in first] or [
        _Limit(_ALL, 1.0, np.nan)
    ]


def _steps(calls: pd.DataFrame, limit: _Limit, step_s: float) -> pd.DataFrame:
    """Return what one limit saw, a row a step, also of those without a call."""
    sent_s = calls["sent_s"].to_numpy(float)
    step = (calls["elapsed_s"] // step_s).astype(int)
    rows = calls.assign(in_window=_in_window(sent_s, sent_s, limit.window_s)).groupby(step)
    table = rows.agg(
        sent_s=("sent_s", "first"),
        calls=("sent_s", "size"),
        throttled=("throttled", "sum"),
        failed=("failed", "sum"),
        in_window=("in_window", "max"),
        after_pause=("after_pause", "any"),
    ).reindex(range(step.iloc[-1] + 1))
    counts = ["calls", "throttled", "failed", "in_window", "after_pause"]
    table[counts] = table[counts].fillna(0).astype(int)
    at_end = _in_window(
        sent_s, _sent_at(step_s * np.arange(1.0, len(table) + 1), calls), limit.window_s
    )
    return table.assign(
        in_window=np.maximum(table["in_window"], at_end),
        elapsed_s=table.index * step_s,
        limit=limit.name,
        window_s=limit.window_s,
        allowed=limit.allowed,
        after_pause=table["after_pause"].astype(bool),
    )


def _in_window(sent_s: _Values, at_s: _Values, window_s: float) -> NDArray[np.int64]:
    """Return how many calls were sent in the window that ends at each moment."""
    until = np.searchsorted(sent_s, at_s, side="right")
    return until - np.searchsorted(sent_s, at_s - window_s, side="right")


def _sent_at(elapsed_s: _Values, calls: pd.DataFrame) -> _Values:
    """Return the Unix seconds of moments that are given without pauses, by the call before."""
    known = calls["elapsed_s"].to_numpy(float)
    before = np.maximum(np.searchsorted(known, elapsed_s, side="right") - 1, 0)
    sent_s: _Values = calls["sent_s"].to_numpy(float)
    moments: _Values = sent_s[before] + elapsed_s - known[before]
    return moments


def limits_words(manifest: Manifest) -> str:
    """Say what the dashed lines are, or why there are none."""
    if manifest.service.limits:
        return f"; dashed is what the service allows in tier {manifest.service.tier}."
    if manifest.schema_version < _LIMITS_SINCE:
        return ". The run is of before limits were written down."
    return f". Tier {manifest.service.tier} has no limit."


def figure(table: pd.DataFrame, description: str) -> Drawn | None:
    """Draw the calls in each limit's window over time, throttled ones marked; None without calls.

    `table` is the frame of `call_timeline`; of many limits, the LIMITS_DRAWN_MAX with most calls.
    """
    if table.empty:
        return None
    groups = [rows for _, rows in table.groupby(["limit", "window_s"], sort=False)]
    shown = sorted(groups, key=lambda rows: -rows["calls"].sum())[:LIMITS_DRAWN_MAX]
    scale, unit = _unit(table["elapsed_s"].max())
    with drawing("timeline"):
        chart, panels = stacked([_ROWS] * len(shown))
        for panel, rows in zip(panels, shown, strict=True):
            limit = rows.iloc[0]
            title = f"{limit['limit']}: calls in any {limit['window_s']:g} s"
            panel.set_title(title, parse_math=False)
            _panel(panel, rows.assign(at=rows["elapsed_s"] / scale), limit["allowed"])
        panels[-1].set_xlabel(f"Time since the first call ({unit})")
        return drawn(chart, "timeline", description)


def _unit(span_s: float) -> tuple[float, str]:
    return next(((scale, name) for least, scale, name in _UNITS if span_s >= least), (1, "seconds"))


def _panel(panel: Axes, rows: pd.DataFrame, allowed: float) -> None:
    gid = panel.get_gid()
    panel.fill_between(rows["at"], rows["in_window"], step="post", color=CLOAKED, linewidth=0.8,
                       alpha=0.5, gid=f"{gid}-calls")  # fmt: skip
    panel.set_ylim(0, 1.2 * np.nanmax([allowed, rows["in_window"].max()]))
    panel.grid(visible=True, axis="y")
    for at in rows.loc[rows["after_pause"], "at"]:
        panel.axvline(at, color=CONTROL, linewidth=1, gid=f"{gid}-pause")
    if not np.isnan(allowed):
        panel.axhline(
            allowed, color=WARNING, linewidth=1.2, linestyle=(0, (4, 3)), gid=f"{gid}-limit"
        )
        panel.annotate(f"limit {allowed:g}", (1, allowed), xycoords=panel.get_yaxis_transform(),
                       xytext=(0, 3), textcoords="offset points", ha="right")  # fmt: skip
    for name, marker, colour in (("failed", "x", INK), ("throttled", "^", WARNING)):
        some = rows[rows[name] > 0]
        markers(panel, some["at"].to_numpy(), some["in_window"].to_numpy(), name, colour, marker,
                filled=False)  # fmt: skip
