"""Verification: how far apart scores of the right person are from those of others, per arm.

Genuine scores are the true person's of each probe. Impostor scores are those that the service
showed for other people beside her. What it hid is known only to be no higher than something.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.curves import reaching
from reports.manifest import Manifest
from reports.statistics import share_intervals
from reports.tables import FACE_FOUND, PROBE, of_arm
from reports.units import Values, by_person

_STEPS = 101


def verification(
    observations: pd.DataFrame, shown: pd.DataFrame, manifest: Manifest
) -> pd.DataFrame:
    """Return each arm's error rates at every threshold, as if each score were a verification's.

    `shown` is the frame of `ledger_rows.read_shown`. `fnmr` (false non-match rate) is the share of
    genuine scores below the threshold, `fmr` (false match rate) that of impostor scores from it on;
    each from `_least` to `_most`, since a hidden score may be anything up to what was shown last.
    `fnmr_low` and `fnmr_high` are the 95 % ends of the two, as in `curves.by_threshold`. No rows for an arm in which no
    score of another person was shown.
    """
    people = observations["true_person"].nunique()
    others = people - 1 + manifest.counts.decoy_people if manifest.counts.decoy_people else 0
    wanted = ["arm", *PROBE, "outcome", "true_score", "top_score", "threshold", "censored", "rank"]
    found = observations.loc[
        observations["outcome"].isin([str(outcome) for outcome in FACE_FOUND]), wanted
    ]
    parts = [
        _arm(of_arm(found, arm), shown[shown["arm"] == arm.name], arm.name, others)
        for arm in manifest.arms
    ]
    return pd.concat(parts, ignore_index=True).astype(dict.fromkeys(_COLUMNS[1:], float))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return per arm how many scores there are and where both error rates meet (EER)."""
    rates = table.assign(eer=table[["fnmr_most", "fmr_most"]].max(axis=1))
    counts = ["genuine", "genuine_hidden", "impostor", "impostor_hidden"]
    rows = rates.groupby("arm", sort=False).agg(
        **{name: (name, "first") for name in counts}, eer=("eer", "min")
    )
    return rows.reset_index()


def note(totals: pd.DataFrame) -> str:
    """Say what hidden scores do to the curves; `totals` is the frame of `summary`."""
    genuine, impostor = (int(totals[f"{kind}_hidden"].sum()) for kind in ("genuine", "impostor"))
    parts = []
    if genuine:
        parts.append(f"{genuine} hidden scores of the person count as missed")
    if impostor:
        parts.append(
            f"{impostor} of other people, hidden below the last one shown, count as accepted from "
            "there down"
        )
    if not parts:
        return "No score was hidden."
    return f"{' and '.join(parts)}: the curves are the worst that the service can be."


def _arm(rows: pd.DataFrame, shown: pd.DataFrame, arm: str, others: int) -> pd.DataFrame:
    known, hidden = rows[rows["true_score"].notna()], rows[rows["censored"]]
    impostor, bounds, each = _impostors(rows, shown, others)
    if not len(impostor) or not len(known) + len(hidden):
        return pd.DataFrame(columns=_COLUMNS)
    at = _thresholds(known["true_score"].to_numpy(float), impostor)
    asked = by_person(
        (rows["true_score"].notna() | rows["censored"]).to_numpy(), rows["true_person"]
    )
    most = asked[:, None] - reaching(known, "true_score", at, rows)
    bounded = hidden.assign(bound=hidden["top_score"].fillna(hidden["threshold"]).fillna(0.0))
    least = most - reaching(bounded, "bound", at, rows)
    matched, may_match = len(impostor) - np.searchsorted(impostor, at), _reach(bounds, each, at)
    compared = len(impostor) + int(each.sum())
    return pd.DataFrame(
        {
            "arm": arm,
            "threshold": at,
            "genuine": len(known),
            "genuine_hidden": len(hidden),
            "impostor": len(impostor),
            "impostor_hidden": int(each.sum()),
            "fnmr_least": least.sum(axis=0) / asked.sum(),
            "fnmr_most": most.sum(axis=0) / asked.sum(),
            "fnmr_low": share_intervals(least, asked)[0],
            "fnmr_high": share_intervals(most, asked)[1],
            "fmr_least": matched / compared,
            "fmr_most": (matched + may_match) / compared,
        }
    )


_COLUMNS = [
    *("arm", "threshold", "genuine", "genuine_hidden", "impostor", "impostor_hidden"),
    *("fnmr_least", "fnmr_most", "fnmr_low", "fnmr_high", "fmr_least", "fmr_most"),
]


def _impostors(
    rows: pd.DataFrame, shown: pd.DataFrame, others: int
) -> tuple[Values, Values, NDArray[np.int64]]:
    """Return the scores shown for others, and per probe what bounds the hidden ones, and how many.

    The true person's place among the candidates is her rank; all other places are impostors'.
    """
    ranks = rows[["probe_sha256", "rank"]].drop_duplicates("probe_sha256")
    seen = shown.merge(ranks, on="probe_sha256")
    seen = seen.assign(is_other=seen["place"] != seen["rank"])
    lists = seen.groupby("probe_sha256").agg(last=("score", "min"), others=("is_other", "sum"))
    hidden = (others - lists["others"]).clip(lower=0).to_numpy(int)
    scores = np.sort(seen.loc[seen["is_other"], "score"].to_numpy(float))
    return scores, lists["last"].to_numpy(float), hidden


def _thresholds(genuine: Values, impostor: Values) -> Values:
    """Return where the rates change: all scores, of many a hundred of each kind, most at the ends."""
    shares = np.linspace(0, 1, _STEPS)
    tail = 1 - np.geomspace(1 / len(impostor), 1, _STEPS)
    parts = [
        np.quantile(values, part, method="nearest")
        for values, part in ((genuine, shares), (impostor, tail), (impostor, shares))
        if len(values)
    ]
    return np.unique(np.concatenate([*parts, [0.0, 1.0]]))


def _reach(bounds: Values, weights: NDArray[np.int64], at: Values) -> NDArray[np.int64]:
    """Return how many of the hidden may reach each threshold: those whose bound does."""
    order = bounds.argsort(kind="stable")
    upwards = np.append(weights[order][::-1].cumsum()[::-1], 0)
    return upwards[np.searchsorted(bounds[order], at, side="left")]
