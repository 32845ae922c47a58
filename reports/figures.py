"""The figures of a report, one row per arm."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from reports.drawing import (
    CLOAKED,
    CONTROL,
    INK,
    POINTS_MAX,
    RULE,
    WARNING,
    Drawn,
    drawing,
    drawn,
    inner_ticks,
    label_rows,
    markers,
    scatter,
    stacked,
    thinned,
)
from reports.manifest import Manifest, ManifestArm
from reports.tables import faces_found, of_arm

_HIDDEN_AT, _HIDDEN_HALF = -0.22, 0.12


def scores(observations: pd.DataFrame, manifest: Manifest, description: str) -> Drawn:
    """Draw the true person's scores: a box per arm and a point per probe, level by level.

    Scores that the service hid stand in a strip of their own, left of the axis.
    """
    groups, thresholds = manifest.groups, observations["threshold"]
    observations = observations[["arm", "true_score", "censored"]]
    any_hidden = bool(observations["censored"].any())
    sizes = [len(group.arms) for group in groups]
    with drawing("scores"):
        figure, panels = stacked(sizes)
        for panel, group in zip(panels, groups, strict=True):
            rows = [of_arm(observations, arm) for arm in group.arms]
            label_rows(panel, [_scores_label(*it) for it in zip(group.labels, rows, strict=True)])
            panel.set_title(group.title, parse_math=False)
            _boxes(panel, rows, [_colour(arm) for arm in group.arms])
            for row, (arm, chosen) in enumerate(zip(group.arms, rows, strict=True)):
                _points(panel, row, chosen["true_score"].dropna(), _colour(arm))
                _hidden(panel, row, int(chosen["censored"].sum()))
            _score_axis(panel, any_hidden=any_hidden)
            _thresholds(panel, thresholds)
        panels[-1].set_xlabel("Score of the true person")
        if any_hidden:
            _name_hidden(panels[-1])
        return drawn(figure, "scores", description)


def protection(summary: pd.DataFrame, manifest: Manifest, description: str) -> Drawn:
    """Draw each arm's protection success rate with its interval."""
    groups = manifest.groups
    table = summary.assign(faces=faces_found(summary)).set_index("arm").to_dict("index")
    with drawing("protection"):
        figure, panels = stacked([len(group.arms) for group in groups])
        for panel, group in zip(panels, groups, strict=True):
            arms = [table[arm.name] for arm in group.arms]
            label_rows(panel, [_rate_label(*it) for it in zip(group.labels, arms, strict=True)])
            panel.set_title(group.title, parse_math=False)
            for row, (arm, measured) in enumerate(zip(group.arms, arms, strict=True)):
                _rate(panel, row, measured, _colour(arm))
            panel.set_xlim(-0.03, 1.03)
            panel.set_xticks(np.linspace(0, 1, 6), [f"{tick} %" for tick in range(0, 101, 20)])
        panels[-1].set_xlabel("Protection success rate")
        return drawn(figure, "protection", description)


def change(pairs: pd.DataFrame, table: pd.DataFrame, manifest: Manifest, description: str) -> Drawn:
    """Draw every probe's change of score from the control, with the median and its interval."""
    groups = [(group.title, group.arms[1:], group.labels[1:]) for group in manifest.groups]
    pairs = pairs[["arm", "change"]]
    measured = table.set_index("arm").to_dict("index")
    with drawing("change"):
        figure, panels = stacked([len(arms) for _, arms, _ in groups])
        least, most = pairs["change"].agg(["min", "max"]).fillna(0.0)
        for panel, (title, arms, labels) in zip(panels, groups, strict=True):
            counts = [measured[arm.name]["pairs"] for arm in arms]
            label_rows(
                panel, [f"{label}\nn = {n}" for label, n in zip(labels, counts, strict=True)]
            )
            panel.set_title(title, parse_math=False)
            panel.axvline(0, color=CONTROL, linewidth=1)
            for row, arm in enumerate(arms):
                _points(panel, row, of_arm(pairs, arm)["change"].dropna(), CLOAKED, below=0.16)
                _median(panel, row, measured[arm.name])
            panel.set_xlim(min(least, 0) - 0.05, max(most, 0) + 0.05)
        panels[-1].xaxis.set_major_locator(inner_ticks())
        panels[-1].set_xlabel("Change of the true person's score from the control")
        return drawn(figure, "change", description)


def _colour(arm: ManifestArm) -> str:
    return CONTROL if arm.is_control else CLOAKED


def _scores_label(label: str, rows: pd.DataFrame) -> str:
    hidden = int(rows["censored"].sum())
    shown = int(rows["true_score"].notna().sum())
    return f"{label}\nn = {shown}" + (f" (+ {hidden} hidden)" if hidden else "")


