"""What a run shows, in sentences that claim no more than its rows."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.manifest import Manifest, ManifestArm
from reports.services import answerer, not_the_service
from reports.tables import faces_found, of_arm

_Row = Mapping[Hashable, Any]
_UNFINISHED = {
    "stopped": "stopped before its end",
    "refused": "was refused by the service",
    "interrupted": "was interrupted",
    "failed": "failed",
    "running": "is still running",
}
_REJECTED_SHARE_MAX = 0.02


@dataclass(frozen=True, slots=True)
class Sentence:
    """One arm in plain words: what the service did, then the rate and what stands beside it."""

    is_control: bool
    finding: str
    rate: str


def sentences(summary: pd.DataFrame, manifest: Manifest, people: int) -> tuple[Sentence, ...]:
    """Return one sentence per arm, in the manifest's order. `people` counts the protected."""
    rows = summary.assign(faces=faces_found(summary)).set_index("arm").to_dict("index")
    controls = {arm.name: rows[manifest.control_of(arm).name] for arm in manifest.arms}
    service = answerer(manifest.service)
    whom = "the person" if people < 2 else "the right person"
    return tuple(
        Sentence(
            is_control=arm.is_control,
            finding=_finding(arm, rows[arm.name], controls[arm.name], service, whom),
            rate=_rate(arm, rows[arm.name], share_method(people)),
        )
        for arm in manifest.arms
    )


def turnings(
    summary: pd.DataFrame, by_threshold: pd.DataFrame, manifest: Manifest
) -> tuple[str, ...]:
    """Return for each arm what would change its finding; "" where there is none.

    `by_threshold` is the frame of `reports.curves`.
    """
    rows = summary.assign(faces=faces_found(summary)).set_index("arm").to_dict("index")
    service = answerer(manifest.service)
    return tuple(
        _turning(of_arm(by_threshold, arm), rows[arm.name], service) for arm in manifest.arms
    )


def title(manifest: Manifest) -> str:
    """Name what was tried against whom."""
    arms = [arm for arm in manifest.cloaked_arms if not arm.is_control]
    systems = list(dict.fromkeys(arm.system for arm in arms))
    tried = " and ".join(systems) or "no cloak"
    return f"Cloak audit: {tried} against {answerer(manifest.service)}"


def notices(
    manifest: Manifest, summary: pd.DataFrame, observations: pd.DataFrame
) -> tuple[str, ...]:
    """Return what a reader must know before any number: most telling first."""
    parts = (
        _unfinished(manifest, observations),
        _control_fails(manifest, summary, observations),
        _rejected_at_enrolment(summary),
        _generated(manifest),
        not_the_service(manifest.service),
    )
    return tuple(part for part in parts if part)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or noun + 's'}"


def share_method(people: int) -> str:
    """Name how the intervals of shares are made, of so many protected people."""
    return "Wilson" if people < 2 else "by people"


def percent(share: float) -> str:
    """Return a share as per cent with one decimal."""
    return f"{100 * share:.1f} %"


def _finding(arm: ManifestArm, row: _Row, control: _Row, service: str, whom: str) -> str:
    place = _place(arm)
    if not row["probes"]:
        return f"{place}, no probe was asked: nothing can be said."
    if not row["faces"]:
        asked = plural(row["probes"], "probe")
        return f"{place}, {service} answered about a face in none of {asked}: nothing can be said."
    identified, faces = row["identified"], row["faces"]
    still = "still " if identified and control["identified"] and not arm.is_control else ""
    count = f"{identified} of {plural(faces, 'probe')}"
    recognised = f"{still}recognised {whom} in {count}"
    if not identified:
        recognised = f"recognised {whom} in none of {plural(faces, 'probe')}"
    return f"{place}, {service} {recognised}; {_confidence(arm, row, control)}."


def _place(arm: ManifestArm) -> str:
    if arm.is_control:
        changed = f", {arm.tracker}" if arm.transforms else ""
        return f"With nothing cloaked (control{changed})"
    details = [arm.system, *arm.settings]
    if arm.targets:
        targets = {"same": "same target", "separate": "separate targets"}
        details.append(targets.get(arm.targets, arm.targets))
    if arm.is_partly_cloaked:
        details.append(f"{100 * (arm.cloaked_fraction or 0):.0f} % of the photos cloaked")
    if arm.game == "evade":
        details.append("probes cloaked")
    if arm.sybils:
        details.append(plural(arm.sybils, "sybil"))
    if arm.transforms:
        details.append(arm.tracker)
    return f"At level {arm.level} ({', '.join(details)})"


