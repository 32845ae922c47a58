"""Runs side by side: each service's runs by date, paired probe by probe and arm by arm."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from audit.errors import UserError
from audit.types import Outcome
from reports.comparability import Difference, differences
from reports.compared_run import ComparedRun, read_compared_runs
from reports.tables import FACE_FOUND

PROBE = ["probe_sha256", "true_person"]


@dataclass(frozen=True, eq=False)
class Series:
    """The runs of one service, the earliest first."""

    service: str
    runs: tuple[ComparedRun, ...]

    @property
    def arms(self) -> tuple[str, ...]:
        """Return the names of all arms of these runs, the control first."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.arms))

    def having(self, arm: str) -> tuple[ComparedRun, ...]:
        """Return the runs that have this arm, the earliest first."""
        return tuple(run for run in self.runs if arm in run.arms)

    def label(self, run: ComparedRun) -> str:
        """Name a run by its day, and by its id too where another run is of the same day."""
        alone = [other.date for other in self.runs].count(run.date) == 1
        return run.date if alone else f"{run.date} ({run.id})"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is compared. `differences` are the reasons why it should not be: "" unless forced."""

    runs: tuple[ComparedRun, ...]
    differences: tuple[Difference, ...] = ()

    @property
    def people(self) -> int:
        """Return how many people are protected: of a forced comparison, in the run with most."""
        return max(int(run.observations["true_person"].nunique()) for run in self.runs)

    @property
    def series(self) -> tuple[Series, ...]:
        """Return the runs by service, the services in the order of their names."""
        names = sorted({run.service for run in self.runs})
        return tuple(
            Series(name, tuple(run for run in self.runs if run.service == name)) for name in names
        )


def read_comparison(folders: Sequence[Path], *, force: bool) -> Comparison:
    """Read the runs to be compared, in the order of their dates.

    Raises UserError for a run that is named twice, a broken folder, and, unless `force`, for runs
    that differ in more than time, service or system, telling every difference.
    """
    places = [folder.resolve() for folder in folders]
    if twice := next((place.name for place in places if places.count(place) > 1), None):
        raise UserError(f"{twice} is named twice.", expected="each run once")
    runs = sorted(read_compared_runs(folders), key=lambda run: (run.started_utc, run.id))
    found = differences(runs)
    if found and not force:
        raise UserError(
            "these runs can't be compared:\n" + "\n".join(f"  {each}" for each in found),
            expected="the same photos, split, cloaked bytes, thresholds, arms and settings",
            remedy="`audit rerun` makes a run that can be compared; --force compares these anyway "
            "and prints the reasons into the report",
        )
    return Comparison(tuple(runs), found)


def pairs(before: ComparedRun, after: ComparedRun, arm: str) -> pd.DataFrame:
    """Return one row per probe that was asked in this arm of both runs.

    `score_before` and `score_after` are the true person's, missing where the service hid or gave
    none; `identified_before` and `identified_after` are 1 or 0, missing where it found no face.
    """
    return _answers(before, arm).merge(
        _answers(after, arm), on=PROBE, suffixes=("_before", "_after"), validate="one_to_one"
    )


def _answers(run: ComparedRun, arm: str) -> pd.DataFrame:
    rows = run.observations[run.observations["arm"] == arm]
    found = rows["outcome"].isin([str(outcome) for outcome in FACE_FOUND])
    identified = rows["outcome"].eq(Outcome.MATCH).astype(float).where(found)
    answers = rows[[*PROBE, "censored"]].assign(score=rows["true_score"], identified=identified)
    return answers.sort_values(PROBE, kind="stable").reset_index(drop=True)
