"""The report: one self-contained page, its figures and its tables, from a run folder alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reports import (
    call_timeline,
    embedding_map,
    examples,
    layout,
    left_out,
    methods,
    mistaken,
    preregistration,
    tables,
    uploads,
    verification,
    wording,
)
from reports.drawing import POINTS_MAX, Drawn
from reports.pages import render, write_page
from reports.report_figures import levels_note, report_figures
from reports.report_tables import read_report
from reports.run_folder import RunData
from reports.statistics import BOOTSTRAP_MIN


def write_report(run: Path) -> Path:
    """Write RUN/report: tables, figures and, last, the page; return the page's path."""
    data = read_report(run)
    frames = data.tables
    drawn = report_figures(data, frames)
    page = _page(data, frames, drawn)
    remedy = f"`audit report {run.name}` rebuilds the report"
    return write_page(run / "report", page, frames, drawn, remedy)


def _page(data: RunData, frames: Mapping[str, pd.DataFrame], drawn: Mapping[str, Drawn]) -> str:
    return render(
        "report.html.j2",
        drawn,
        **_facts(data, frames),
        **_notes(data, frames),
        **_tables(data, frames),
    )


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
        "points_max": POINTS_MAX,
        "amplification": examples.AMPLIFICATION,
        "experiment": data.experiment,
        "registration": preregistration.judged(data, frames["claims"]),
    }


def _notes(data: RunData, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Any]:
    """Return what the captions of the figures say of this run."""
    return {
        "levels_note": levels_note(data.manifest),
        "much_left_out": left_out.is_much(frames["left_out"]),
        "left_out_words": left_out.words(
            frames["left_out"], tables.rejected_by_reason(data.photos)
        ),
        "share_max": left_out.SHARE_MAX,
        "rows_max": left_out.ROWS_MAX,
        "photos_min": BOOTSTRAP_MIN,
        "verification_note": verification.note(verification.summary(frames["verification"])),
        "limits_words": call_timeline.limits_words(data.manifest),
        "pauses": bool(frames["call_timeline"]["after_pause"].any()),
        "start_ups": not frames["start_ups"].empty,
        "maps_max": embedding_map.CLOAKS_MAX,
        "names_max": mistaken.NAMES_MAX,
        "arms_max": mistaken.ARMS_MAX,
    }


def _tables(data: RunData, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Any]:
    reasons = tables.rejected_by_reason(data.photos)
    cloaking = layout.titled_cloaks(frames["cloaking"])
    sources = tables.score_sources(data.observations, data.manifest)
    errors = verification.summary(frames["verification"])
    shown = {
        "verification": (errors, "Errors of verification", layout.VERIFICATION),
        "sources": (sources, "Where each arm's scores come from", layout.SOURCES),
        "claims": (frames["claims"], "What was claimed before the run", layout.CLAIMS),
        "summary": (data.summary, "All arms", layout.SUMMARY),
        "by_person": (frames["by_person"], "Each protected person", layout.PERSON),
        "changes": (frames["paired_changes"], "Paired change from the control", layout.CHANGES),
        "tests": (frames["arm_tests"], "Each arm against the control", layout.TESTS),
        "cloaking": (cloaking, "What each cloak did to the photos", layout.CLOAKING),
        "reasons": (reasons, "Rejected files by reason", layout.REASONS),
        "rejected_by_person": (
            frames["rejected_by_person"].replace({"protected": {True: "yes", False: "no"}}),
            "Rejected files by person",
            layout.REJECTED_BY_PERSON,
        ),
        "unanswered": (frames["unanswered"], "Probes without an answer", layout.UNANSWERED),
        "mistaken": (frames["mistaken_for"], "Named instead of the person", layout.MISTAKEN),
    }
    laid_out = {name: layout.table(*parts) for name, parts in shown.items()}
    return {
        **{f"{name}_table": table for name, table in laid_out.items()},
        "rejected_table": layout.listing(frames["rejected"], "Each rejected file", layout.REJECTED),
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
