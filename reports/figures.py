"""The figures of a report as SVG text, equal bytes for equal rows.

Every figure is narrow enough for a phone and grows downwards, one row per arm. Its colours are
few and fixed, so that the page's style sheet can swap them in the dark.
"""

import io
import re
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib.style
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.manifest import Manifest, ManifestArm
from reports.tables import faces_found, of_arm

# Okabe and Ito's palette: told apart by colour-blind readers. CONTROL is between both papers.
INK, RULE, CONTROL, CLOAKED, WARNING = "#20262d", "#c9ced4", "#7b848e", "#0072b2", "#d55e00"
_WIDTH_INCH = 5.2
_ROW_INCH = 0.52
_HIDDEN_AT, _HIDDEN_HALF = -0.22, 0.12
_SEED = 20210101
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.left": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "figure.constrained_layout.use": True,
}


def scores(observations: pd.DataFrame, manifest: Manifest, description: str) -> str:
    """Draw the true person's scores: a box per arm and a point per probe, level by level.

    Scores that the service hid stand in a strip of their own, left of the axis.
    """
    groups = manifest.groups
    any_hidden = bool(observations["censored"].any())
    sizes = [len(group.arms) for group in groups]
    with _drawing("scores"):
        figure, panels = _panels(sizes)
        for panel, group in zip(panels, groups, strict=True):
            rows = [of_arm(observations, arm) for arm in group.arms]
            _rows(panel, [_scores_label(*it) for it in zip(group.labels, rows, strict=True)])
            panel.set_title(group.title, parse_math=False)
            _boxes(panel, rows, [_colour(arm) for arm in group.arms])
            for row, (arm, chosen) in enumerate(zip(group.arms, rows, strict=True)):
                _points(panel, row, chosen["true_score"].dropna(), _colour(arm))
                _hidden(panel, row, int(chosen["censored"].sum()))
            _score_axis(panel, any_hidden=any_hidden)
            _thresholds(panel, observations["threshold"])
        panels[-1].set_xlabel("Score of the true person")
        if any_hidden:
            _name_hidden(panels[-1])
        return _svg(figure, "scores", description)


def protection(summary: pd.DataFrame, manifest: Manifest, description: str) -> str:
    """Draw each arm's protection success rate with its Wilson interval."""
    groups = manifest.groups
    table = summary.assign(faces=faces_found(summary)).set_index("arm").to_dict("index")
    with _drawing("protection"):
        figure, panels = _panels([len(group.arms) for group in groups])
        for panel, group in zip(panels, groups, strict=True):
            arms = [table[arm.name] for arm in group.arms]
            _rows(panel, [_rate_label(*it) for it in zip(group.labels, arms, strict=True)])
            panel.set_title(group.title, parse_math=False)
            for row, (arm, measured) in enumerate(zip(group.arms, arms, strict=True)):
                _rate(panel, row, measured, _colour(arm))
            panel.set_xlim(-0.03, 1.03)
            panel.set_xticks(np.linspace(0, 1, 6), [f"{tick} %" for tick in range(0, 101, 20)])
        panels[-1].set_xlabel("Protection success rate")
        return _svg(figure, "protection", description)


def change(pairs: pd.DataFrame, table: pd.DataFrame, manifest: Manifest, description: str) -> str:
    """Draw every probe's change of score from the control, with the median and its interval."""
    groups = [(group.title, group.arms[1:], group.labels[1:]) for group in manifest.groups]
    measured = table.set_index("arm").to_dict("index")
    with _drawing("change"):
        figure, panels = _panels([len(arms) for _, arms, _ in groups])
        shown = [0.0, *pairs["change"].dropna()]
        for panel, (title, arms, labels) in zip(panels, groups, strict=True):
            counts = [measured[arm.name]["pairs"] for arm in arms]
            _rows(panel, [f"{label}\nn = {n}" for label, n in zip(labels, counts, strict=True)])
            panel.set_title(title, parse_math=False)
            panel.axvline(0, color=CONTROL, linewidth=1)
            for row, arm in enumerate(arms):
                _points(panel, row, of_arm(pairs, arm)["change"].dropna(), CLOAKED, below=0.16)
                _median(panel, row, measured[arm.name])
            panel.set_xlim(min(shown) - 0.05, max(shown) + 0.05)
        panels[-1].set_xlabel("Change of the true person's score from the control")
        return _svg(figure, "change", description)


