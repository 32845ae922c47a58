"""What changed between a service's first and last run, arm by arm, with tests and intervals."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from reports import paired
from reports.compared_run import ComparedRun
from reports.comparison import PROBE, Comparison, Series, pairs
from reports.manifest import ManifestArm
from reports.statistics import mean_interval

COLUMNS = (
    *("service", "arm", "system", "level", "before", "after", "people", "pairs", "hidden"),
    *("mean_before", "mean_after", "change", "change_low", "change_high", "p", "detectable"),
    *("beyond_pairs", "beyond", "beyond_low", "beyond_high", "beyond_p"),
    *("asked", "identified_before", "identified_after", "lost", "gained"),
    *("rate_change", "rate_low", "rate_high", "rate_p"),
)
_BEYOND = ("beyond_pairs", "beyond", "beyond_low", "beyond_high", "beyond_p")
_TESTS = ("p", "beyond_p", "rate_p")


def changes(comparison: Comparison) -> pd.DataFrame:
    """Return one row per service and arm that two of its runs have: its first and its last.

    `change` is the mean of the paired changes of the true person's score, `beyond` the mean of
    what each probe changed more than it did in the control of the same two runs (the difference
    in differences), `rate_change` that of the share identified. Intervals (95 %) are Student's
    over people, over probes where there is one person; p values are of Wilcoxon's
    signed-rank test and McNemar's exact test, Holm's over all of this table.
    """
    rows = [row for series in comparison.series for row in _changes(series)]
    return _with_holm(pd.DataFrame(rows, columns=COLUMNS))


def _changes(series: Series) -> Iterator[dict[str, Any]]:
    for name in series.arms:
        runs = series.having(name)
        if len(runs) > 1:
            yield _change(series.service, name, runs[0], runs[-1])


def _change(service: str, name: str, before: ComparedRun, after: ComparedRun) -> dict[str, Any]:
    arm, both = after.arms[name], pairs(before, after, name)
    scored = both.dropna(subset=["score_before", "score_after"])
    changed = scored["score_after"] - scored["score_before"]
    low, high = _interval(changed, scored["true_person"])
    return {
        "service": service,
        "arm": name,
        "system": arm.system,
        "level": arm.level,
        "before": before.id,
        "after": after.id,
        "people": both["true_person"].nunique(),
        "pairs": len(scored),
        "hidden": int((both["censored_before"] | both["censored_after"]).sum()),
        "mean_before": scored["score_before"].mean(),
        "mean_after": scored["score_after"].mean(),
        "change": changed.mean(),
        "change_low": low,
        "change_high": high,
        "p": paired.wilcoxon(changed.to_numpy(float)),
        "detectable": paired.smallest_detectable(changed.to_numpy(float)),
        **_beyond(arm, scored, before, after),
        **_identification(both),
    }


def _beyond(
    arm: ManifestArm, scored: pd.DataFrame, before: ComparedRun, after: ComparedRun
) -> dict[str, Any]:
    """Return the difference in differences over the probes that have all four scores.

    A control has none.
    """
    if arm.is_control:
        return dict.fromkeys(_BEYOND, math.nan)
    control = pairs(before, after, after.manifest.control_of(arm).name)
    four = scored.merge(control, on=PROBE, suffixes=("", "_control")).dropna(
        subset=["score_before_control", "score_after_control"]
    )
    own = four["score_after"] - four["score_before"]
    beyond = own - (four["score_after_control"] - four["score_before_control"])
    low, high = _interval(beyond, four["true_person"])
    values = (len(four), beyond.mean(), low, high, paired.wilcoxon(beyond.to_numpy(float)))
    return dict(zip(_BEYOND, values, strict=True))


def _identification(both: pd.DataFrame) -> dict[str, Any]:
    asked = both.dropna(subset=["identified_before", "identified_after"])
    was, is_now = (asked[name].astype(bool) for name in ("identified_before", "identified_after"))
    changed = is_now.astype(float) - was.astype(float)
    low, high = _interval(changed, asked["true_person"])
    lost, gained = int((was & ~is_now).sum()), int((~was & is_now).sum())
    return {
        "asked": len(asked),
        "identified_before": int(was.sum()),
        "identified_after": int(is_now.sum()),
        "lost": lost,
        "gained": gained,
        "rate_change": changed.mean(),
        "rate_low": low,
        "rate_high": high,
        "rate_p": paired.mcnemar(lost, gained),
    }


def _interval(values: "pd.Series[float]", people: "pd.Series[str]") -> tuple[float, float]:
    return mean_interval(values, people) or (math.nan, math.nan)


def _with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """Replace the p values by Holm's over all of the table's tests."""
    if table.empty:
        return table
    tests = table[list(_TESTS)].to_numpy(float)
    adjusted = paired.holm(tests.ravel()).reshape(tests.shape)
    return table.assign(**dict(zip(_TESTS, adjusted.T, strict=True)))
