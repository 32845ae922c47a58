"""Who the person is mistaken for: whom the service named instead, arm by arm."""

import pandas as pd
from matplotlib.ticker import MaxNLocator

from reports.drawing import CLOAKED, CONTROL, Drawn, drawing, drawn, label_rows, stacked
from reports.manifest import Manifest
from reports.tables import of_arm

NAMES_MAX, ARMS_MAX = 6, 12


def figure(table: pd.DataFrame, manifest: Manifest, description: str) -> Drawn | None:
    """Draw how many probes each wrong name was given to; None if none ever was.

    `table` is the frame of `tables.mistaken_for`. The NAMES_MAX most frequent names of an arm, and
    all others together; of many arms, the ARMS_MAX with the most such probes.
    """
    counts = {arm.name: _names(of_arm(table, arm)) for arm in manifest.arms}
    chosen = sorted((arm for arm in manifest.arms if len(counts[arm.name])),
                    key=lambda arm: -counts[arm.name].sum())[:ARMS_MAX]  # fmt: skip
    if not chosen:
        return None
    arms = [arm for arm in manifest.arms if arm in chosen]
    with drawing("mistaken"):
        chart, panels = stacked([max(1.4, 0.55 * len(counts[arm.name])) for arm in arms])
        for panel, arm in zip(panels, arms, strict=True):
            names = counts[arm.name]
            panel.set_title(arm.name, parse_math=False)
            label_rows(panel, [str(name) for name in names.index])
            colour = CONTROL if arm.is_control else CLOAKED
            bars = panel.barh(range(len(names)), names, 0.6, color=colour)
            panel.bar_label(bars, padding=3)
            panel.margins(x=0.1)
            panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panels[-1].set_xlabel("Probes in which the service named this person")
        return drawn(chart, "mistaken", description)


def _names(rows: pd.DataFrame) -> "pd.Series[int]":
    """Return an arm's wrong names with their probes, most first, the rest in one entry."""
    sums = rows.groupby("top_person", dropna=False)["probes"].sum()
    counts: pd.Series[int] = sums.sort_values(ascending=False, kind="stable")
    first, rest = counts[:NAMES_MAX], counts[NAMES_MAX:]
    if rest.empty:
        return first
    return pd.concat([first, pd.Series({f"{len(rest)} others": rest.sum()})])
