"""What got no answer about a face: probes refused or failed, photos not enrolled, files rejected."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from audit.types import Outcome
from reports.drawing import (
    CLOAKED,
    CONTROL,
    INK,
    WARNING,
    Drawn,
    drawing,
    drawn,
    label_rows,
    legend,
    stacked,
)
from reports.manifest import Manifest
from reports.statistics import BOOTSTRAP_MIN, share_interval, wilson

ROWS_MAX = 12
SHARE_MAX = 0.02
"""From more than this share on, what was left out is said before anything else."""
_REASONS_MAX = 4
_KINDS: Mapping[str, tuple[str, str, str]] = {
    "no_face": ("probes without a face", CLOAKED, ""),
    "refused": ("probes refused", WARNING, ""),
    "errors": ("probes that failed", INK, ""),
    "enrol_rejected": ("photos not enrolled", CONTROL, "////"),
}
_OUTCOMES = {"no_face": Outcome.NO_FACE, "refused": Outcome.REFUSED, "errors": Outcome.ERROR}
_FILES = "rejected_files"
_COLUMNS = ["arm", "kind", "count", "of", "share", "ci_low", "ci_high"]


def left_out(summary: pd.DataFrame, photos: pd.DataFrame) -> pd.DataFrame:
    """Return per arm how many probes got no answer about a face and how many photos no enrolment.

    `kind` is no_face, refused, errors (of the arm's probes) or enrol_rejected (of the photos sent
    for enrolment); under no arm stand rejected_files, of the photo set's. `ci_low` and `ci_high`
    are Wilson's 95 % ends of the share.
    """
    rows = [
        (arm["arm"], kind, arm[kind], _of(arm, kind))
        for arm in summary.to_dict("records")
        for kind in _KINDS
        if pd.notna(arm[kind])
    ]
    rows.append(("", _FILES, int(photos["rejected"].astype(bool).sum()), len(photos)))
    return pd.DataFrame([_row(*row) for row in rows if row[3]], columns=_COLUMNS)


def by_person(
    observations: pd.DataFrame, enrolment: pd.DataFrame, photos: pd.DataFrame
) -> pd.DataFrame:
    """Return the same per protected person, over all arms, with her rejected files.

    A photo is asked about, or sent, in every arm, and what becomes of it there moves together: so
    intervals go by photos as those of `statistics.share_interval` go by people, missing under
    BOOTSTRAP_MIN photos. No rows for a single person.
    """
    people = sorted(observations["true_person"].unique())
    answered = enrolment[enrolment["outcome"] != "open"]
    flags = (
        observations[["true_person", "probe_sha256"]].assign(
            **{kind: observations["outcome"].eq(outcome) for kind, outcome in _OUTCOMES.items()}
        ),
        answered[["person", "photo_sha256"]].assign(
            enrol_rejected=answered["outcome"].ne("enrolled")
        ),
        photos[["person", "path"]].assign(**{_FILES: photos["rejected"].astype(bool)}),
    )
    tables = [_by_photo(each) for each in flags]
    rows = [
        (person, kind, *_losses(each[person], kind))
        for person in (people if len(people) > 1 else ())
        for each in tables
        if person in each
        for kind in each[person].columns.drop("asked")
    ]
    return pd.DataFrame(rows, columns=["person", *_COLUMNS[1:]])


def _by_photo(flags: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """Return for each person, who is in the first column, how often each photo had each flag."""
    person, photo, *kinds = flags.columns
    groups = flags.groupby([person, photo], observed=True, sort=False)
    counts = groups[kinds].sum().assign(asked=groups.size())
    return {str(whose): rows for whose, rows in counts.groupby(level=0, observed=True, sort=False)}


def _losses(photos: pd.DataFrame, kind: str) -> tuple[object, ...]:
    lost, asked = photos[kind].to_numpy(float), photos["asked"].to_numpy(float)
    interval = share_interval(lost, asked) if len(asked) >= BOOTSTRAP_MIN else None
    low, high = interval or (np.nan, np.nan)
    return int(lost.sum()), int(asked.sum()), lost.sum() / asked.sum(), low, high


def _of(arm: Mapping[object, float], kind: str) -> float:
    return arm["enrolled"] + arm[kind] if kind == "enrol_rejected" else arm["probes"]


def _row(arm: str, kind: str, count: float, of: float) -> tuple[object, ...]:
    low, high = wilson(int(count), int(of)) or (np.nan, np.nan)
    return arm, kind, int(count), int(of), count / of, low, high


def is_much(table: pd.DataFrame) -> bool:
    """Tell whether any share is so large that it belongs on the first screen."""
    return bool((table["share"] > SHARE_MAX).any())


def words(table: pd.DataFrame, reasons: pd.DataFrame) -> str:
    """Say what was left out in words, most telling first.

    `table` is the frame of `left_out`, `reasons` that of `tables.rejected_by_reason`.
    """
    kinds = {**{kind: name for kind, (name, _, _) in _KINDS.items()}, _FILES: "files rejected"}
    parts = [_told(table[table["kind"] == kind], name) for kind, name in kinds.items()]
    told = "; ".join(part for part in parts if part)
    if not told:
        return "Nothing was refused, failed or rejected."
    return f"{told[0].upper()}{told[1:]}{_told_reasons(reasons)}."


def _told_reasons(reasons: pd.DataFrame) -> str:
    first, others = reasons[:_REASONS_MAX], int(reasons["files"][_REASONS_MAX:].sum())
    told = [
        f"{reason.replace('_', ' ')} {files}"
        for reason, files in zip(first["reason"], first["files"], strict=True)
    ]
    told += [f"other reasons {others}"] if others else []
    return f" ({', '.join(told)})" if told else ""


def _told(rows: pd.DataFrame, name: str) -> str:
    if not rows["count"].sum():
        return ""
    told = f"{name}: {rows['count'].sum()} of {rows['of'].sum()}"
    if len(rows) == 1:
        return told
    worst = rows.sort_values("share", ascending=False, kind="stable").iloc[0]
    return f"{told}, at most {100 * worst['share']:.1f} % ({worst['arm']})"


def figure(table: pd.DataFrame, manifest: Manifest, description: str) -> Drawn | None:
    """Draw a bar per arm and kind with its interval; None if nothing was left out in any arm.

    `table` is the frame of `left_out`. Only what occurs is drawn, of many arms the first ROWS_MAX.
    """
    there = table[(table["arm"] != "") & (table["count"] > 0)]
    arms = [arm.name for arm in manifest.arms if (there["arm"] == arm.name).any()][:ROWS_MAX]
    return _figure(there.rename(columns={"arm": "row"}), arms, "left_out", description)


def figure_by_person(table: pd.DataFrame, description: str) -> Drawn | None:
    """Draw a bar per person and kind with its interval; None if nothing was left out of several people's photos.

    `table` is the frame of `by_person`; of many people, the ROWS_MAX who lost most are drawn.
    """
    is_drawn = table["kind"].isin(list(_KINDS)) & (table["count"] > 0)
    there = table[is_drawn].rename(columns={"person": "row"})
    lost = there.groupby("row", sort=False)["count"].sum()
    people = lost.sort_values(ascending=False, kind="stable").index[:ROWS_MAX].tolist()
    return _figure(there, people, "left_out_by_person", description)


def _figure(there: pd.DataFrame, rows: list[str], name: str, description: str) -> Drawn | None:
    kinds = [kind for kind in _KINDS if (there["kind"] == kind).any()]
    if not kinds:
        return None
    with drawing(name):
        chart, (panel,) = stacked([max(2, len(rows))])
        label_rows(panel, rows)
        for place, kind in enumerate(kinds):
            _bars(panel, there[there["kind"] == kind], rows, kind, (place, len(kinds)))
        panel.set_xlim(0, min(1.0, 1.05 * float(there[["share", "ci_high"]].max().max())))
        panel.axvline(SHARE_MAX, color=CONTROL, linewidth=1, linestyle=(0, (4, 3)))
        panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        panel.xaxis.set_major_formatter(lambda share, _place: f"{100 * share:g} %")
        panel.set_xlabel("Share of probes, or of photos to enrol")
        legend(chart)
        return drawn(chart, name, description)


def _bars(
    panel: Axes, bars: pd.DataFrame, rows: list[str], kind: str, place: tuple[int, int]
) -> None:
    label, colour, hatch = _KINDS[kind]
    bars = bars.set_index("row").reindex(rows)
    height = 0.72 / place[1]
    y = np.arange(len(rows)) - 0.36 + height * (place[0] + 0.5)
    panel.barh(y, bars["share"].fillna(0), height, label=label, facecolor="none" if hatch else colour,
               edgecolor=colour, hatch=hatch, linewidth=0.8)  # fmt: skip
    panel.hlines(y, bars["ci_low"], bars["ci_high"], color=INK, linewidth=0.9)
