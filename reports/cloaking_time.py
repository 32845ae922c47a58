"""How long cloaking took: per photo, and until the first step."""

import numpy as np
import pandas as pd
from matplotlib.artist import setp
from matplotlib.axes import Axes

from reports.drawing import (
    CLOAKED,
    CONTROL,
    INK,
    Drawn,
    drawing,
    drawn,
    label_rows,
    markers,
    scatter,
    stacked,
    thinned,
)
from reports.manifest import Manifest
from reports.tables import CLOAK_KEYS, with_cloak_keys

_DENSITY_MIN = 5


def start_ups(manifest: Manifest) -> pd.DataFrame:
    """Return how long it took from the order to cloak a person's photos to the first step.

    One row per arm and person; no rows in runs of before version 6, which did not tell.
    """
    rows = [
        (arm, number, seconds)
        for arm, found in manifest.cloaking_startup_s.items()
        for number, seconds in enumerate(found)
    ]
    return pd.DataFrame(rows, columns=["arm", "number", "seconds"])


def figure(cloaks: pd.DataFrame, ups: pd.DataFrame, description: str) -> Drawn | None:
    """Draw each cloak's seconds a photo and each arm's start-ups, as points and density.

    None if nothing was cloaked. `ups` is the frame of `start_ups`.
    """
    if cloaks.empty:
        return None
    groups = list(with_cloak_keys(cloaks).groupby(list(CLOAK_KEYS), sort=False))
    names = [f"{system}-{level}" for (system, level, _, _), _ in groups]
    told = [
        str(folder) if folder != "." else name
        for ((_, _, folder, _), _), name in zip(groups, names, strict=True)
    ]
    photos = [rows["seconds"].to_numpy(float) for _, rows in groups]
    starts = [
        (str(arm), rows["seconds"].to_numpy(float)) for arm, rows in ups.groupby("arm", sort=False)
    ]
    with drawing("cloaking_time"):
        sizes = [len(groups), *([len(starts)] if starts else [])]
        chart, panels = stacked(sizes, sharex=False)
        _panel(panels[0], told, photos, CLOAKED)
        panels[0].set_title("Cloaking a photo")
        if starts:
            _panel(panels[1], [arm for arm, _ in starts], [values for _, values in starts], CONTROL)
            panels[1].set_title("Start-up: until a person's first step")
        panels[-1].set_xlabel("Seconds")
        return drawn(chart, "cloaking_time", description)


def _panel(panel: Axes, labels: list[str], rows: list[np.ndarray], colour: str) -> None:
    label_rows(
        panel, [f"{label}\nn = {len(values)}" for label, values in zip(labels, rows, strict=True)]
    )
    for place, values in enumerate(rows):
        if len(values) >= _DENSITY_MIN and np.ptp(values) > 0:
            _density(panel, place, values, colour)
        draw = scatter(place)
        some = thinned(values, draw)
        y = place + 0.22 + draw.uniform(-0.1, 0.1, len(some))
        markers(panel, some, y, f"points-{place}", colour, "o", filled=True)
        panel.plot([np.median(values)] * 2, [place, place + 0.36], color=INK, linewidth=1.4,
                   gid=f"{panel.get_gid()}-median-{place}")  # fmt: skip
    panel.set_xlim(left=0)


def _density(panel: Axes, place: int, values: np.ndarray, colour: str) -> None:
    """Draw a density above a row's middle, as high as half a row."""
    half = panel.violinplot(
        [values], [place], orientation="horizontal", side="low", widths=0.84, showextrema=False
    )
    gid = f"{panel.get_gid()}-density-{place}"
    setp(half["bodies"], color=colour, alpha=0.3, linewidth=0.8, gid=gid)
