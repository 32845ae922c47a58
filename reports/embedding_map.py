"""Maps of how local networks see the photos: before and after cloaking."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from reports.drawing import (
    CLOAKED,
    CONTROL,
    INK,
    ROW_INCH,
    WARNING,
    WIDTH_INCH,
    Drawn,
    drawing,
    drawn,
    legend,
    panels_of,
)

PROJECTIONS = {"pca": "PCA", "tsne": "t-SNE"}
CLOAKS_MAX = 3
_ROWS = 4.6


def shown(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the networks and cloaks that are drawn: of each network the last CLOAKS_MAX cloaks."""
    pairs = table.loc[table["cloak"] != "", ["network", "cloak"]].drop_duplicates()
    last = pairs.groupby("network", sort=False).tail(CLOAKS_MAX)
    return list(last.itertuples(index=False, name=None))


def figure(table: pd.DataFrame, description: str) -> Drawn | None:
    """Draw each network's maps, PCA beside t-SNE, a row a cloak; None without a map.

    `table` is embedding_map.csv: a row per photo, network and projection.
    """
    pairs = shown(table)
    if not pairs:
        return None
    there = [name for name in PROJECTIONS if (table["projection"] == name).any()]
    with drawing("embedding_map"):
        height = len(pairs) * (ROW_INCH * _ROWS + 0.5) + 0.6
        chart, panels = panels_of(len(pairs), len(there), (WIDTH_INCH, height))
        for (network, cloak), row in zip(pairs, panels, strict=True):
            of_network = table[table["network"] == network]
            for projection, panel in zip(there, row, strict=True):
                rows = of_network[of_network["projection"] == projection]
                _panel(panel, rows[rows["cloak"].isin(["", cloak])])
                panel.set_xlabel(PROJECTIONS[projection])
            row[0].set_title(f"{cloak}, seen by {network}", parse_math=False)
        legend(chart)
        return drawn(chart, "embedding_map", description)


def _panel(panel: Axes, rows: pd.DataFrame) -> None:
    cloaked = rows[rows["cloak"] != ""]
    clean = rows[rows["cloak"] == ""]
    own = clean[clean["photo_sha256"].isin(cloaked["photo_sha256"])]
    rest = clean.drop(own.index)
    for role, marker, colour, label in (
        ("decoy", ".", CONTROL, "other people"),
        ("probe", "x", WARNING, "probes"),
    ):
        some = rest[rest["role"] == role]
        _marks(panel, some, label, {"marker": marker, "color": colour, "markersize": 4})
    pairs = own.merge(cloaked, on="photo_sha256", suffixes=("", "_after"))
    ends = pairs[["x", "y", "x_after", "y_after"]].to_numpy(float).tolist()
    ways = [[(x, y), (to_x, to_y)] for x, y, to_x, to_y in ends]
    panel.add_collection(LineCollection(ways, colors=CLOAKED, linewidths=0.5, alpha=0.5))
    before = {"marker": "o", "color": INK, "markersize": 4.5, "markerfacecolor": "none"}
    _marks(panel, own, "before cloaking", before)
    _marks(panel, cloaked, "after cloaking", {"marker": "^", "color": CLOAKED, "markersize": 4.5})
    panel.set_xticks([])
    panel.set_yticks([])
    panel.margins(0.06)


def _marks(panel: Axes, rows: pd.DataFrame, label: str, look: dict[str, Any]) -> None:
    if not rows.empty:
        gid = f"{panel.get_gid()}-{label.replace(' ', '-')}"
        panel.plot(rows["x"], rows["y"], linestyle="", label=label, gid=gid, **look)
