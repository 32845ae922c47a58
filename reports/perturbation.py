"""Confidence against the size of the perturbation: who is recognised behind how visible a cloak."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import stats

from audit.types import Game
from reports.drawing import (
    CLOAKED,
    CONTROL,
    Drawn,
    drawing,
    drawn,
    legend,
    scatter,
    stacked,
    thinned,
)
from reports.manifest import Manifest, ManifestArm
from reports.statistics import BOOTSTRAP_MIN, CONFIDENCE_LEVEL, mean_interval
from reports.tables import PROBE, of_arm
from reports.units import units

SIZES = {"dssim": "DSSIM of the cloak", "l2": "L2 of the cloak"}
_COLUMNS = [
    *("arm", "person", "probe_sha256", "photos", "dssim", "dssim_q1", "dssim_q3"),
    *("l2", "l2_q1", "l2_q3", "score", "score_low", "score_high"),
]
_ROWS = 5.0
_MARKERS = "os^Dv<>P"
_Pair = tuple[float, float]


def perturbation(
    observations: pd.DataFrame, cloaks: pd.DataFrame, manifest: Manifest
) -> pd.DataFrame:
    """Return how large the cloaks were beside the score that answered to them.

    Where cloaked photos were enrolled (game poison), no probe has a cloak of its own: one row per
    arm and person, the mean and the quartiles over her cloaked photos, and the mean of her probes'
    shown scores with its 95 % interval. Where the probes were cloaked (evade), one row per arm and
    probe. The control has no cloak: size 0. An arm that cloaks other people's photos has no rows.
    """
    shown = observations.loc[observations["true_score"].notna(), ["arm", *PROBE, "true_score"]]
    scores = shown.rename(columns={"true_person": "person", "true_score": "score"})
    folders = [file.rpartition("/")[0] for file in cloaks["file"]]
    groups = cloaks.groupby(np.array(folders, dtype=object))
    by_folder = {str(name): rows for name, rows in groups}
    parts = [
        _arm(of_arm(scores, arm), by_folder.get(_folder(arm, by_folder), cloaks[:0]), arm)
        for arm in manifest.arms
    ]
    numbers = dict.fromkeys(_COLUMNS[3:], float)
    return pd.concat(parts, ignore_index=True).astype(numbers)


def _folder(arm: ManifestArm, folders: Collection[str]) -> str:
    """Return the folder of an arm's cloaks: that by which it is named, or "" for all.

    Arms that differ in nothing but what the tracker does share one, whose name theirs begins with.
    """
    named = [it for it in folders if it and f"{arm.name}-".startswith(f"{it}-")]
    return max(named, key=len, default="")


def _arm(scores: pd.DataFrame, cloaks: pd.DataFrame, arm: ManifestArm) -> pd.DataFrame:
    if arm.game == Game.EVADE:
        rows = scores[["probe_sha256", "person", "score"]].assign(photos=1)
        sizes = cloaks[["source_sha256", *SIZES]].rename(columns={"source_sha256": "probe_sha256"})
    else:
        rows, sizes = _means(scores), _sizes(cloaks)
    if arm.is_control:
        rows = rows.assign(photos=0, **dict.fromkeys(SIZES, 0.0))
    else:
        rows = rows.merge(sizes)
    return rows.assign(arm=arm.name).reindex(columns=_COLUMNS)


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return each person's mean score with Student's interval over her probes."""
    table = scores.groupby("person", sort=True)["score"].agg(["mean", "std", "count"])
    counts = table["count"].where(table["count"] >= BOOTSTRAP_MIN)
    quantile = stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, counts - 1)
    reach = quantile * table["std"] / np.sqrt(counts)
    ends = {"score_low": table["mean"] - reach, "score_high": table["mean"] + reach}
    means = table.assign(score=table["mean"], probe_sha256="", **ends).reset_index()
    return means[["person", "probe_sha256", "score", "score_low", "score_high"]]


def _sizes(cloaks: pd.DataFrame) -> pd.DataFrame:
    """Return how large each person's cloaks are."""
    people = cloaks.astype(dict.fromkeys(SIZES, float)).groupby("person", sort=True)
    table = pd.DataFrame({"photos": people.size()})
    for size in SIZES:
        table[size] = people[size].mean()
        table[f"{size}_q1"], table[f"{size}_q3"] = (
            people[size].quantile(at) for at in (0.25, 0.75)
        )
    return table.reset_index()


def figure(table: pd.DataFrame, manifest: Manifest, description: str) -> Drawn | None:
    """Draw every arm's confidence against DSSIM and L2, its mean with bars; None without a cloak.

    `table` is the frame of `perturbation`. Of very many points POINTS_MAX of an arm are drawn.
    """
    if not (table["photos"] > 0).any():
        return None
    with drawing("perturbation"):
        chart, panels = stacked([_ROWS] * len(SIZES), sharex=False)
        for panel, (size, label) in zip(panels, SIZES.items(), strict=True):
            for number, arm in enumerate(manifest.arms):
                _draw(panel, of_arm(table, arm), size, arm, number)
            panel.set_xlabel(label)
            panel.xaxis.set_major_locator(MaxNLocator(5))
            panel.set_ylabel("Score of the true person")
            panel.set_ylim(-0.03, 1.03)
            panel.grid(visible=True, axis="both")
        legend(chart)
        return drawn(chart, "perturbation", description)


def _draw(panel: Axes, rows: pd.DataFrame, size: str, arm: ManifestArm, number: int) -> None:
    if rows.empty:
        return
    colour = CONTROL if arm.is_control else CLOAKED
    look: dict[str, Any] = {
        "color": colour, "marker": _MARKERS[number % len(_MARKERS)],
        "markerfacecolor": colour if number // len(_MARKERS) % 2 == 0 else "none",
    }  # fmt: skip
    some = rows.iloc[thinned(np.arange(len(rows)), scatter(number))]
    if len(rows) > 1:
        panel.plot(some[size], some["score"], linestyle="", markersize=3, alpha=0.4,
                   gid=f"{panel.get_gid()}-{arm.name}", **look)  # fmt: skip
    middle, spread, interval = _cross(rows, size)
    panel.plot([middle[0]] * 2, interval, color=colour, linewidth=1.4)
    panel.plot(spread, [middle[1]] * 2, color=colour, linewidth=1.4)
    panel.plot(*([value] for value in middle), linestyle="", markersize=8, label=arm.name,
               gid=f"{panel.get_gid()}-{arm.name}-mean", **look)  # fmt: skip


def _cross(rows: pd.DataFrame, size: str) -> tuple[_Pair, _Pair, _Pair]:
    """Return an arm's mean size and score, the sizes' middle half, the mean score's interval."""
    middle = float(rows[size].mean()), float(rows["score"].mean())
    if len(rows) == 1:
        row = rows.iloc[0]
        return middle, (row[f"{size}_q1"], row[f"{size}_q3"]), (row["score_low"], row["score_high"])
    q1, q3 = rows[size].quantile([0.25, 0.75])
    return (
        middle,
        (q1, q3),
        mean_interval(units(rows["score"].to_numpy(float), rows["person"])) or (np.nan, np.nan),
    )
