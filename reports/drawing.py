"""What all figures share: one size, one palette, and SVG text with equal bytes for equal rows.

Every figure is narrow enough for a phone and grows downwards. Its colours are few and fixed, so
that the page's style sheet can swap them in the dark.
"""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by colour-blind readers. CONTROL is between both papers.
INK, RULE, CONTROL, CLOAKED, WARNING = "#20262d", "#c9ced4", "#7b848e", "#0072b2", "#d55e00"
WIDTH_INCH = 5.2
ROW_INCH = 0.52
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


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Draw with matplotlib's own defaults, whatever the user's settings are."""
    style = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.style.context(style, after_reset=True), warnings.catch_warnings():
        # seaborn 0.13 calls matplotlib with an argument that 3.13 removes; and readers' fonts,
        # not ours, draw the letters that ours lacks.
        warnings.filterwarnings("ignore", message="vert: bool")
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def stacked(sizes: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels one below the other, each with room for so many rows."""
    height = sum(ROW_INCH * size + 0.5 for size in sizes) + 0.3
    figure = Figure(figsize=(WIDTH_INCH, height))
    axes = figure.subplots(len(sizes), sharex=True, height_ratios=list(sizes), squeeze=False)
    panels = list(axes[:, 0])
    for number, panel in enumerate(panels):
        panel.set_gid(f"panel-{number}")
    return figure, panels


def label_rows(panel: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a panel, the first at its top."""
    wrapped = [label.replace(", ", ",\n", 1) for label in labels]
    panel.set_yticks(range(len(labels)), wrapped, parse_math=False)
    panel.set_ylim(len(labels) - 0.5, -0.5)


def markers(
    panel: Axes,
    x: "np.ndarray",
    y: "np.ndarray",
    gid: str,
    colour: str,
    marker: str,
    *,
    filled: bool,
) -> None:
    """Draw a small marker at each point, findable by `gid` within its panel."""
    size = 3.2 if filled else 4.2
    face = colour if filled else "none"
    panel.plot(
        x, y, marker, gid=f"{panel.get_gid()}-{gid}", markersize=size, markerfacecolor=face, markeredgecolor=colour,
        markeredgewidth=0.0 if filled else 0.9, alpha=0.55 if filled else 1.0, zorder=3,
    )  # fmt: skip


def svg(figure: Figure, name: str, description: str) -> str:
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
