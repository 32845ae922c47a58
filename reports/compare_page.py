"""The page of a comparison, its figures and its tables, from run folders alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reports import compare_changes, compare_figures, compare_layout, compare_states, compare_tables
from reports import compare_wording as wording
from reports.comparison import Comparison, read_comparison
from reports.drawing import Drawn
from reports.layout import Table, table
from reports.pages import render, write_page
from reports.published_results import Study, beside, read_study, setups
from reports.wording import share_method

RUNS_WITH_TREND_MIN = 3
_NUMBERS = "the table below gives the numbers."
_TRENDS = {"trend_score": "mean_score", "trend_rate": "protection_success_rate"}


@dataclass(frozen=True, slots=True, eq=False)
class ComparisonReport:
    """What a comparison found and where its page is. `tables` are its CSV files' frames, by name."""

    page: Path
    sentences: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame]

    def to_json(self) -> str:
        """Return page, sentences and tables as one JSON object; what is missing is null."""
        rows = {
            name: json.loads(frame.to_json(orient="records", double_precision=10))
            for name, frame in self.tables.items()
        }
        told = {"page": str(self.page), "sentences": self.sentences, **rows}
        return json.dumps(told, indent=2, ensure_ascii=False)


def write_comparison(
    folders: Sequence[Path], to: Path, *, force: bool, against: Sequence[str]
) -> ComparisonReport:
    """Compare runs and write page, figures and tables into the folder `to`.

    Raises UserError for runs that can't be compared, or a study that isn't known.
    """
    studies = [read_study(name) for name in against]
    comparison = read_comparison(folders, force=force)
    frames = _frames(comparison, studies)
    drawn = _figures(comparison, frames, studies)
    sentences = wording.sentences(comparison, frames["changes"])
    page = _page(comparison, frames, drawn, sentences, studies)
    index = write_page(to, page, frames, drawn, "the same `audit compare` writes it again")
    return ComparisonReport(index, tuple(str(each) for each in sentences), frames)


def _frames(comparison: Comparison, studies: Sequence[Study]) -> Mapping[str, pd.DataFrame]:
    trend = compare_tables.trend(comparison)
    frames = {
        "changes": compare_changes.changes(comparison),
        "trend": trend,
        "shifts": compare_states.shifts(trend),
        "states": compare_states.states(trend),
        "matrix": compare_tables.matrix(trend),
        "runs": compare_tables.runs(comparison),
    }
    for study in studies:
        frames[f"published_{study.name}"] = beside(study, comparison.runs[-1])
    return frames


def _figures(
    comparison: Comparison, frames: Mapping[str, pd.DataFrame], studies: Sequence[Study]
) -> Mapping[str, Drawn]:
    drawn = {}
    if not frames["changes"].empty:
        drawn["changes"] = compare_figures.changes(
            frames["changes"], f"Change of score between two runs, one row per arm; {_NUMBERS}"
        )
    if max(len(series.runs) for series in comparison.series) >= RUNS_WITH_TREND_MIN:
        for name, measure in _TRENDS.items():
            drawn[name] = compare_figures.trend(
                frames["trend"], frames["shifts"], measure, name,
                f"{measure.replace('_', ' ')} of every arm over time; {_NUMBERS}",
            )  # fmt: skip
    for study in studies:
        rows = frames[f"published_{study.name}"]
        if (rows["quantity"] == "mean_score").any():
            drawn[f"published_{study.name}"] = compare_figures.published(
                rows,
                f"published_{study.name}",
                f"Mean scores beside those that {study.name} printed; {_NUMBERS}",
            )
    return drawn


def _page(
    comparison: Comparison,
    frames: Mapping[str, pd.DataFrame],
    drawn: Mapping[str, Drawn],
    sentences: Sequence[wording.Sentence],
    studies: Sequence[Study],
) -> str:
    names = [study.name for study in studies]
    people = comparison.people
    return render(
        "compare.html.j2",
        drawn,
        title=wording.title(comparison, names),
        subtitle=wording.subtitle(comparison),
        differences=comparison.differences,
        notices=wording.notices(comparison),
        sentences=sentences,
        changes_caption=wording.changes_caption(frames["changes"], people),
        statistics_note=wording.statistics_note(frames["changes"], people),
        studies=[_study(study, comparison, frames) for study in studies],
        contents=_contents(drawn, frames, studies),
        units=wording.units(people),
        share_method=share_method(people),
        state_note=wording.state_note(people),
        shifts_note=wording.SHIFTS_NOTE,
        **_tables(frames),
    )


def _contents(
    drawn: Mapping[str, Drawn], frames: Mapping[str, pd.DataFrame], studies: Sequence[Study]
) -> Sequence[tuple[str, str]]:
    """Return the sections that the page has: where they are and what they are called."""
    sections = (
        ("findings", "Findings", not frames["changes"].empty),
        ("changes", "Change", not frames["changes"].empty),
        ("state", "Still protected?", not frames["states"].empty),
        ("trend", "Over time", "trend_score" in drawn),
        ("matrix", "Systems and services", _has_matrix(frames["matrix"])),
        ("published", "Published", bool(studies)),
        ("runs", "The runs", True),
    )
    return [(place, name) for place, name, is_there in sections if is_there]


def _has_matrix(matrix: pd.DataFrame) -> bool:
    return len(matrix["service"].unique()) > 1 or len(matrix["system"].unique()) > 2


def _tables(frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Table]:
    changes, matrix = frames["changes"], frames["matrix"]
    cloaked = changes[changes["system"] != "none"] if len(changes) else changes
    shown = {
        "changes": (changes, "Change of the true person's score", compare_layout.CHANGES),
        "beyond": (cloaked, "Change beyond the control's own", compare_layout.BEYOND),
        "identification": (changes, "Change of recognition", compare_layout.IDENTIFICATION),
        "trend": (frames["trend"], "Every run and arm", compare_layout.TREND),
        "shifts": (frames["shifts"], "Change points", compare_layout.SHIFTS),
        "state": (frames["states"], "Each arm's state", compare_layout.STATES),
        "runs": (frames["runs"], "The runs that are compared", compare_layout.RUNS),
    }
    laid_out = {f"{name}_table": table(*parts) for name, parts in shown.items()}
    return laid_out | {
        "matrix_table": compare_layout.matrix(matrix if _has_matrix(matrix) else matrix[:0])
    }


def _study(
    study: Study, comparison: Comparison, frames: Mapping[str, pd.DataFrame]
) -> Mapping[str, Any]:
    run = comparison.runs[-1]
    rows = frames[f"published_{study.name}"]
    return {
        "which": f"Beside it stands {run.id}: {run.service}, {run.date}.",
        "name": study.name,
        "title": study.title,
        "authors": study.authors,
        "year": study.year,
        "numbers": compare_layout.published(rows),
        "setup": table(setups(study, [run]), "The set-ups", compare_layout.SETUP),
    }
