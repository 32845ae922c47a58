"""What changed between a service's first and last run, arm by arm, with tests and intervals."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports import paired
from reports.compared_run import ComparedRun
from reports.comparison import PROBE, Comparison, Series, pairs
from reports.manifest import ManifestArm
from reports.units import Units, Values, by_person, units

Flags = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]

COLUMNS = (
    *("service", "arm", "system", "level", "before", "after", "people", "pairs", "hidden"),
    *("hidden_once", "mean_before", "mean_after", "change_mean"),
    *("change", "change_low", "change_high", "p"),
    *("detectable", "units"),
    *("beyond_pairs", "beyond_hidden_once", "beyond_units", "beyond_mean"),
    *("beyond", "beyond_low", "beyond_high", "beyond_p"),
    *("asked", "identified_before", "identified_after", "lost", "gained"),
    *("rate_change", "rate_low", "rate_high", "rate_p"),
)
HIDDEN_ONCE_MAX = 0.05
"""Of pairs of which a score is shown: where more are hidden in one of the runs, nothing is claimed.

A service hides low scores, so the pairs that are left are those that happened to fall least. Held
to this share, intervals cover as they should; of all pairs that are left, where a drift hides many,
down to 20 in 100 (benchmarks/simulated_intervals.py).
"""
TESTS = ("p", "beyond_p", "rate_p")
_BEYOND = tuple(name for name in COLUMNS if name.startswith("beyond"))


class Measured(NamedTuple):
    """A change with its interval and test, NaN where nothing can be claimed."""

    sample: Units
    value: float
    low: float
    high: float
    p: float


def changes(comparison: Comparison) -> pd.DataFrame:
    """Return one row per service and arm that two of its runs have: its first and its last.

    `change` is how far the paired scores of the true person changed, `beyond` how far each probe
    changed more than it did in the control of the same two runs (the difference in differences),
    with their means beside them, `rate_change` how far the share identified did. Where several
    people are protected, intervals (95 %) and tests go by people, of whom `units` have pairs of
    scores, else by probes: see `paired.typical_change`, `score_test`, `share_change` and
    `recognition_test`. The
    p values are Holm's over all of this table. `hidden_once` counts the pairs that are hidden in
    one run only; above HIDDEN_ONCE_MAX of them scores have neither interval nor test.
    """
    rows = [row for series in comparison.series for row in _changes(series)]
    return pd.DataFrame(of_one_page(rows), columns=COLUMNS)


def of_one_page(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of `measures` as one page tells them: Holm's p values, and what it can detect."""
    tests = np.array([[row[name] for name in TESTS] for row in rows], float)
    count = int((~np.isnan(tests)).sum())
    adjusted = map(float, paired.holm(tests.ravel()))
    return [
        {
            **row,
            **{name: next(adjusted) for name in TESTS},
            "detectable": _detectable(row, count),
        }
        for row in rows
    ]


def _detectable(row: Mapping[str, Any], tests: int) -> float:
    too_hidden = is_too_hidden(row["hidden_once"], row["pairs"])
    return math.nan if too_hidden else paired.smallest_detectable(row["sample"], tests)


def _changes(series: Series) -> Iterator[dict[str, Any]]:
    for name in series.arms:
        runs = series.having(name)
        if len(runs) > 1:
            yield _change(series.service, name, runs[0], runs[-1])


def _change(service: str, name: str, before: ComparedRun, after: ComparedRun) -> dict[str, Any]:
    arm, both = after.arms[name], pairs(before, after, name)
    four = None if arm.is_control else _columns(_beside_control(both, arm, before, after))
    return {
        "service": service,
        "arm": name,
        "system": arm.system,
        "level": arm.level,
        "before": before.id,
        "after": after.id,
        **measures(_columns(both), four),
    }


def _beside_control(
    both: pd.DataFrame, arm: ManifestArm, before: ComparedRun, after: ComparedRun
) -> pd.DataFrame:
    control = pairs(before, after, after.manifest.control_of(arm).name)
    return both.merge(control, on=PROBE, suffixes=("", "_control"))


def _columns(frame: pd.DataFrame) -> Columns:
    return {str(name): frame[name].to_numpy() for name in frame}


def measures(both: Columns, four: Columns | None) -> dict[str, Any]:
    """Return what an arm's row of `changes` tells, tests not adjusted, and the `sample` of changes.

    `both` has the columns of `comparison.pairs`; `four` the same beside the control's, whose names
    end in _control, None for the control itself.
    """
    change, hidden_once = _paired(both, "")
    sample, *told = _measured(change, both, hidden_once)
    shown = ~np.isnan(change)
    hidden = both["censored_before"] | both["censored_after"]
    return {
        "people": len(pd.unique(both["true_person"])),
        "pairs": int(shown.sum()),
        "hidden": int(hidden.sum()),
        "hidden_once": int(hidden_once.sum()),
        "mean_before": _mean(both["score_before"][shown]),
        "mean_after": _mean(both["score_after"][shown]),
        "change_mean": sample.mean,
        **dict(zip(("change", "change_low", "change_high", "p"), told, strict=True)),
        "sample": sample,
        "units": len(sample.sums),
        **_beyond(four),
        **_identification(both),
    }


def is_too_hidden(hidden_once: float, shown: float) -> bool:
    """Tell whether too many pairs were hidden in one run only, beside so many shown in both."""
    return hidden_once > HIDDEN_ONCE_MAX * (hidden_once + shown)


def _paired(rows: Columns, of: str) -> tuple[Values, Flags]:
    """Return each probe's change of score, NaN unless both show it, and which are hidden in one."""
    change = rows[f"score_after{of}"] - rows[f"score_before{of}"]
    return change, rows[f"censored_before{of}"] ^ rows[f"censored_after{of}"]


def _measured(values: Values, rows: Columns, hidden_once: Flags) -> Measured:
    """Return how far paired values changed, missing ones apart, with what can be claimed of it."""
    sample = units(values, rows["true_person"])
    change = paired.typical_change(sample)
    if is_too_hidden(hidden_once.sum(), sample.counts.sum()):
        return Measured(sample, change.value, math.nan, math.nan, math.nan)
    return Measured(sample, *change, paired.score_test(sample))


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else math.nan


def _beyond(four: Columns | None) -> dict[str, Any]:
    """Return the difference in differences over the probes that have all four scores."""
    if four is None:
        return dict.fromkeys(_BEYOND, math.nan)
    (own, once), (service, once_in_control) = _paired(four, ""), _paired(four, "_control")
    hidden_once = once | once_in_control
    sample, *told = _measured(own - service, four, hidden_once)
    counts = int(sample.counts.sum()), int(hidden_once.sum()), len(sample.sums)
    return dict(zip(_BEYOND, (*counts, sample.mean, *told), strict=True))


def _identification(both: Columns) -> dict[str, Any]:
    was, is_now = both["identified_before"], both["identified_after"]
    asked = ~np.isnan(was + is_now)
    lost, gained, faces = (
        by_person(flags, both["true_person"]) for flags in (was > is_now, was < is_now, asked)
    )
    low, high = paired.share_change(lost, gained, faces) or (math.nan, math.nan)
    return {
        "asked": int(asked.sum()),
        "identified_before": int(was[asked].sum()),
        "identified_after": int(is_now[asked].sum()),
        "lost": int(lost.sum()),
        "gained": int(gained.sum()),
        "rate_change": _mean((is_now - was)[asked]),
        "rate_low": low,
        "rate_high": high,
        "rate_p": paired.recognition_test(lost, gained),
    }