def _confidence(arm: ManifestArm, row: _Row, control: _Row) -> str:
    mean, before = row["mean_score"], control["mean_score"]
    if math.isnan(mean):
        hid = "it hid its confidence in every probe" if row["censored"] else "it gave no confidence"
        return f"{hid}, so none can be compared"
    hidden = f" ({plural(row['censored'], 'hidden score')} left out)" if row["censored"] else ""
    if arm.is_control:
        return f"its confidence was {mean:.3f} on average{hidden}"
    if math.isnan(before):
        return f"its confidence was {mean:.3f} on average{hidden}; the control has none"
    if f"{mean:.3f}" == f"{before:.3f}":
        return f"its confidence stayed at {mean:.3f} on average{hidden}"
    moved = "fell" if mean < before else "rose"
    return f"its confidence {moved} from {before:.3f} to {mean:.3f} on average{hidden}"


def _rate(arm: ManifestArm, row: _Row, method: str) -> str:
    beside = ((row["no_face"], "without a face"), (row["refused"], "refused"))
    aside = [f"{count} {what}" for count, what in beside if count]
    aside += [plural(row["errors"], "error")] if row["errors"] else []
    tail = f" Not counted in it: {', '.join(aside)}." if aside else ""
    if not row["faces"]:
        return tail.replace("Not counted in it", "Instead").strip()
    name = "Missed with nothing cloaked" if arm.is_control else "Protection success rate"
    interval = f"{percent(row['ci_low'])} to {percent(row['ci_high'])}"
    rate = percent(row["protection_success_rate"])
    return f"{name}: {rate} (95 % interval, {method}: {interval}).{tail}"


def _turning(by_threshold: pd.DataFrame, row: _Row, service: str) -> str:
    """Say from which threshold on most probes would go the other way."""
    if not row["faces"]:
        return ""
    if 2 * row["identified"] <= row["faces"]:
        return (
            f"A lower threshold would not change that: {service} put somebody else first."
            if not row["censored"]
            else "A lower threshold might change that: it hid scores, and a hidden one may be the "
            "person's."
        )
    turned = by_threshold[by_threshold["most"] > 1 / 2]
    if turned.empty:
        return "No threshold would change that: its confidence was 1 in most probes."
    return (
        f"That changes from a threshold of {turned['threshold'].min():.2f} on: there it would "
        "miss more than half of the probes."
    )


def _unfinished(manifest: Manifest, observations: pd.DataFrame) -> str:
    if manifest.exit_state == "done":
        return ""
    state = _UNFINISHED.get(manifest.exit_state, f"ended as {manifest.exit_state}")
    planned = (manifest.counts.probe or 0) * len(manifest.arms)
    held = f"{len(observations)} of {planned}" if planned else f"{len(observations)}"
    why = f" Reason: {manifest.exit_message.rstrip('.')}." if manifest.exit_message else ""
    resumable = manifest.exit_state in ("stopped", "interrupted")
    remedy = f" `audit resume {manifest.run_id}` continues it." if resumable else ""
    return (
        f"Unfinished: this run {state}; the report holds {held} probe answers, and all figures "
        f"are of these alone.{why}{remedy}"
    )


def _control_fails(manifest: Manifest, summary: pd.DataFrame, observations: pd.DataFrame) -> str:
    rows = of_arm(summary, manifest.control)
    faces, identified = int(faces_found(rows).iloc[0]), int(rows["identified"].iloc[0])
    if not faces:
        return "The control arm has no answer, so nothing can be said about the cloak."
    missed = f"With nothing cloaked the service missed {faces - identified} of {faces} probes"
    if identified * 2 < faces:
        return (
            f"{missed}: the control arm does not recognise the person, so nothing can be said "
            "about the cloak. The rates below are no success of it."
        )
    control = of_arm(observations, manifest.control)
    recognised = control["outcome"].eq("match").groupby(control["true_person"]).any()
    if not recognised.all():
        strangers = plural(int((~recognised).sum()), "protected person", "protected people")
        return (
            f"{strangers} of {len(recognised)} went unrecognised with nothing cloaked: of them, "
            "nothing can be said about the cloak."
        )
    if identified < faces:
        return f"{missed}: every rate below holds such misses too, not the cloak's work alone."
    return ""


def _rejected_at_enrolment(summary: pd.DataFrame) -> str:
    rows = summary[["arm", "enrolled", "enrol_rejected"]].dropna()
    sent = rows["enrolled"] + rows["enrol_rejected"]
    many = rows.assign(sent=sent)[rows["enrol_rejected"] > _REJECTED_SHARE_MAX * sent]
    if many.empty:
        return ""
    counts = [
        f"{row['enrol_rejected']:.0f} of {plural(int(row['sent']), 'photo')} "
        f"({percent(row['enrol_rejected'] / row['sent'])}) in {row['arm']}"
        for row in many.to_dict("records")
    ]
    return (
        f"Rejected at enrolment: {', '.join(counts)}. The galleries lack these photos, so arms may "
        "differ in more than the cloak."
    )


def _generated(manifest: Manifest) -> str:
    if not manifest.photo_set_generated:
        return ""
    return (
        "Demonstration: all people in this run are generated. Its numbers say how the audit works, "
        "nothing about real faces."
    )