def _rate_label(label: str, measured: Mapping[Hashable, Any]) -> str:
    unanswered = measured["probes"] - measured["faces"]
    return f"{label}\nn = {measured['faces']}" + (f" (+ {unanswered})" if unanswered else "")


def _boxes(panel: Axes, rows: Sequence[pd.DataFrame], colours: Sequence[str]) -> None:
    parts = [chosen.assign(row=row) for row, chosen in enumerate(rows)]
    data = pd.concat(parts).dropna(subset="true_score")[["row", "true_score"]]
    if data.empty:
        return
    order = list(range(len(rows)))
    sns.boxplot(
        data=data, x="true_score", y="row", hue="row", order=order, hue_order=order,
        palette=list(colours), orient="h", width=0.62, fill=False, linewidth=1.1,
        showfliers=False, legend=False, ax=panel,
    )  # fmt: skip


def _points(
    panel: Axes, row: int, values: "pd.Series[float]", colour: str, *, below: float = 0.0
) -> None:
    """Draw a point per value, spread a little; those beyond the whiskers are ringed.

    Of very many values POINTS_MAX are drawn, chosen at random.
    """
    x = values.to_numpy(dtype=float)
    q1, q3 = np.quantile(x, [0.25, 0.75]) if len(x) else (0.0, 0.0)
    reach = 1.5 * (q3 - q1)
    spread = scatter(row)
    x = thinned(x, spread)
    y = row + below + spread.uniform(-0.17, 0.17, len(x))
    inside = (x >= q1 - reach) & (x <= q3 + reach)
    markers(panel, x[inside], y[inside], f"points-{row}", colour, "o", filled=True)
    markers(panel, x[~inside], y[~inside], f"outliers-{row}", colour, "o", filled=False)


def _hidden(panel: Axes, row: int, count: int) -> None:
    count = min(count, POINTS_MAX)
    spread = scatter(row, 1)
    x = _HIDDEN_AT + spread.uniform(-0.09, 0.09, count)
    y = row + spread.uniform(-0.25, 0.25, count)
    markers(panel, x, y, f"hidden-{row}", WARNING, "^", filled=False)


def _score_axis(panel: Axes, *, any_hidden: bool) -> None:
    ticks = np.linspace(0, 1, 6)
    panel.set_xticks(ticks, [f"{tick:.1f}" for tick in ticks])
    panel.set_xlim(_HIDDEN_AT - _HIDDEN_HALF if any_hidden else -0.03, 1.03)
    panel.set(xlabel="", ylabel="")
    if any_hidden:
        strip = (_HIDDEN_AT - _HIDDEN_HALF, _HIDDEN_AT + _HIDDEN_HALF)
        panel.axvspan(*strip, color=RULE, alpha=0.35, linewidth=0)


def _name_hidden(panel: Axes) -> None:
    panel.annotate(
        "hidden by\nthe service", (_HIDDEN_AT, 0), xycoords=panel.get_xaxis_transform(),
        xytext=(0, -6), textcoords="offset points", ha="center", va="top",
    )  # fmt: skip


def _thresholds(panel: Axes, thresholds: "pd.Series[float]") -> None:
    for threshold in sorted(set(thresholds.dropna().unique()) - {0.0}):
        panel.axvline(
            threshold,
            color=WARNING,
            linewidth=1,
            linestyle=(0, (4, 3)),
            gid=f"{panel.get_gid()}-threshold",
        )


def _rate(panel: Axes, row: int, measured: Mapping[Hashable, Any], colour: str) -> None:
    if not measured["faces"]:
        panel.text(0, row, "no answer about a face", va="center", color=INK)
        return
    rate, low, high = (measured[key] for key in ("protection_success_rate", "ci_low", "ci_high"))
    panel.plot([low, high], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
    panel.plot(
        [rate], [row], "o", color=colour, markersize=6.5, gid=f"{panel.get_gid()}-rate-{row}"
    )
    panel.annotate(
        f"{rate:.1%}".replace("%", " %"), (rate, row), xytext=(0, 4), textcoords="offset points",
        ha="left" if rate < 1 / 2 else "right", va="bottom",
    )  # fmt: skip


def _median(panel: Axes, row: int, measured: Mapping[Hashable, Any]) -> None:
    if not measured["pairs"]:
        return
    y = row - 0.2
    if pd.notna(measured["ci_low"]):
        panel.plot([measured["ci_low"], measured["ci_high"]], [y, y], color=INK, linewidth=1.6)
    panel.plot(
        [measured["median_change"]],
        [y],
        "D",
        color=INK,
        markersize=5,
        gid=f"{panel.get_gid()}-median-{row}",
    )
