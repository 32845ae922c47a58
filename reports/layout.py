"""Frames laid out for a reader: headings in words, numbers rounded and aligned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from reports.tables import CLOAK_KEYS, cloak_titles

NOT_APPLICABLE = "\N{EN DASH}"
ROWS_MAX = 200
LISTED_MAX = 5000


class Column(NamedTuple):
    """One column of a page's table: which value, under which heading, written how."""

    key: str
    heading: str
    write: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text. The first column heads its rows; `numeric` tells the columns of numbers."""

    caption: str
    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


def words(value: Any) -> str:
    """Write a value of a text column."""
    return NOT_APPLICABLE if _is_missing(value) or value == "" else str(value)


def code(value: Any) -> str:
    """Write a code of ours, such as `no_face`, in words."""
    return words(value).replace("_", " ")


def _number(pattern: str) -> Callable[[Any], str]:
    return lambda value: NOT_APPLICABLE if _is_missing(value) else pattern.format(value)


count = _number("{:,.0f}")
score = _number("{:.3f}")
fourth = _number("{:.4f}")
fine = _number("{:.5f}")
rough = _number("{:.1f}")


def signed(value: Any) -> str:
    """Write a change with its sign, a true minus."""
    return NOT_APPLICABLE if _is_missing(value) else f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def share(value: Any) -> str:
    """Write a share as per cent."""
    return NOT_APPLICABLE if _is_missing(value) else f"{100 * value:.1f} %"


def probability(value: Any) -> str:
    """Write a p value; below .0001 as that."""
    return "< 0.0001" if not _is_missing(value) and value < 1e-4 else fourth(value)


SUMMARY = (
    Column("arm", "Arm", words),
    Column("probes", "Probes", count),
    Column("identified", "Identified", count),
    Column("protection_success_rate", "Protection success rate", share),
    Column("ci_low", "95 % low", share),
    Column("ci_high", "95 % high", share),
    Column("mean_score", "Mean score", score),
    Column("median_score", "Median", score),
    Column("min_score", "Lowest", score),
    Column("max_score", "Highest", score),
    Column("censored", "Hidden scores", count),
    Column("no_face", "No face", count),
    Column("refused", "Refused", count),
    Column("errors", "Errors", count),
    Column("enrolled", "Enrolled photos", count),
    Column("enrol_rejected", "Refused photos", count),
)
PERSON = (Column("person", "Person", words), *SUMMARY)
CHANGES = (
    Column("arm", "Arm", words),
    Column("pairs", "Pairs", count),
    Column("pairs_without_both_scores", "Pairs without both scores", count),
    Column("median_change", "Median change", signed),
    Column("ci_low", "95 % low", signed),
    Column("ci_high", "95 % high", signed),
)
TESTS = (
    Column("arm", "Arm", words),
    Column("over", "Goes by", words),
    Column("units", "Of them with pairs", count),
    Column("pairs", "Pairs", count),
    Column("shift", "Median shift", signed),
    Column("ci_low", "95 % low", signed),
    Column("ci_high", "95 % high", signed),
    Column("score_p", "p of the scores", probability),
    Column("detectable", "Smallest shift told", score),
    Column("lost", "No longer recognised", count),
    Column("gained", "Newly recognised", count),
    Column("recognition_p", "p of recognition", probability),
)
CLOAKING = (
    Column("cloak", "Cloak", words),
    Column("photos", "Photos", count),
    Column("budget", "Budget", fine),
    Column("dssim_mean", "DSSIM mean", fine),
    Column("dssim_max", "DSSIM max", fine),
    Column("over_budget", "Over budget", count),
    Column("l2_mean", "L2 mean", rough),
    Column("linf_max", "L∞ max", rough),
    Column("embedding_shift_mean", "Embedding shift mean", score),
    Column("steps_mean", "Steps mean", rough),
    Column("seconds_mean", "Seconds a photo", rough),
    Column("seconds_total", "Seconds in all", rough),
)
VERIFICATION = (
    Column("arm", "Arm", words),
    Column("genuine", "Scores of the person", count),
    Column("genuine_hidden", "Hidden", count),
    Column("impostor", "Scores of others", count),
    Column("impostor_hidden", "Hidden", count),
    Column("eer", "Equal error rate", share),
)
CLAIMS = (
    Column("claim", "Claim", words),
    Column("verdict", "Came true", words),
    Column("measured", "Measured", score),
    Column("ci_low", "95 % low", score),
    Column("ci_high", "95 % high", score),
)
REASONS = (Column("reason", "Reason", code), Column("files", "Files", count))
REJECTED_BY_PERSON = (
    Column("person", "Person", words),
    Column("protected", "Protected", words),
    Column("files", "Files", count),
    Column("rejected", "Rejected", count),
    Column("share", "Share", share),
    Column("ci_low", "95 % low", share),
    Column("ci_high", "95 % high", share),
    Column("reasons", "Reasons", words),
)
REJECTED = (
    Column("path", "File", words),
    Column("reason", "Reason", code),
    Column("detail", "Detail", words),
)
UNANSWERED = (
    Column("arm", "Arm", words),
    Column("outcome", "Outcome", code),
    Column("path", "File", words),
    Column("attempts", "Attempts", count),
)
MISTAKEN = (
    Column("arm", "Arm", words),
    Column("true_person", "Person", words),
    Column("top_person", "Named instead", words),
    Column("probes", "Probes", count),
    Column("share", "Share", share),
    Column("ci_low", "95 % low", share),
    Column("ci_high", "95 % high", share),
    Column("mean_top_score", "Mean score", score),
)
SOURCES = (
    Column("arm", "Arm", words),
    Column("identify", "Asked who it is (identify)", count),
    Column("verify", "Compared directly (verify)", count),
    Column("hidden", "Hidden by the service", count),
)
NOT_ENROLLED = (
    Column("arm", "Arm", words),
    Column("reason", "Reason", words),
    Column("photos", "Photos", count),
)
ENROL_REJECTED = (
    Column("arm", "Arm", words),
    Column("photo", "Photo (SHA-256)", words),
    Column("person", "Person", words),
    Column("code", "Code", words),
    Column("reason", "Reason", words),
)
NOTES = (
    Column("arm", "Arm", words),
    Column("note", "Note", words),
    Column("photos", "Photos", count),
)
NOTED = (*ENROL_REJECTED[:3], Column("note", "Note", words))


def listing(frame: pd.DataFrame, caption: str, columns: Sequence[Column]) -> Table:
    """Lay out a frame that is folded away, which may therefore be far longer."""
    return table(frame, caption, columns, LISTED_MAX)


def table(
    frame: pd.DataFrame, caption: str, columns: Sequence[Column], rows_max: int = ROWS_MAX
) -> Table:
    """Lay out a frame; of a very long one, only its first rows."""
    records = frame.head(rows_max).to_dict("records")
    return Table(
        caption=caption,
        headings=tuple(column.heading for column in columns),
        numeric=tuple(column.write not in (words, code) for column in columns),
        rows=tuple(tuple(column.write(row[column.key]) for column in columns) for row in records),
        left_out=max(0, len(frame) - rows_max),
    )


def level_tables(by_level: pd.DataFrame) -> tuple[Table, ...]:
    """Lay out one table per level: arms side by side, the control first, measures as rows."""
    return tuple(_level_table(str(title), rows) for title, rows in _groups(by_level, "level"))


def _level_table(title: str, rows: pd.DataFrame) -> Table:
    arms = rows.to_dict("records")
    measures = (
        (
            "Amount identified",
            [f"{arm['identified']} of {arm['probes_with_face']}" for arm in arms],
        ),
        ("Average confidence", [share(arm["average_score"]) for arm in arms]),
        ("Lowest confidence", [share(arm["lowest_score"]) for arm in arms]),
        ("Hidden by the service", [count(arm["hidden_scores"]) for arm in arms]),
    )
    labels = [str(arm["label"]) for arm in arms]
    return Table(
        caption=title,
        headings=("Measure", *labels),
        numeric=(False, *[True] * len(labels)),
        rows=tuple((name, *cells) for name, cells in measures),
    )


def titled_cloaks(cloaking: pd.DataFrame) -> pd.DataFrame:
    """Add to the cloaking table what each cloak is called."""
    return cloaking.assign(cloak=cloak_titles(cloaking[list(CLOAK_KEYS)].to_numpy().tolist()))


def manifest_tables(manifest: Mapping[str, Any]) -> tuple[Table, ...]:
    """Lay out the whole manifest: its single values first, then each of its parts."""
    parts = {name: part for name, part in manifest.items() if isinstance(part, dict)}
    single = {name: value for name, value in manifest.items() if name not in {*parts, "arms"}}
    sections = {"run": single, **parts}
    return tuple(
        Table(name.replace("_", " ").capitalize(), ("Key", "Value"), (False, False), rows)
        for name, part in sections.items()
        if (rows := tuple(_flat(part)))
    )


def _flat(part: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in part.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _plain(value)))
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value) or NOT_APPLICABLE
    return words(value)


def _is_missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124 - only NaN differs from itself


def _groups(frame: pd.DataFrame, key: str) -> list[tuple[Any, pd.DataFrame]]:
    return list(frame.groupby(key, sort=False))
