"""What all figures share: one size, one palette, SVG and PNG with equal bytes for equal rows.

Every figure is narrow enough for a phone and grows downwards. Its colours are few and fixed, so
that the page's style sheet can swap them in the dark.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

# Okabe and Ito's palette: told apart by colour-blind readers. CONTROL is between both papers.
INK, RULE, CONTROL, CLOAKED, WARNING = "#20262d", "#c9ced4", "#7b848e", "#0072b2", "#d55e00"
WIDTH_INCH = 4.6
ROW_INCH = 0.52
LABEL_MAX = 40
POINTS_MAX = 200
_TICKS_MAX = 6
_SEED = 20210101
_PNG_DOTS_PER_INCH = 200
_PNG_SIDE_MAX_PX = 20_000
_EDGE_PX = 8
_LEGEND: dict[str, Any] = {"frameon": False, "fontsize": 8.5}
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
}


class Drawn(NamedTuple):
    """A figure, as SVG text for a page and as PNG for a paper or a talk."""

    svg: str
    png: bytes


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Draw with matplotlib's own defaults, whatever the user's settings are."""
    style = {**_STYLE, "svg.hashsalt": name}
    with matplotlib.style.context(style, after_reset=True), warnings.catch_warnings():
        # seaborn 0.13 calls matplotlib with an argument that 3.13 removes.
        warnings.filterwarnings("ignore", message="vert: bool")
        # Readers' fonts, not ours, draw the letters that ours lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def stacked(sizes: Sequence[float], *, sharex: bool = True) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels one below the other, each with room for so many rows."""
    height = sum(ROW_INCH * size + 0.5 for size in sizes) + 0.3
    figure = Figure(figsize=(WIDTH_INCH, height), layout="constrained")
    axes = figure.subplots(len(sizes), sharex=sharex, height_ratios=list(sizes), squeeze=False)
    panels = list(axes[:, 0])
    for number, panel in enumerate(panels):
        panel.set_gid(f"panel-{number}")
    return figure, panels


def panels_of(
    rows: int, columns: int, size: tuple[float, float]
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of that size in inches and its panels, row by row, none sharing an axis."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for number, panel in enumerate(axes.flat):
        panel.set_gid(f"panel-{number}")
    return figure, axes.tolist()


def label_rows(panel: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a panel, the first at its top; a long name goes over several lines."""
    wrapped = ["\n".join(_lines(label.replace(", ", ",\n", 1))) for label in labels]
    panel.set_yticks(range(len(labels)), wrapped, parse_math=False)
    panel.set_ylim(len(labels) - 0.5, -0.5)


def _lines(label: str) -> list[str]:
    return [part for line in label.split("\n") for part in textwrap.wrap(line, LABEL_MAX) or [""]]


def inner_ticks() -> MaxNLocator:
    """Return what places few ticks, none at an axis' end: a reader's font may be wider than ours."""
    return MaxNLocator(_TICKS_MAX, steps=[1, 2, 5, 10], prune="both")


def legend(place: Axes | Figure) -> None:
    """Name what has a label: a panel's lines in it, or the first panel's marks below the figure."""
    if isinstance(place, Axes):
        names = place.legend(loc="best", **_LEGEND)
    else:
        handles, labels = place.axes[0].get_legend_handles_labels()
        names = place.legend(handles, labels, loc="outside lower left", ncols=2, **_LEGEND)
    for text in names.get_texts():
        text.set_parse_math(False)


def scatter(*places: int) -> np.random.Generator:
    """Return what spreads and chooses the points at these places, alike in every report."""
    return np.random.default_rng([_SEED, *places])


def thinned(values: NDArray[Any], draw: np.random.Generator) -> NDArray[Any]:
    """Return the values, of more than POINTS_MAX so many of them, chosen at random."""
    return draw.choice(values, POINTS_MAX, replace=False) if len(values) > POINTS_MAX else values


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


def drawn(figure: Figure, name: str, description: str) -> Drawn:
    """Return the figure as SVG that says what it shows, its ids unique within a page, and as PNG.

    Neither tells when or with which version it was drawn.
    """
    png = _png(figure)
    figure.set_layout_engine(None)  # it is laid out now: to do it again takes as long
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    text = buffer.getvalue()
    body = re.sub(r"<[^>]*>", lambda tag: _own_ids(tag.group(), name), text[text.index("<svg") :])
    label = escape(description, quote=True)
    return Drawn(body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1), png)


def _png(figure: Figure) -> bytes:
    """Lay the figure out, draw it and return it as PNG without any metadata."""
    figure.dpi = min(_PNG_DOTS_PER_INCH, _PNG_SIDE_MAX_PX / figure.get_figheight())
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib declares no types of its methods
    canvas.draw()
    if sum(_pulled_in(panel) for panel in figure.axes):
        canvas.draw()
    buffer = io.BytesIO()
    pixels = np.asarray(canvas.buffer_rgba())
    picture = Image.fromarray(pixels).convert("RGB")
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _pulled_in(panel: Axes) -> bool:
    """Move a drawn panel's label left if it ends outside of the figure, and tell whether it did.

    The layout takes labels for no wider than their panel, which long names of rows make narrow.
    """
    label, figure = panel.xaxis.label, panel.figure
    outside = label.get_window_extent().x1 + _EDGE_PX - figure.bbox.x1
    if outside <= 0:
        return False
    label.set_x(label.get_position()[0] - outside / panel.bbox.width)
    return True


def _own_ids(tag: str, name: str) -> str:
    tag = tag.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    return tag.replace('href="#', f'href="#{name}-')
