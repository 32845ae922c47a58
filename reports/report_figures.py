"""Every figure of a report, by the name of its file, with what it says to who can't see it."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from reports import (
    call_timeline,
    cloaking_time,
    curve_figures,
    embedding_map,
    figures,
    left_out,
    mistaken,
    perturbation,
    verification_figures,
)
from reports.drawing import Drawn
from reports.manifest import Manifest
from reports.run_folder import RunData
from reports.side_by_side import side_by_side

LEVELS_MAX = 8


def report_figures(data: RunData, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Drawn]:
    """Draw every figure of a run's report for which there is something to draw.

    Those with a panel a level draw the arms of `drawn_levels`.
    """
    drawn = drawn_levels(data.manifest, data.summary)
    groups = [
        partial(_scores, data, drawn),
        partial(_curves, frames, drawn),
        partial(_verification, frames, drawn),
        partial(_cloaks, data, frames, drawn),
        partial(_service, data, frames),
        *([partial(_changes, frames, drawn)] if drawn.cloaked_arms else []),
    ]
    found = side_by_side(groups, large=data.is_large)
    return {name: figure for group in found for name, figure in group.items() if figure}


def drawn_levels(manifest: Manifest, summary: pd.DataFrame) -> Manifest:
    """Return the manifest with the control and the arms of the levels that are drawn.

    Of more than LEVELS_MAX so many are, evenly from that which protects least to that which
    protects most; `summary` is the frame of `tables.summarise`.
    """
    if len(manifest.groups) <= LEVELS_MAX:
        return manifest
    rates = summary.set_index("arm")["protection_success_rate"].fillna(-1.0)
    by_rate = sorted(
        manifest.groups, key=lambda group: rates[[arm.name for arm in group.arms[1:]]].mean()
    )
    places = np.linspace(0, len(by_rate) - 1, LEVELS_MAX).round().astype(int)
    chosen = {manifest.control, *(arm for place in places for arm in by_rate[place].arms)}
    return manifest.model_copy(
        update={"arms": tuple(arm for arm in manifest.arms if arm in chosen)}
    )


def levels_note(manifest: Manifest) -> str:
    """Say which levels `drawn_levels` leaves out, or nothing."""
    levels = len(manifest.groups)
    if levels <= LEVELS_MAX:
        return ""
    return (
        f"{LEVELS_MAX} of the {levels} levels are drawn, evenly from that which protects least to "
        "that which protects most; the tables have all."
    )


def _scores(data: RunData, drawn: Manifest) -> Mapping[str, Drawn | None]:
    return {
        "scores": figures.scores(
            data.observations,
            drawn,
            "Box plots of the true person's score, one row per arm, the control above each level; "
            "the table below gives the numbers.",
        ),
        "protection": figures.protection(
            data.summary,
            drawn,
            "Protection success rate of each arm with its 95 % interval; "
            "the summary table gives the numbers.",
        ),
    }


def _curves(frames: Mapping[str, pd.DataFrame], drawn: Manifest) -> Mapping[str, Drawn | None]:
    return {
        "threshold": curve_figures.by_threshold(
            frames["by_threshold"],
            drawn,
            "Share of the probes that would not be recognised against the threshold, one line an "
            "arm, with 95 % intervals; tables/by_threshold.csv gives the numbers.",
        ),
        "rank": curve_figures.by_rank(
            frames["by_rank"],
            drawn,
            "Share of the probes whose person is among the first candidates, by how many, one line "
            "an arm, with 95 % intervals; tables/by_rank.csv gives the numbers.",
        ),
    }


def _verification(
    frames: Mapping[str, pd.DataFrame], drawn: Manifest
) -> Mapping[str, Drawn | None]:
    numbers = "tables/verification.csv gives the numbers."
    return {
        "roc": verification_figures.roc(
            frames["verification"],
            drawn,
            "ROC: share of the true person's scores accepted against the share of other people's, "
            f"one line an arm, with 95 % intervals; {numbers}",
        ),
        "det": verification_figures.det(
            frames["verification"],
            drawn,
            "DET: share of the true person's scores missed against the share of other people's "
            "accepted, on normal-deviate scales, one line an arm, with 95 % intervals; "
            f"{numbers}",
        ),
    }


def _cloaks(
    data: RunData, frames: Mapping[str, pd.DataFrame], drawn: Manifest
) -> Mapping[str, Drawn | None]:
    return {
        "perturbation": perturbation.figure(
            frames["perturbation"],
            drawn,
            "Mean score of the true person against the size of the cloaks, DSSIM above, L2 below, "
            "one cross an arm; tables/perturbation.csv gives the numbers.",
        ),
        "embedding_map": embedding_map.figure(
            frames["embedding_map"],
            "Maps of the networks' embeddings, PCA and t-SNE: the protected people's photos before "
            "and after cloaking, joined by a line, among probes and other people; "
            "tables/embedding_map.csv gives the places.",
        ),
        "cloaking_time": cloaking_time.figure(
            data.cloaks,
            frames["start_ups"],
            "Seconds that cloaking a photo took, a point each and their density, one row a cloak; "
            "below, the time until a person's first step.",
        ),
    }


def _service(data: RunData, frames: Mapping[str, pd.DataFrame]) -> Mapping[str, Drawn | None]:
    return {
        "timeline": call_timeline.figure(
            frames["call_timeline"],
            "Calls in the window of each of the service's limits over time, throttled and failed "
            "ones marked; tables/call_timeline.csv gives the numbers.",
        ),
        "left_out": left_out.figure(
            frames["left_out"],
            data.manifest,
            "Share of each arm's probes without a face, refused or failed, and of its photos that "
            "were not enrolled, with 95 % intervals; tables/left_out.csv gives the numbers.",
        ),
        "left_out_by_person": left_out.figure_by_person(
            frames["left_out_by_person"],
            "Share of each person's probes without a face, refused or failed, and of her photos "
            "that were not enrolled, over all arms, with 95 % intervals; "
            "tables/left_out_by_person.csv gives the numbers.",
        ),
        "mistaken": mistaken.figure(
            frames["mistaken_for"],
            frames["by_person"],
            data.manifest,
            "How many probes each wrong name was given to, arm by arm, with 95 % intervals; the "
            "table below gives the numbers.",
        ),
    }


def _changes(frames: Mapping[str, pd.DataFrame], drawn: Manifest) -> Mapping[str, Drawn | None]:
    return {
        "slopes": curve_figures.slopes(
            frames["paired_scores"],
            frames["arm_tests"],
            drawn,
            "A line per probe from its score in the control to its score in each arm, and each "
            "arm's median shift with its 95 % interval; tables/paired_scores.csv and "
            "tables/arm_tests.csv give the numbers.",
        ),
        "change": figures.change(
            frames["paired_scores"],
            frames["paired_changes"],
            drawn,
            "Change of each probe's score from the control, one row per cloaked arm, with the "
            "median and its interval; the table below gives the numbers.",
        ),
    }
