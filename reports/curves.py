"""Protection at every threshold and rank, as frames: what a service's own settings would decide."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.types import Outcome
from reports.manifest import Manifest
from reports.statistics import wilson
from reports.tables import FACE_FOUND, of_arm

THRESHOLDS = np.linspace(0, 1, 101)
RANKS_MAX = 10


def by_threshold(observations: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return each arm's protection success rate if the service answered from each threshold on.

    A probe is recognised if the person comes first with at least so much confidence. Below the
    threshold that was asked with, a probe without a match may have hidden the person: it counts
    as recognised in `least` and as protected in `most`. `ci_low` and `ci_high` are Wilson's 95 %
    ends of the two.
    """
    return pd.concat([_thresholds(of_arm(observations, arm), arm.name) for arm in manifest.arms])


def _thresholds(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    found = rows[rows["outcome"].isin([str(outcome) for outcome in FACE_FOUND])]
    matched = found["outcome"] == Outcome.MATCH
    known = np.sort(found.loc[matched, "true_score"].to_numpy(float))
    recognised = len(known) - np.searchsorted(known, THRESHOLDS, side="left")
    unknown = found[(found["outcome"] == Outcome.NO_MATCH) & found["censored"]]
    hidden_below = np.sort(unknown["threshold"].fillna(0.0).to_numpy(float))
    may_be = len(hidden_below) - np.searchsorted(hidden_below, THRESHOLDS, side="right")
    most, least = len(found) - recognised, len(found) - recognised - may_be
    return _rates(arm, "threshold", THRESHOLDS, least, most, len(found))


def by_rank(observations: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Return the share of each arm's probes whose person is among the first so many (CMC).

    `least` and `most` are the same; the columns are those of `by_threshold`.
    """
    return pd.concat([_ranks(of_arm(observations, arm), arm.name) for arm in manifest.arms])


def _ranks(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    found = rows[rows["outcome"].isin([str(outcome) for outcome in FACE_FOUND])]
    ranks = np.arange(1, RANKS_MAX + 1)
    known = np.sort(found["rank"].dropna().to_numpy(float))
    among = np.searchsorted(known, ranks, side="right")
    return _rates(arm, "rank", ranks, among, among, len(found))


def _rates(
    arm: str,
    name: str,
    at: NDArray[np.number],
    least: NDArray[np.int64],
    most: NDArray[np.int64],
    of: int,
) -> pd.DataFrame:
    """Return one row per place `at`; the rates are missing where no probe showed a face."""
    share = 1 / of if of else np.nan
    ends = [
        (wilson(int(few), of), wilson(int(many), of)) for few, many in zip(least, most, strict=True)
    ]
    return pd.DataFrame(
        {
            "arm": arm,
            name: at,
            "probes": of,
            "least": least * share,
            "most": most * share,
            "ci_low": [low.low if low else np.nan for low, _ in ends],
            "ci_high": [high.high if high else np.nan for _, high in ends],
        }
    )
