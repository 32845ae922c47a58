"""The figures of a comparison: changes with their intervals, arms over time."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.drawing import (
    CLOAKED,
    CONTROL,
    INK,
    RULE,
    WARNING,
    Drawn,
    drawing,
    drawn,
    inner_ticks,
    label_rows,
    stacked,
)

_PANEL_ROWS = 2.2
_TICKS_MAX = 4
_ENDS = {
    "mean_score": ("mean_low", "mean_high"),
    "protection_success_rate": ("ci_low", "ci_high"),
}
"""Of each measure drawn over time: the columns with the ends of its interval."""


def changes(table: pd.DataFrame, description: str) -> Drawn:
    """Draw each arm's change of score, and the cloaked arms' beyond the control's, by service."""
    groups = list(table.groupby("service", sort=False))
    with drawing("changes"):
        figure, panels = stacked([2 * len(rows) for _, rows in groups])
        for panel, (service, rows) in zip(panels, groups, strict=True):
            lines = _lines(rows)
            label_rows(panel, [label for label, _, _ in lines])
            panel.set_title(str(service), parse_math=False)
            panel.axvline(0, color=CONTROL, linewidth=1)
            for place, (_, values, colour) in enumerate(lines):
                _interval(panel, place, values, colour)
        panels[-1].xaxis.set_major_locator(inner_ticks())
        panels[-1].margins(x=0.12)
        panels[-1].set_xlabel("Change of the true person's score")
        return drawn(figure, "changes", description)


def _lines(rows: pd.DataFrame) -> list[tuple[str, Sequence[float], str]]:
    """Return what a panel shows, top down: a label, the point with both ends, a colour."""
    lines: list[tuple[str, Sequence[float], str]] = []
    for row in rows.to_dict("records"):
        is_control = row["system"] == "none"
        change = [row[key] for key in ("change", "change_low", "change_high")]
        name = "No cloak" if is_control else str(row["arm"])
        lines.append((f"{name}\nn = {row['pairs']}", change, CONTROL if is_control else INK))
        if not is_control:
            beyond = [row[key] for key in ("beyond", "beyond_low", "beyond_high")]
            lines.append((f"{name},\nbeyond the control", beyond, CLOAKED))
    return lines


def _interval(panel: Axes, place: int, values: Sequence[float], colour: str) -> None:
    point, low, high = values
    if math.isnan(point):
        panel.text(0, place, "no pair of scores", va="center", color=INK)
        return
    if not math.isnan(low):
        panel.plot([low, high], [place, place], color=colour, linewidth=1.6)
    panel.plot([point], [place], "o", color=colour, markersize=6, gid=f"{panel.get_gid()}-{place}")
    panel.annotate(
        f"{point:+.3f}".replace("-", "\N{MINUS SIGN}"),
        (point, place), xytext=(0, 6), textcoords="offset points", ha="center", va="bottom",
    )  # fmt: skip


def trend(
    table: pd.DataFrame, shifts: pd.DataFrame, measure: str, name: str, description: str
) -> Drawn:
    """Draw a measure of each arm over time, the control's in grey, one panel a service and arm.

    Dashed lines stand where the service told another model, rings where `shifts` (service, arm,
    measure, run) has a change point.
    """
    groups = [
        (f"{service}: {'no cloak' if rows['system'].iloc[0] == 'none' else arm}", rows)
        for (service, arm), rows in table.groupby(["service", "arm"], sort=False)
    ]
    with drawing(name):
        figure, panels = stacked([_PANEL_ROWS] * len(groups))
        for panel, (title, rows) in zip(panels, groups, strict=True):
            panel.set_title(title, parse_math=False)
            of_service = table[table["service"] == rows["service"].iloc[0]]
            _line(panel, of_service[of_service["system"] == "none"], measure, CONTROL)
            if rows["system"].iloc[0] != "none":
                _line(panel, rows, measure, CLOAKED)
            for day in rows["days"][rows["model_changed"]]:
                panel.axvline(day, color=INK, linewidth=1, linestyle=(0, (4, 3)))
            _rings(panel, rows, shifts[shifts["measure"] == measure], measure)
            _axes(panel)
        return drawn(figure, name, description)


def _line(panel: Axes, rows: pd.DataFrame, measure: str, colour: str) -> None:
    """Draw one arm: a point a run, and its interval if the table has one of this measure."""
    low, high = _ENDS[measure]
    panel.vlines(rows["days"], rows[low], rows[high], color=colour, linewidth=1)
    panel.plot(rows["days"], rows[measure], "o-", color=colour, linewidth=1, markersize=3.5)


def _rings(panel: Axes, rows: pd.DataFrame, shifts: pd.DataFrame, measure: str) -> None:
    found = rows.merge(shifts[["service", "arm", "run"]], on=["service", "arm", "run"])
    panel.plot(
        found["days"], found[measure], "o", color=WARNING, markersize=9,
        markerfacecolor="none", markeredgewidth=1.6, gid=f"{panel.get_gid()}-shifts",
    )  # fmt: skip


def _axes(panel: Axes) -> None:
    panel.xaxis.set_major_locator(MaxNLocator(_TICKS_MAX, steps=[1, 2, 5, 10]))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda days, _place: _day(days)))
    panel.grid(visible=True, axis="y")
    panel.margins(y=0.15)


def _day(days: float) -> str:
    return datetime.fromtimestamp(days * 86400, UTC).date().isoformat()


def published(rows: pd.DataFrame, name: str, description: str) -> Drawn:
    """Draw a run's mean scores beside those that a study printed, one row per printed number."""
    shown = rows[rows["quantity"] == "mean_score"].to_dict("records")
    with drawing(name):
        figure, (panel,) = stacked([len(shown)])
        label_rows(panel, [str(row["printed"]) for row in shown])
        for place, row in enumerate(shown):
            panel.plot([row["published"]], [place], "D", color=WARNING, markersize=7,
                       markerfacecolor="none", markeredgewidth=1.4)  # fmt: skip
            if pd.notna(row["measured"]):
                panel.plot([row["published"], row["measured"]], [place] * 2, color=RULE)
                panel.plot([row["measured"]], [place], "o", color=CLOAKED, markersize=6,
                           gid=f"panel-0-measured-{place}")  # fmt: skip
        panel.set_xlabel("Mean score of the true person")
        return drawn(figure, name, description)
