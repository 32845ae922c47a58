"""The tables of a comparison that need no test: the runs, every arm over time, services beside."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from reports.compared_run import ComparedRun
from reports.comparison import Comparison, Series
from reports.manifest import ManifestArm
from reports.statistics import mean_interval
from reports.tables import faces_found, summarise
from reports.units import units

_SEPARATOR = "/"  # no run's id has one
ARM = [
    *("game", "system", "level", "settings", "targets", "cloaked_fraction", "transforms", "sybils")
]
"""What tells an arm from others wherever it was run."""


def runs(comparison: Comparison) -> pd.DataFrame:
    """Return one row per run: when, who answered with which model, how it ended."""
    return pd.DataFrame(
        {
            "run": run.id,
            "started_utc": run.started_utc,
            "service": run.service,
            "model": run.model,
            "state": run.manifest.exit_state,
            "arms": len(run.arms),
            "probes": run.observations["probe_sha256"].nunique(),
            "enrolled": sum(arm.enrolled or 0 for arm in run.arms.values()),
            "enrol_rejected": sum(arm.enrol_rejected or 0 for arm in run.arms.values()),
        }
        for run in comparison.runs
    )


def trend(comparison: Comparison) -> pd.DataFrame:
    """Return one row per run and arm, service by service and by date.

    `model_changed` marks a run whose service told another model than in the run before. The rate
    and its interval are as in summary.csv; that of the mean score is `statistics.mean_interval`.
    """
    told = [told for series in comparison.series for told in _told(series)]
    arms = [arm for series in comparison.series for run in series.runs for arm in _named(run)]
    rows = [
        run.observations.assign(arm=[_name(run, arm) for arm in run.observations["arm"]])
        for run in comparison.runs
    ]
    observations = pd.concat(rows, ignore_index=True)
    summary = summarise(observations, arms)
    low, high = _mean_interval(observations, summary["arm"])
    summary = summary.assign(
        faces=faces_found(summary),
        mean_low=low,
        mean_high=high,
        game=[arm.game for arm in arms],
        settings=[", ".join(arm.settings) for arm in arms],
        transforms=["+".join(arm.transforms) for arm in arms],
        sybils=[arm.sybils for arm in arms],
    )
    runs_and_arms = summary["arm"].str.split(_SEPARATOR, n=1, expand=True)
    summary = summary.assign(run=runs_and_arms[0], arm=runs_and_arms[1])
    return pd.DataFrame(told).merge(summary, on="run", how="left", validate="one_to_many")


def _told(series: Series) -> Iterator[Mapping[str, Any]]:
    before = series.runs[0]
    for run in series.runs:
        yield {
            "service": series.service,
            "run": run.id,
            "started_utc": run.started_utc,
            "days": run.days,
            "model": run.model,
            "model_changed": run.model != before.model,
        }
        before = run


def _named(run: ComparedRun) -> Iterator[ManifestArm]:
    """Yield a run's arms under names that no other run has: all are summarised at once."""
    for arm in run.arms.values():
        yield arm.model_copy(update={"name": _name(run, arm.name)})


def _name(run: ComparedRun, arm: str) -> str:
    return f"{run.id}{_SEPARATOR}{arm}"


def _mean_interval(observations: pd.DataFrame, arms: "pd.Series[str]") -> tuple[Any, Any]:
    """Return both ends of the 95 % interval of each arm's mean score."""
    columns = observations[["true_score", "true_person"]]
    rows = {
        arm: columns.iloc[places] for arm, places in observations.groupby("arm").indices.items()
    }
    ends = [_ends(rows.get(arm, columns[:0])) for arm in arms]
    return [low for low, _ in ends], [high for _, high in ends]


def _ends(rows: pd.DataFrame) -> tuple[float, float]:
    scores = rows["true_score"].to_numpy(float)
    return mean_interval(units(scores, rows["true_person"])) or (math.nan, math.nan)


def matrix(trend_table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per kind of arm and a column per service: the latest run's protection rate.

    The control stands first: what a service misses without any cloak is no protection.
    """
    latest = trend_table.drop_duplicates(["service", *ARM], keep="last")
    return latest.sort_values(["system", "service"], key=_control_first, kind="stable")


def _control_first(column: "pd.Series[str]") -> "pd.Series[str]":
    return column.where(column != "none", "")
