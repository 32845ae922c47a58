"""Who the person is mistaken for: whom the service named instead, arm by arm."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from audit.types import Outcome
from reports.drawing import CLOAKED, CONTROL, INK, Drawn, drawing, drawn, label_rows, stacked
from reports.manifest import Manifest
from reports.statistics import share_intervals, wilson
from reports.tables import FACE_FOUND, faces_found, in_arm_order, of_arm
from reports.units import Values

NAMES_MAX, ARMS_MAX = 6, 12
_WHOSE = ["arm", "true_person"]
_COLUMNS = [*_WHOSE, "top_person", "probes", "of", "share", "ci_low", "ci_high", "mean_top_score"]


def mistaken_for(observations: pd.DataFrame) -> pd.DataFrame:
    """Return per arm and protected person whom the service named instead, most often first.

    `share` is that of the person's probes with a face, `of` so many, with Wilson's 95 % interval.
    """
    rows = observations[observations["outcome"] == Outcome.OTHER_PERSON]
    if rows.empty:
        return pd.DataFrame(columns=_COLUMNS)
    counts = rows.groupby(_COLUMNS[:3], dropna=False, sort=False)
    table = counts.agg(probes=("outcome", "size"), mean_top_score=("top_score", "mean"))
    found = observations[observations["outcome"].isin([str(outcome) for outcome in FACE_FOUND])]
    table = table.reset_index().join(found.groupby(_WHOSE).size().rename("of"), on=_WHOSE)
    ends = [wilson(*counts) or (np.nan, np.nan) for counts in table[["probes", "of"]].to_numpy(int)]
    table[["ci_low", "ci_high"]] = np.array(ends)
    table = table.assign(share=table["probes"] / table["of"])[_COLUMNS]
    order = ["true_person", "probes", "top_person"]
    return in_arm_order(table.sort_values(order, ascending=[True, False, True]), observations)


def figure(
    table: pd.DataFrame, by_person: pd.DataFrame, manifest: Manifest, description: str
) -> Drawn | None:
    """Draw how many probes each wrong name was given to, with intervals; None if none ever was.

    The frames are those of `mistaken_for` and `tables.by_person`. The NAMES_MAX most
    frequent names of an arm, and all others together; of many arms, the ARMS_MAX with the most such
    probes. Intervals are those of `statistics.share_intervals`, of the probes with a face.
    """
    faces = by_person.assign(faces=faces_found(by_person))
    names = {
        arm.name: named(of_arm(table, arm), of_arm(faces, arm).set_index("person")["faces"])
        for arm in manifest.arms
    }
    chosen = sorted((arm for arm in manifest.arms if len(names[arm.name])),
                    key=lambda arm: -names[arm.name]["probes"].sum())[:ARMS_MAX]  # fmt: skip
    if not chosen:
        return None
    arms = [arm for arm in manifest.arms if arm in chosen]
    with drawing("mistaken"):
        chart, panels = stacked([max(1.4, 0.55 * len(names[arm.name])) for arm in arms])
        for panel, arm in zip(panels, arms, strict=True):
            panel.set_title(arm.name, parse_math=False)
            _bars(panel, names[arm.name], CONTROL if arm.is_control else CLOAKED)
            panel.margins(x=0.1)
            panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panels[-1].set_xlabel("Probes in which the service named this person")
        return drawn(chart, "mistaken", description)


def named(rows: pd.DataFrame, faces: "pd.Series[float]") -> pd.DataFrame:
    """Return an arm's wrong names as the index, most frequent first, the rest in one entry.

    `faces` counts each protected person's probes with a face. `probes` got the name; `low` and
    `high` are the ends of the share's interval as a number of probes.
    """
    rows = rows.assign(top_person=rows["top_person"].astype(object).fillna("no name"))
    counts = rows.pivot_table("probes", "true_person", "top_person", "sum", fill_value=0)
    counts = counts.reindex(faces.index, fill_value=0)
    order = counts.sum().sort_values(ascending=False, kind="stable").index
    counts = counts[order]
    if len(order) > NAMES_MAX:
        others = {f"{len(order) - NAMES_MAX} others": counts[order[NAMES_MAX:]].sum(axis=1)}
        counts = counts[order[:NAMES_MAX]].assign(**others)
    asked: Values = np.asarray(faces, np.float64)
    low, high = share_intervals(counts.to_numpy(float), asked)
    ends = {"low": low * asked.sum(), "high": high * asked.sum()}
    return pd.DataFrame({"probes": counts.sum(), **ends})


def _bars(panel: Axes, names: pd.DataFrame, colour: str) -> None:
    label_rows(panel, [str(name) for name in names.index])
    places = np.arange(len(names))
    panel.barh(places, names["probes"], 0.6, color=colour)
    panel.hlines(places, names["low"], names["high"], color=INK, linewidth=0.9,
                 gid=f"{panel.get_gid()}-intervals")  # fmt: skip
    for place, (probes, high) in enumerate(zip(names["probes"], names["high"], strict=True)):
        panel.annotate(f"{probes:.0f}", (high, place), xytext=(3, 0), textcoords="offset points",
                       va="center")  # fmt: skip
