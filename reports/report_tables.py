"""Every table of a report, by the name of its file; and a run folder in memory together with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from reports import (
    arm_tests,
    call_timeline,
    cloaking_time,
    curves,
    ledger_rows,
    left_out,
    mistaken,
    perturbation,
    preregistration,
    tables,
    verification,
)
from reports.run_folder import RunData, read_embedding_map, read_run
from reports.side_by_side import side_by_side
from reports.tables import PROBE

_TEXTS = ("arm", *PROBE, "outcome", "top_person")
_ANSWERS = (*_TEXTS, "censored", "true_score", "top_score", "threshold", "rank")


@dataclass(frozen=True, eq=False)
class Report(RunData):
    """A run folder in memory, and what its report says as tables."""

    @cached_property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Return the frames of report/tables/, by name; numbers are not rounded as they are there.

        Texts that occur often may be of pandas' type `category`.
        """
        return report_tables(self)


def read_report(run: Path) -> Report:
    """Read a run folder; raise UserError naming the file that is missing or broken."""
    data = read_run(run)
    return Report(**{field.name: getattr(data, field.name) for field in fields(data)})


def report_tables(data: RunData) -> Mapping[str, pd.DataFrame]:
    """Return every table of a run's report, by name."""
    # Of few columns, and whose texts are numbered, an arm's rows are taken much faster.
    answers = data.observations[list(_ANSWERS)].astype(dict.fromkeys(_TEXTS, "category"))
    shown = ledger_rows.read_shown(data.folder)
    pairs = tables.paired_scores(answers, data.manifest)
    apart: Mapping[str, Callable[[], pd.DataFrame]] = {
        "call_timeline": partial(_call_timeline, data),
        "by_person": partial(tables.by_person, answers, data.manifest, data.enrolment),
        "left_out_by_person": partial(left_out.by_person, answers, data.enrolment, data.photos),
        "arm_tests": partial(arm_tests.arm_tests, answers, pairs, data.manifest),
        "perturbation": partial(perturbation.perturbation, answers, data.cloaks, data.manifest),
        "paired_changes": partial(tables.changes, pairs, data.manifest),
        "by_threshold": partial(curves.by_threshold, answers, data.manifest),
        "by_rank": partial(curves.by_rank, answers, data.manifest),
        "verification": partial(verification.verification, answers, shown, data.manifest),
    }
    made = dict(zip(apart, side_by_side(list(apart.values()), large=data.is_large), strict=True))
    return {
        "summary": data.summary,
        "by_level": tables.by_level(data.summary, data.manifest),
        "by_person": made["by_person"],
        "paired_scores": pairs,
        "paired_changes": made["paired_changes"],
        "arm_tests": made["arm_tests"],
        "by_threshold": made["by_threshold"],
        "by_rank": made["by_rank"],
        "verification": made["verification"],
        "perturbation": made["perturbation"],
        "call_timeline": made["call_timeline"],
        "embedding_map": read_embedding_map(data.folder),
        "start_ups": cloaking_time.start_ups(data.manifest),
        "left_out": left_out.left_out(data.summary, data.photos),
        "left_out_by_person": made["left_out_by_person"],
        "claims": preregistration.claims(data, made["paired_changes"]),
        "cloaking": tables.cloaking(data.cloaks),
        "rejected": tables.rejected(data.photos),
        "rejected_by_person": tables.rejected_by_person(
            data.photos, set(data.observations["true_person"].unique())
        ),
        "unanswered": tables.unanswered(data.observations, data.photos),
        "mistaken_for": mistaken.mistaken_for(answers),
        "enrolment": data.enrolment,
        "changed_uploads": data.changed_uploads,
    }


def _call_timeline(data: RunData) -> pd.DataFrame:
    return call_timeline.call_timeline(ledger_rows.read_attempts(data.folder), data.manifest)
