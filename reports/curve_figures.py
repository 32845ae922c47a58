"""Figures of lines: protection by threshold, ranks, and each probe's way from the control."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from reports.drawing import (
    CLOAKED,
    CONTROL,
    INK,
    Drawn,
    drawing,
    drawn,
    legend,
    scatter,
    stacked,
    thinned,
)
from reports.manifest import Manifest, ManifestArm
from reports.tables import of_arm

ROWS = 3.4  # how many rows of other figures a panel of lines is high
_DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)))


def by_threshold(table: pd.DataFrame, manifest: Manifest, description: str) -> Drawn:
    """Draw each arm's protection success rate against the threshold, with its interval."""
    return _lines(table, manifest, "threshold", ("Threshold", "Not recognised"), description)


def by_rank(table: pd.DataFrame, manifest: Manifest, description: str) -> Drawn:
    """Draw the share of probes whose person is among the first so many (CMC)."""
    return _lines(table, manifest, "rank", ("Rank of the person", "Among the first"), description)


def _lines(
    table: pd.DataFrame, manifest: Manifest, name: str, labels: tuple[str, str], description: str
) -> Drawn:
    groups = manifest.groups
    with drawing(name):
        figure, panels = stacked([ROWS] * len(groups))
        for panel, group in zip(panels, groups, strict=True):
            panel.set_title(group.title, parse_math=False)
            for number, (arm, label) in enumerate(zip(group.arms, group.labels, strict=True)):
                _line(panel, of_arm(table, arm), name, label, look(arm, number))
            panel.set_ylim(-0.03, 1.03)
            panel.set_yticks(np.linspace(0, 1, 6), [f"{tick} %" for tick in range(0, 101, 20)])
            panel.set_ylabel(labels[1])
            panel.grid(visible=True, axis="both")
            legend(panel)
        panels[-1].set_xlabel(labels[0])
        return drawn(figure, name, description)


def look(arm: ManifestArm, number: int) -> dict[str, Any]:
    """Return how the line of a group's arm looks, the control's grey and all others dashed apart."""
    if arm.is_control:
        return {"color": CONTROL, "linestyle": _DASHES[number % len(_DASHES)]}
    return {"color": CLOAKED, "linestyle": _DASHES[(number - 1) % len(_DASHES)]}


def _line(panel: Axes, rows: pd.DataFrame, name: str, label: str, look: dict[str, Any]) -> None:
    """Draw a rate with its interval; what a hidden score leaves open is between two lines."""
    x, least, most, low, high = (
        rows[column].to_numpy(float) for column in (name, "least", "most", "ci_low", "ci_high")
    )
    gid = f"{panel.get_gid()}-{rows['arm'].iloc[0]}"
    panel.step(x, most, where="post", label=label, gid=gid, linewidth=1.6, **look)
    if (least < most).any():
        panel.step(x, least, where="post", linewidth=1.6, **look)
    panel.fill_between(x, low, high, step="post", alpha=0.14, linewidth=0, color=look["color"])


def slopes(pairs: pd.DataFrame, tests: pd.DataFrame, manifest: Manifest, description: str) -> Drawn:
    """Draw a line per probe from its score in the control to that in each arm of a level.

    Of very many probes POINTS_MAX are drawn, chosen at random. A heavy line goes from their median
    in the control by the shift of `arm_tests`, whose frame is `tests`, with its interval.
    """
    groups, shifts = manifest.groups, tests.set_index("arm").to_dict("index")
    with drawing("slopes"):
        figure, panels = stacked([ROWS] * len(groups))
        for panel, group in zip(panels, groups, strict=True):
            panel.set_title(group.title, parse_math=False)
            panel.set_xticks(range(len(group.arms)), group.labels, parse_math=False)
            panel.set_xlim(-0.3, len(group.arms) - 0.7)
            panel.set_ylim(-0.03, 1.03)
            panel.set_ylabel("Score of the true person")
            panel.grid(visible=True, axis="y")
            panel.tick_params(labelbottom=True)
            for number, arm in enumerate(group.arms[1:], start=1):
                _slopes(panel, of_arm(pairs, arm), number)
                _shift(panel, of_arm(pairs, arm), shifts[arm.name], number)
        return drawn(figure, "slopes", description)


def _slopes(panel: Axes, rows: pd.DataFrame, at: int) -> None:
    ends = rows[["true_score_control", "true_score"]].dropna().to_numpy(float)
    lines = [[(0, before), (at, after)] for before, after in thinned(ends, scatter(0))]
    gid = f"{panel.get_gid()}-slopes-{at}"
    panel.add_collection(LineCollection(lines, colors=CLOAKED, linewidths=0.7, alpha=0.45, gid=gid))


def _shift(panel: Axes, rows: pd.DataFrame, measured: Mapping[Hashable, Any], at: int) -> None:
    shift, *ends = (float(measured[name]) for name in ("shift", "ci_low", "ci_high"))
    start = float(rows.loc[rows["change"].notna(), "true_score_control"].median())
    gid = f"{panel.get_gid()}-shift-{at}"
    panel.plot([0, at], [start, start + shift], color=INK, linewidth=1.8, gid=gid, zorder=4)
    panel.plot([at, at], [start + end for end in ends], color=INK, linewidth=4, gid=f"{gid}-interval",
               solid_capstyle="butt", zorder=4)  # fmt: skip
