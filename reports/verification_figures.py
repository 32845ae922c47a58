"""Figures of verification: ROC and DET, a line per arm."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import norm

from reports.curve_figures import ROWS, look
from reports.drawing import Drawn, drawing, drawn, legend, stacked
from reports.manifest import Manifest
from reports.tables import of_arm

_DET_TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
_FMR_LEAST = 1e-4


def roc(table: pd.DataFrame, manifest: Manifest, description: str) -> Drawn | None:
    """Draw the share of genuine scores accepted against that of impostors (log scale).

    None if no arm has both; `table` is the frame of `verification.verification`.
    """
    if table.empty:
        return None
    with drawing("roc"):
        figure, panels = stacked([ROWS] * len(manifest.groups))
        for panel, group in zip(panels, manifest.groups, strict=True):
            panel.set_title(group.title, parse_math=False)
            for number, (arm, label) in enumerate(zip(group.arms, group.labels, strict=True)):
                _roc_line(panel, of_arm(table, arm), label, look(arm, number))
            panel.set_xscale("log")
            panel.set_xlim(_FMR_LEAST, 1)
            panel.set_ylim(-0.03, 1.03)
            panel.set_yticks(np.linspace(0, 1, 6), [f"{tick} %" for tick in range(0, 101, 20)])
            panel.set_ylabel("Person accepted")
            panel.grid(visible=True, axis="both")
            legend(panel)
        ticks = [0.0001, 0.001, 0.01, 0.1, 1]
        panels[-1].set_xticks(ticks, [_percent(tick) for tick in ticks])
        panels[-1].minorticks_off()
        panels[-1].set_xlabel("Others accepted (false match rate)")
        return drawn(figure, "roc", description)


def _roc_line(panel: Axes, rows: pd.DataFrame, label: str, how: dict[str, Any]) -> None:
    gid = f"{panel.get_gid()}-{label}"
    x = rows["fmr_most"].clip(lower=_FMR_LEAST)
    panel.step(
        x,
        1 - rows["fnmr_most"],
        where="pre",
        label=_told(rows, label),
        gid=gid,
        linewidth=1.6,
        **how,
    )
    panel.fill_between(
        x, 1 - rows["fnmr_high"], 1 - rows["fnmr_low"], step="pre", alpha=0.14, linewidth=0,
        color=how["color"],
    )  # fmt: skip


def det(table: pd.DataFrame, manifest: Manifest, description: str) -> Drawn | None:
    """Draw both error rates against each other on normal-deviate scales (Martin et al., 1997).

    None if no arm has both; `table` is the frame of `verification.verification`.
    """
    if table.empty:
        return None
    ticks = np.asarray(norm.ppf(_DET_TICKS))
    words = [_percent(tick) for tick in _DET_TICKS]
    with drawing("det"):
        figure, panels = stacked([ROWS] * len(manifest.groups))
        for panel, group in zip(panels, manifest.groups, strict=True):
            panel.set_title(group.title, parse_math=False)
            for number, (arm, label) in enumerate(zip(group.arms, group.labels, strict=True)):
                _det_line(panel, of_arm(table, arm), label, look(arm, number))
            panel.set_yticks(ticks, words)
            panel.set_ylim(ticks[0], ticks[-1])
            panel.set_ylabel("Person missed")
            panel.grid(visible=True, axis="both")
            legend(panel)
        panels[-1].set_xticks(ticks, words)
        panels[-1].set_xlim(ticks[0], ticks[-1])
        panels[-1].set_xlabel("Others accepted (false match rate)")
        return drawn(figure, "det", description)


def _det_line(panel: Axes, rows: pd.DataFrame, label: str, how: dict[str, Any]) -> None:
    x, y, low, high = (
        _deviates(rows[name]) for name in ("fmr_most", "fnmr_most", "fnmr_low", "fnmr_high")
    )
    gid = f"{panel.get_gid()}-{label}"
    panel.plot(x, y, label=_told(rows, label), gid=gid, linewidth=1.6, **how)
    panel.fill_between(
        x, low, high, alpha=0.14, linewidth=0, color=how["color"], gid=f"{gid}-interval"
    )


def _deviates(rates: "pd.Series[float]") -> NDArray[np.float64]:
    """Return normal deviates; rates beyond the scale stand at its ends."""
    return norm.ppf(rates.clip(_DET_TICKS[0], _DET_TICKS[-1]).to_numpy(float))


def _told(rows: pd.DataFrame, label: str) -> str:
    """Say in the legend why an arm's line can't be seen."""
    if rows.empty:
        return f"{label}: nobody else shown"
    is_clean = (rows[["fnmr_most", "fmr_most"]].max(axis=1) == 0).any()
    return f"{label}: no error" if is_clean else label


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
