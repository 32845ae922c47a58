"""Protection at every threshold and rank, as frames: what a service's own settings would decide."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.types import Outcome
from reports.manifest import Manifest
from reports.statistics import share_intervals
from reports.tables import FACE_FOUND, of_arm
from reports.units import Values, by_person

THRESHOLDS = np.linspace(0, 1, 101)
RANKS_MAX = 10

Places = NDArray[np.number]


def by_threshold(observations: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return each arm's protection success rate if the service answered from each threshold on.

    A probe is recognised if the person comes first with at least so much confidence. Below the
    threshold that was asked with, a probe without a match may have hidden the person: it counts
    as recognised in `least` and as protected in `most`. `ci_low` and `ci_high` are the 95 % ends of
    the two: Wilson's, or where several people are protected by people.
    """
    return pd.concat([_thresholds(of_arm(observations, arm), arm.name) for arm in manifest.arms])


def _thresholds(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    found, faces = _faces(rows)
    matched = found["outcome"] == Outcome.MATCH
    recognised = reaching(found[matched], "true_score", THRESHOLDS, rows)
    unknown = found[(found["outcome"] == Outcome.NO_MATCH) & found["censored"]]
    hidden = unknown.assign(threshold=unknown["threshold"].fillna(0.0))
    above = np.nextafter(THRESHOLDS, np.inf)
    may_be = reaching(hidden, "threshold", above, rows)
    most = faces[:, None] - recognised
    return _rates(arm, "threshold", THRESHOLDS, most - may_be, most, faces)


def by_rank(observations: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return the share of each arm's probes whose person is among the first so many (CMC).

    `least` and `most` are the same; the columns are those of `by_threshold`.
    """
    return pd.concat([_ranks(of_arm(observations, arm), arm.name) for arm in manifest.arms])


def _ranks(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    found, faces = _faces(rows)
    ranks = np.arange(1, RANKS_MAX + 1)
    known = found.dropna(subset="rank")
    downwards = -ranks[::-1]
    among = reaching(known.assign(rank=-known["rank"]), "rank", downwards, rows)[:, ::-1]
    return _rates(arm, "rank", ranks, among, among, faces)


def _faces(rows: pd.DataFrame) -> tuple[pd.DataFrame, Values]:
    """Return the probes in which a face was found, and how many each person has."""
    found = rows["outcome"].isin([str(outcome) for outcome in FACE_FOUND])
    return rows[found], by_person(found.to_numpy(), rows["true_person"])


def reaching(found: pd.DataFrame, column: str, at: Places, rows: pd.DataFrame) -> Values:
    """Return how many of each person's values are so large or larger, (people, places).

    The places `at` ascend; the people are those of `rows`, of which `found` are some.
    """
    people = pd.Index(rows["true_person"].unique())
    whose = people.get_indexer(found["true_person"])
    reached = np.searchsorted(at, found[column].to_numpy(float), side="right")
    steps = len(at) + 1
    counts = np.bincount(whose * steps + reached, minlength=len(people) * steps)
    from_above = counts.reshape(-1, steps)[:, ::-1].cumsum(axis=1)[:, ::-1]
    return from_above[:, 1:].astype(float)


def _rates(
    arm: str, name: str, at: Places, least: Values, most: Values, faces: Values
) -> pd.DataFrame:
    """Return one row per place `at`; the rates are missing where no probe showed a face."""
    of = faces.sum()
    share = 1 / of if of else np.nan
    return pd.DataFrame(
        {
            "arm": arm,
            name: at,
            "probes": int(of),
            "least": least.sum(axis=0) * share,
            "most": most.sum(axis=0) * share,
            "ci_low": share_intervals(least, faces)[0],
            "ci_high": share_intervals(most, faces)[1],
        }
    )
