"""Rates of the tables with their intervals, and the table that is printed."""

from collections.abc import Sequence
from typing import Any

from audit.judging.judge import Row

_INTERVALS = {
    "protection_rate": ("protected", "probes"),
    "true_match_rate": ("matched", "genuine_pairs"),
    "left_rate": ("left", "asked"),
    "cluster_accuracy": ("right", "together"),
    "detection_rate": ("detected", "cloaked"),
}
"""By rate: the columns of its numerator and its denominator."""


def with_intervals(row: Row) -> Row:
    """Return a row with each of its rates, and Wilson's interval of it."""
    from reports.statistics import wilson

    added: Row = {}
    for rate, (hits, of) in _INTERVALS.items():
        if hits in row:
            interval = wilson(row[hits], row[of])
            added[rate] = row[hits] / row[of] if interval else None
            added[f"{rate}_low"] = interval.low if interval else None
            added[f"{rate}_high"] = interval.high if interval else None
    return row | added


def short(transfer: Sequence[Row]) -> list[Row]:
    """Return the table that is printed: a row an arm and judge, protection in % with its interval."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in transfer:
        arm = {key: row[key] for key in ("system", "level", "cloaked_on")}
        short = found.setdefault(
            (*arm.values(), row["judged_by"]),
            arm | {"dssim": f"{row['dssim']:.4f}", "judged_by": row["judged_by"]},
        )
        low, high = (100 * (row[f"protection_rate_{end}"] or 0) for end in ("low", "high"))
        rate = 100 * (row["protection_rate"] or 0)
        short[f"{row['game']}, {row['matching']}"] = f"{rate:.0f} ({low:.0f}-{high:.0f})"
        short[f"{row['game']} probes"] = row["probes"]
    return list(found.values())