@contextmanager
def _drawing(name: str) -> Iterator[None]:
    """Draw with matplotlib's own defaults, whatever the user's settings are."""
    style = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.style.context(style, after_reset=True), warnings.catch_warnings():
        # seaborn 0.13 calls matplotlib with an argument that 3.13 removes; and readers' fonts,
        # not ours, draw the letters that ours lacks.
        warnings.filterwarnings("ignore", message="vert: bool")
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _panels(sizes: Sequence[int]) -> tuple[Figure, list[Axes]]:
    height = sum(_ROW_INCH * size + 0.5 for size in sizes) + 0.3
    figure = Figure(figsize=(_WIDTH_INCH, height))
    axes = figure.subplots(len(sizes), sharex=True, height_ratios=list(sizes), squeeze=False)
    panels = list(axes[:, 0])
    for number, panel in enumerate(panels):
        panel.set_gid(f"panel-{number}")
    return figure, panels


def _rows(panel: Axes, labels: Sequence[str]) -> None:
    wrapped = [label.replace(", ", ",\n", 1) for label in labels]
    panel.set_yticks(range(len(labels)), wrapped, parse_math=False)
    panel.set_ylim(len(labels) - 0.5, -0.5)


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
    """Draw a point per value, spread a little; those beyond the whiskers are ringed."""
    x = values.to_numpy(dtype=float)
    y = row + below + np.random.default_rng([_SEED, row]).uniform(-0.17, 0.17, len(x))
    q1, q3 = np.quantile(x, [0.25, 0.75]) if len(x) else (0.0, 0.0)
    reach = 1.5 * (q3 - q1)
    inside = (x >= q1 - reach) & (x <= q3 + reach)
    _markers(panel, x[inside], y[inside], f"points-{row}", colour, "o", filled=True)
    _markers(panel, x[~inside], y[~inside], f"outliers-{row}", colour, "o", filled=False)


def _hidden(panel: Axes, row: int, count: int) -> None:
    spread = np.random.default_rng([_SEED, row, 1])
    x = _HIDDEN_AT + spread.uniform(-0.09, 0.09, count)
    y = row + spread.uniform(-0.25, 0.25, count)
    _markers(panel, x, y, f"hidden-{row}", WARNING, "^", filled=False)


def _markers(
    panel: Axes,
    x: "np.ndarray",
    y: "np.ndarray",
    gid: str,
    colour: str,
    marker: str,
    *,
    filled: bool,
) -> None:
    size = 3.2 if filled else 4.2
    face = colour if filled else "none"
    panel.plot(
        x, y, marker, gid=f"{panel.get_gid()}-{gid}", markersize=size, markerfacecolor=face, markeredgecolor=colour,
        markeredgewidth=0.0 if filled else 0.9, alpha=0.55 if filled else 1.0, zorder=3,
    )  # fmt: skip


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
    for threshold in sorted(set(thresholds.dropna()) - {0.0}):
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
    at_left = high > 0.8
    panel.annotate(
        f"{rate:.1%}".replace("%", " %"), (low if at_left else high, row),
        xytext=(-6 if at_left else 6, 0), textcoords="offset points",
        ha="right" if at_left else "left", va="center",
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


def _svg(figure: Figure, name: str, description: str) -> str:
    """Return the figure as SVG that says what it shows, its ids unique within a page."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    text = buffer.getvalue()
    body = re.sub(r"<[^>]*>", lambda tag: _own_ids(tag.group(), name), text[text.index("<svg") :])
    label = escape(description, quote=True)
    return body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _own_ids(tag: str, name: str) -> str:
    tag = tag.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    return tag.replace('href="#', f'href="#{name}-')
