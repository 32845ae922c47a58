"""The one page of a study: what the paper printed beside what its runs measured here."""

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reports.compare_layout import SETUP, published
from reports.compared_run import ComparedRun
from reports.layout import Column, Table, count, score, share, table, words
from reports.pages import render, write_page
from reports.published_results import Study, beside_row, is_same_arm, measured, read_study, setups
from reports.study_data import StudyData, TrialRun, findings, read_study_folder
from reports.wording import notices

_ARMS = (
    Column("run", "Run", words),
    Column("arm", "Arm", words),
    Column("tracker", "Tracker", words),
    Column("enrolled", "Photos of the person", count),
    Column("decoys", "Other people", count),
    Column("probes", "Probes with a face", count),
    Column("protection_success_rate", "Protection success rate", share),
    Column("ci_low", "95 % low", share),
    Column("ci_high", "95 % high", share),
    Column("missed_anyway", "Missed without a cloak", share),
    Column("top3_share", "Among the first three", share),
    Column("mean_score", "Mean score", score),
)
_FINDINGS = (
    Column("finding", "What the paper found", words),
    Column("holds", "Here?", words),
    Column("measured", "Measured", words),
    Column("relation", "Is it", words),
    Column("against", "Against", words),
)


def write_study(folder: Path, runs: Mapping[str, Path]) -> Path:
    """Write page and tables of a study into its folder; return the page's path."""
    data = read_study_folder(folder, runs)
    study = read_study(data.told.paper)
    frames = {
        "arms": arms(data),
        "published": beside(study, data),
        "findings": findings(data),
        "setups": setups(study, data.runs),
    }
    page = _page(study, data, frames)
    return write_page(folder, page, frames, {}, f"`audit report {folder.name}` writes it again")


def arms(data: StudyData) -> pd.DataFrame:
    """Return one row per run and arm; `missed_anyway` is the rate of the arm's own control."""
    rows = [row for number in range(len(data.runs)) for row in _arms(data, number)]
    return pd.DataFrame(rows)


def _arms(data: StudyData, number: int) -> Iterator[dict[str, Any]]:
    run, counts = data.runs[number], data.runs[number].manifest.counts
    rates = {row["arm"]: row for row in measured(run)}
    for name, arm in run.arms.items():
        control = run.manifest.control if arm.is_control else run.manifest.control_of(arm)
        yield {
            "run": data.trials[number].name,
            "arm": name,
            "tracker": run.model,
            "enrolled": counts.train,
            "decoys": counts.decoy_people,
            "probes": rates[name]["faces"],
            "missed_anyway": rates[control.name]["protection_success_rate"],
            **{
                key: rates[name][key]
                for key in (
                    "protection_success_rate",
                    "ci_low",
                    "ci_high",
                    "top3_share",
                    "mean_score",
                )
            },
        }


def beside(study: Study, data: StudyData) -> pd.DataFrame:
    """Return one row per printed number and arm of a run that repeats it.

    Of a study of one experiment, numbers about its service, or all where it isn't in the study.
    """
    rows = [
        {"run": trial.name, **beside_row(fact, row)}
        for trial, run in zip(data.trials, data.runs, strict=True)
        for row in measured(run)
        for fact in _facts(study, trial, run)
        if is_same_arm(fact, row, run)
    ]
    return pd.DataFrame(rows, columns=None if rows else ["run", "arm", "quantity"])


def _facts(study: Study, trial: TrialRun, run: ComparedRun) -> list[dict[Hashable, Any]]:
    facts = study.facts
    if trial.of:
        return facts[facts["run"] == trial.of].to_dict("records")
    own = facts[facts["service"] == run.manifest.service.provider]
    return (facts if own.empty else own).to_dict("records")


def _page(study: Study, data: StudyData, frames: Mapping[str, pd.DataFrame]) -> str:
    return render(
        "study.html.j2",
        {},
        title=f"{data.told.study}: {study.title}",
        authors=f"{study.authors}, {study.year}",
        notices=_notices(data),
        trials=data.trials if data.trials[0].of else (),
        absent=data.told.absent,
        findings_table=table(frames["findings"], "The paper's findings, here", _FINDINGS),
        published_table=_published(frames["published"]),
        arms_table=table(frames["arms"], "Every arm of every run", _ARMS),
        setup_table=table(frames["setups"], "The set-ups", SETUP),
    )


def _published(rows: pd.DataFrame) -> Table:
    """Lay out the printed numbers, each with the run that it stands beside."""
    if rows.empty:
        return Table("The paper's numbers and these", ("Printed",), (False,), ())
    laid_out = published(rows)
    return Table(
        laid_out.caption,
        (laid_out.headings[0], "Run", *laid_out.headings[1:]),
        (False, False, *laid_out.numeric[1:]),
        tuple(
            (cells[0], str(run) or "the run", *cells[1:])
            for cells, run in zip(laid_out.rows, rows["run"], strict=True)
        ),
    )


def _notices(data: StudyData) -> list[str]:
    small = (
        "The small form: few photos, few people, few steps. It says whether the study runs, and "
        "its numbers are no findings."
    )
    told = [
        notice
        for run in data.runs
        for notice in notices(run.manifest, pd.DataFrame(measured(run)), run.observations)
    ]
    return [*([small] if data.told.small else []), *dict.fromkeys(told)]
