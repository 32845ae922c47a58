"""The tables of a comparison's page: which columns, under which headings."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from reports.compare_tables import ARM
from reports.layout import NOT_APPLICABLE, Column, Table, count, score, share, signed, words

_Row = Mapping[Hashable, Any]
_WHICH = (
    Column("service", "Service", words),
    Column("arm", "Arm", words),
)


def chance(value: Any) -> str:
    """Write a p value."""
    if value is None or math.isnan(value):
        return NOT_APPLICABLE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def points(value: Any) -> str:
    """Write a change of a share in percentage points with its sign, a true minus."""
    if value is None or math.isnan(value):
        return NOT_APPLICABLE
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


CHANGES = (
    *_WHICH,
    Column("pairs", "Pairs of scores", count),
    Column("hidden", "Pairs with a hidden score", count),
    Column("hidden_once", "Hidden in one run only", count),
    Column("mean_before", "Mean before", score),
    Column("mean_after", "Mean after", score),
    Column("change", "Change", signed),
    Column("change_low", "95 % low", signed),
    Column("change_high", "95 % high", signed),
    Column("p", "p (Holm)", chance),
    Column("detectable", "Smallest detectable", score),
)
BEYOND = (
    *_WHICH,
    Column("beyond_pairs", "Probes with all four scores", count),
    Column("beyond_hidden_once", "Hidden in one run only", count),
    Column("beyond", "Change beyond the control", signed),
    Column("beyond_low", "95 % low", signed),
    Column("beyond_high", "95 % high", signed),
    Column("beyond_p", "p (Holm)", chance),
)
IDENTIFICATION = (
    *_WHICH,
    Column("asked", "Probes with a face in both", count),
    Column("identified_before", "Identified before", count),
    Column("identified_after", "Identified after", count),
    Column("lost", "No longer", count),
    Column("gained", "Newly", count),
    Column("rate_change", "Change, points", points),
    Column("rate_low", "95 % low", points),
    Column("rate_high", "95 % high", points),
    Column("rate_p", "p (Holm)", chance),
)
SHIFTS = (
    Column("service", "Service", words),
    Column("arm", "Arm", words),
    Column("measure", "Measure", lambda name: str(name).replace("_", " ")),
    Column("run", "From run", words),
    Column("before", "Before", score),
    Column("after", "After", score),
)
STATES = (
    Column("service", "Service", words),
    Column("arm", "Arm", words),
    Column("state", "State", words),
    Column("runs", "Runs", count),
    Column("first", "Rate in the first", share),
    Column("last", "Rate in the last", share),
)
RUNS = (
    Column("run", "Run", words),
    Column("started_utc", "Started (UTC)", words),
    Column("service", "Service", words),
    Column("model", "Model", words),
    Column("state", "Ended as", words),
    Column("arms", "Arms", count),
    Column("probes", "Probes", count),
    Column("enrolled", "Enrolled photos, all arms", count),
    Column("enrol_rejected", "Refused photos", count),
)
TREND = (
    Column("service", "Service", words),
    Column("arm", "Arm", words),
    Column("run", "Run", words),
    Column("started_utc", "Started (UTC)", words),
    Column("model", "Model", words),
    Column("probes", "Probes", count),
    Column("identified", "Identified", count),
    Column("protection_success_rate", "Protection success rate", share),
    Column("ci_low", "95 % low", share),
    Column("ci_high", "95 % high", share),
    Column("mean_score", "Mean score", score),
    Column("mean_low", "95 % low", score),
    Column("mean_high", "95 % high", score),
    Column("censored", "Hidden scores", count),
)
SETUP = (
    Column("aspect", "Set-up", words),
    Column("study", "The study", words),
    Column("run", "This run", words),
    Column("differs", "Alike?", lambda differs: "differs" if differs else "alike"),
)


def matrix(latest: pd.DataFrame) -> Table:
    """Lay out one row per kind of arm and one column per service."""
    services = tuple(sorted(latest["service"].unique()))
    rows = []
    for _, group in latest.groupby(ARM, sort=False, dropna=False):
        arms = {row["service"]: row for row in group.to_dict("records")}
        cells = (_cell(arms[name]) if name in arms else NOT_APPLICABLE for name in services)
        rows.append((_kind(next(iter(arms.values()))), *cells))
    numeric = (False, *[True] * len(services))
    return Table("Protection success rate", ("Arm", *services), numeric, tuple(rows))


def _kind(row: _Row) -> str:
    """Name what an arm is wherever it was run."""
    changed = f"photos through {row['transforms'].replace('+', ', ')}" if row["transforms"] else ""
    if row["system"] == "none":
        return ", ".join(filter(None, ["No cloak (missed anyway)", changed]))
    targets = {"same": "same target", "separate": "separate targets"}
    fraction = row["cloaked_fraction"]
    parts = [f"{row['system']} {row['level']}", row["settings"], targets.get(row["targets"], "")]
    parts += [f"{100 * fraction:.0f} % cloaked"] if fraction < 1 else []
    parts += ["probes cloaked"] if row["game"] == "evade" else []
    parts += [f"{row['sybils']} sybils"] if row["sybils"] else []
    parts += [changed]
    return ", ".join(filter(None, parts))


def _cell(row: _Row) -> str:
    if not row["faces"]:
        return "no answer about a face"
    interval = f"{share(row['ci_low'])} to {share(row['ci_high'])}"
    rate = share(row["protection_success_rate"])
    return f"{rate} ({interval}); mean {score(row['mean_score'])}, n = {row['faces']:.0f}"


def published(rows: pd.DataFrame) -> Table:
    """Lay out the printed numbers beside the run's own."""
    headings = (
        "Printed",
        "Where",
        "Note",
        "Quantity",
        "The study",
        "This run",
        "Difference, points",
    )
    numeric = (False, False, False, False, True, True, True)
    cells = tuple(_published(row) for row in rows.to_dict("records"))
    return Table("The study's numbers and this run's", headings, numeric, cells)


def _published(row: _Row) -> tuple[str, ...]:
    quantity = str(row["quantity"]).replace("_", " ")
    measured = _amount(row["measured"], row["measured_of"]) if row["arm"] else "not in this run"
    return (
        str(row["printed"]),
        str(row["table"]),
        words(row["note"]),
        quantity,
        f"{row['bound']} {_amount(row['published'], row['published_of'])}".strip(),
        measured,
        points(row["difference"]),
    )


def _amount(value: Any, of: Any) -> str:
    is_share = of is None or math.isnan(of)
    return share(value) if is_share else f"{value:.0f} of {of:.0f}"
