"""The report: one self-contained page, its figures and its tables, from a run folder alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reports import (
    arm_tests,
    curve_figures,
    curves,
    examples,
    figures,
    layout,
    methods,
    preregistration,
    tables,
    uploads,
    wording,
)
from reports.pages import render, write_page
from reports.run_folder import RunData, read_run


def write_report(run: Path) -> Path:
    """Write RUN/report: tables, figures and, last, the page; return the page's path."""
    data = read_run(run)
    frames = _frames(data)
    drawn = _figures(data, frames)
    page = _page(data, frames, drawn)
    remedy = f"`audit report {run.name}` rebuilds the report"
    return write_page(run / "report", page, frames, drawn, remedy)


def _frames(data: RunData) -> Mapping[str, pd.DataFrame]:
    pairs = tables.paired_scores(data.observations, data.manifest)
    paired_changes = tables.changes(pairs, data.manifest)
    return {
        "summary": data.summary,
        "by_level": tables.by_level(data.summary, data.manifest),
        "by_person": tables.by_person(data.observations, data.manifest),
        "paired_scores": pairs,
        "paired_changes": paired_changes,
        "arm_tests": arm_tests.arm_tests(data.observations, pairs, data.manifest),
        "by_threshold": curves.by_threshold(data.observations, data.manifest),
        "by_rank": curves.by_rank(data.observations, data.manifest),
        "claims": preregistration.claims(data, paired_changes),
        "cloaking": tables.cloaking(data.cloaks),
        "rejected": tables.rejected(data.photos),
        "unanswered": tables.unanswered(data.observations, data.photos),
        "mistaken_for": tables.mistaken_for(data.observations),
        "enrolment": data.enrolment,
        "changed_uploads": data.changed_uploads,
    }


def _figures(data: RunData, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, str]:
    drawn = {
        "scores": figures.scores(
            data.observations,
            data.manifest,
            "Box plots of the true person's score, one row per arm, the control above each level; "
            "the table below gives the numbers.",
        ),
        "protection": figures.protection(
            data.summary,
            data.manifest,
            "Protection success rate of each arm with its 95 % interval; "
            "the summary table gives the numbers.",
        ),
        "threshold": curve_figures.by_threshold(
            frames["by_threshold"],
            data.manifest,
            "Share of the probes that would not be recognised against the threshold, one line an "
            "arm, with 95 % intervals; tables/by_threshold.csv gives the numbers.",
        ),
        "rank": curve_figures.by_rank(
            frames["by_rank"],
            data.manifest,
            "Share of the probes whose person is among the first candidates, by how many, one line "
            "an arm, with 95 % intervals; tables/by_rank.csv gives the numbers.",
        ),
    }
    if data.manifest.cloaked_arms:
        drawn["slopes"] = curve_figures.slopes(
            frames["paired_scores"],
            data.manifest,
            "A line per probe from its score in the control to its score in each arm; "
            "tables/paired_scores.csv gives the numbers.",
        )
        drawn["change"] = figures.change(
            frames["paired_scores"],
            frames["paired_changes"],
            data.manifest,
            "Change of each probe's score from the control, one row per cloaked arm, with the "
            "median and its interval; the table below gives the numbers.",
        )
    return drawn


def _page(data: RunData, frames: Mapping[str, pd.DataFrame], drawn: Mapping[str, str]) -> str:
    return render("report.html.j2", drawn, **_facts(data, frames), **_tables(data, frames))


def _facts(data: RunData, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Any]:
    people = data.observations["true_person"].unique()
    thresholds = data.observations["threshold"].dropna().unique()
    return {
        "title": wording.title(data.manifest),
        "manifest": data.manifest,
        "people": len(people),
        "probes": data.observations[["probe_sha256", "true_person"]].drop_duplicates().shape[0],
        "notices": wording.notices(data.manifest, data.summary, data.observations),
        "sentences": wording.sentences(data.summary, data.manifest, len(people)),
        "turnings": wording.turnings(data.summary, frames["by_threshold"], data.manifest),
        "hidden": int(data.observations["censored"].sum()),
        "thresholds": sorted(set(thresholds) - {0.0}),
        "verified": int((data.observations["true_score_source"] == "verify").sum()),
        "gives_lower_bounds": data.manifest.service.compares_faces,
        "has_service_thresholds": bool((data.observations["service_thresholds"] != "").any()),
        "has_enrolment": not data.enrolment.empty,
        "changes": uploads.changes(data.changed_uploads, data.manifest.service),
        "examples": examples.examples(data.folder, data.cloaks),
        "share_method": wording.share_method(len(people)),
        "shares_note": methods.shares_note(len(people)),
        "median_method": methods.of_medians(len(people)),
        "tests_note": methods.tests_note(len(people)),
        "points_max": figures.POINTS_MAX,
        "amplification": examples.AMPLIFICATION,
        "experiment": data.experiment,
        "registration": preregistration.judged(data, frames["claims"]),
    }


def _tables(data: RunData, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Any]:
    reasons = tables.rejected_by_reason(data.photos)
    cloaking = layout.titled_cloaks(frames["cloaking"])
    sources = tables.score_sources(data.observations, data.manifest)
    shown = {
        "sources": (sources, "Where each arm's scores come from", layout.SOURCES),
        "claims": (frames["claims"], "What was claimed before the run", layout.CLAIMS),
        "summary": (data.summary, "All arms", layout.SUMMARY),
        "by_person": (frames["by_person"], "Each protected person", layout.PERSON),
        "changes": (frames["paired_changes"], "Paired change from the control", layout.CHANGES),
        "tests": (frames["arm_tests"], "Each arm against the control", layout.TESTS),
        "cloaking": (cloaking, "What each cloak did to the photos", layout.CLOAKING),
        "reasons": (reasons, "Rejected files by reason", layout.REASONS),
        "rejected": (frames["rejected"], "Rejected files", layout.REJECTED),
        "unanswered": (frames["unanswered"], "Probes without an answer", layout.UNANSWERED),
        "mistaken": (frames["mistaken_for"], "Named instead of the person", layout.MISTAKEN),
    }
    laid_out = {name: layout.table(*parts) for name, parts in shown.items()}
    return {
        **{f"{name}_table": table for name, table in laid_out.items()},
        **_upload_tables(data.enrolment),
        "level_tables": layout.level_tables(frames["by_level"]),
        "manifest_tables": layout.manifest_tables(data.manifest_json),
    }


def _upload_tables(sent: pd.DataFrame) -> Mapping[str, layout.Table]:
    kept_out, notes = uploads.not_enrolled(sent), uploads.notes(sent)
    rejected, noted = uploads.rejected(sent), uploads.noted(sent)
    return {
        "kept_out_table": layout.table(kept_out, "Photos not enrolled", layout.NOT_ENROLLED),
        "notes_table": layout.table(notes, "What the service noted", layout.NOTES),
        "enrol_rejected_table": layout.listing(
            rejected, "Each photo that was rejected", layout.ENROL_REJECTED
        ),
        "noted_table": layout.listing(noted, "Each photo with a note", layout.NOTED),
    }
