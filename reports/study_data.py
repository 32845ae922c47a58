"""A study's folder and its runs, read, and what the paper found judged by them."""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from audit.errors import UserError
from audit.types import Outcome
from reports.compared_run import ComparedRun, read_compared_runs
from reports.statistics import wilson
from reports.tables import FACE_FOUND

_TOP = 3
_RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}
Relation = Literal[">", "<", ">=", "<="]


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrialRun(_Told):
    """One run as the study tells it. Runs that differ in their tracker alone share `of`."""

    name: str
    of: str
    about: str


class Finding(_Told):
    """What the paper found: `left` and `right` are `RUN/ARM`, or `right` is a number.

    `measure` is protection (the success rate), top3 (the share of the probes whose person is among
    the first three) or score (the true person's mean score).
    """

    says: str
    measure: Literal["protection", "top3", "score"] = "protection"
    left: str
    relation: Relation
    right: str | float


class Absent(_Told):
    """A part of the paper that can't be run here, and why."""

    what: str
    why: str


class Told(_Told):
    """A study.toml."""

    study: str
    paper: str
    small: bool
    run: tuple[TrialRun, ...]
    finding: tuple[Finding, ...] = ()
    absent: tuple[Absent, ...] = ()


@dataclass(frozen=True, eq=False)
class StudyData:
    """A study and its runs, in its order; `trials` tell what each is."""

    told: Told
    trials: Sequence[TrialRun]
    runs: Sequence[ComparedRun]


class Measured(NamedTuple):
    """A measure with its 95 % interval, missing (NaN) where there is none; over how many probes."""

    value: float
    low: float
    high: float
    probes: int


def read_study_folder(folder: Path, runs: Mapping[str, Path]) -> StudyData:
    """Read study.toml and the runs; raises UserError naming a file that is missing or broken."""
    told = _told(folder / "study.toml")
    read = read_compared_runs([runs[trial.name] for trial in told.run])
    return StudyData(told, told.run, read)


def _told(path: Path) -> Told:
    try:
        return Told.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"{path} can't be used: {why}",
            expected="the file as `audit run --study` wrote it",
            remedy="restore the file, or run the study again",
        ) from error


def findings(data: StudyData) -> pd.DataFrame:
    """Return one row per finding: both sides as measured here, and whether it holds here.

    A side's interval (Wilson) is over the probes of all runs that it speaks of. `holds` is yes or
    no where the intervals bear it out, else which way the numbers point.
    """
    columns = ["finding", "measure", "left", "relation", "right", "measured", "against", "holds"]
    rows = [_judged(finding, data) for finding in data.told.finding]
    return pd.DataFrame(rows, columns=columns)


def _judged(finding: Finding, data: StudyData) -> Mapping[str, Any]:
    left = _side(finding.left, finding.measure, data)
    number = isinstance(finding.right, float)
    right = (
        Measured(float(finding.right), float(finding.right), float(finding.right), 0)
        if number
        else _side(str(finding.right), finding.measure, data)
    )
    return {
        "finding": finding.says,
        "measure": finding.measure,
        "left": finding.left,
        "relation": finding.relation,
        "right": str(finding.right),
        "measured": _written(left),
        "against": f"{finding.right:g}" if number else _written(right),
        "holds": verdict(left, finding.relation, right),
    }


def verdict(left: Measured, relation: Relation, right: Measured) -> str:
    """Tell whether one side stands to the other as said, in words."""
    if math.isnan(left.value) or math.isnan(right.value):
        return "not measured"
    if left.value == right.value and relation in "<>":
        return "no difference seen"
    holds = _RELATIONS[relation](left.value, right.value)
    apart = left.high < right.low or right.high < left.low
    if apart:
        return "yes" if holds else "no"
    return "points that way" if holds else "points the other way"


def _side(text: str, measure: str, data: StudyData) -> Measured:
    """Return a measure of an arm over all runs of a name."""
    run, _, arm = text.partition("/")
    rows = [
        each.observations[each.observations["arm"].isin(_named(arm, each))]
        for trial, each in zip(data.trials, data.runs, strict=True)
        if trial.of == run
    ]
    return measure_of(pd.concat(rows), measure) if rows else measure_of(pd.DataFrame(), measure)


def _named(arm: str, run: ComparedRun) -> list[str]:
    """Return the arm of a name, else those that are called so but for their settings."""
    if arm in run.arms:
        return [arm]
    return [name for name, each in run.arms.items() if each.bare_name == arm]


def measure_of(rows: pd.DataFrame, measure: str) -> Measured:
    """Return a measure of some observations."""
    nothing = Measured(math.nan, math.nan, math.nan, 0)
    if rows.empty:
        return nothing
    if measure == "score":
        scores = rows["true_score"].dropna()
        return (
            Measured(float(scores.mean()), math.nan, math.nan, len(scores))
            if len(scores)
            else nothing
        )
    found = rows[rows["outcome"].isin([str(outcome) for outcome in FACE_FOUND])]
    counted = (
        found["outcome"] != Outcome.MATCH if measure == "protection" else found["rank"] <= _TOP
    )
    interval = wilson(int(counted.sum()), len(found))
    return Measured(float(counted.mean()), *interval, len(found)) if interval else nothing


def _written(side: Measured) -> str:
    if math.isnan(side.value):
        return "not measured"
    if math.isnan(side.low):
        return f"{side.value:.3f} (n = {side.probes})"
    return f"{100 * side.value:.1f} % ({100 * side.low:.1f} to {100 * side.high:.1f}, n = {side.probes})"
