"""From the ledger's answers to observations: one row per probe photo and arm."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from audit.ledger import CallRow, CallState, Ledger
from audit.types import Arm, Observation, Outcome, Split


@dataclass(frozen=True, slots=True)
class Context:
    """What all observations of a run share."""

    run_id: str
    provider: str
    service_model: str
    threshold: float


def observe(ledger: Ledger, context: Context, arm: Arm, split: Split) -> list[Observation]:
    """Return the observations of an arm whose probes have all been answered or refused."""
    people = {
        row.result["person_id"]: row.call.person
        for row in ledger.calls(arm=arm.name, verb="add_person", state=CallState.DONE)
    }
    detected = _by_photo(ledger.calls(arm=arm.name, verb="detect"))
    verified = _by_photo(ledger.calls(arm=arm.name, verb="verify"))
    identified = {
        photo: row
        for row in ledger.calls(arm=arm.name, verb="identify")
        for photo in row.call.photos
    }
    return [
        _observe(
            context,
            arm,
            (photo.sha256, photo.person),
            detected[photo.sha256],
            identified.get(photo.sha256),
            verified.get(photo.sha256),
            people,
        )
        for photos in split.probe.values()
        for photo in photos
        if photo.sha256 in detected
        and all(
            row.get(photo.sha256) is None or row[photo.sha256].state not in _OPEN
            for row in (detected, identified, verified)
        )
    ]


_OPEN = frozenset({CallState.PLANNED, CallState.SENT, CallState.UNKNOWN})


def _by_photo(rows: Sequence[CallRow]) -> dict[str, CallRow]:
    return {row.call.photos[0]: row for row in rows}


def _observe(
    context: Context,
    arm: Arm,
    probe: tuple[str, str],
    detected: CallRow,
    identified: CallRow | None,
    verified: CallRow | None,
    people: Mapping[str, str],
) -> Observation:
    photo, person = probe
    row = identified if identified and identified.state is CallState.DONE else detected
    shared: dict[str, Any] = {
        "run_id": context.run_id,
        "utc": row.sent_utc or "",
        "provider": context.provider,
        "service_model": context.service_model,
        "game": arm.game.value,
        "arm": arm.name,
        "system": arm.system,
        "level": arm.level,
        "targets": arm.targets.value if arm.targets else None,
        "cloaked_fraction": arm.cloaked_fraction,
        "probe_sha256": photo,
        "true_person": person,
        "threshold": context.threshold,
        "latency_ms": row.latency_ms,
        "attempts": row.attempts,
    }
    if detected.state is CallState.FAILED:
        outcome = Outcome.NO_FACE if detected.failure_kind == "no_face" else Outcome.REFUSED
        return Observation(**shared, outcome=outcome)
    if identified is None or identified.state is not CallState.DONE:
        return Observation(**shared, outcome=Outcome.ERROR)
    candidates = [
        candidate | {"person": people.get(candidate["person_id"])}
        for candidate in identified.result.get(photo, [])
    ]
    return Observation(
        **shared,
        **_ranking(candidates, person),
        **_true_score(candidates, person, verified),
    )


def _ranking(candidates: Sequence[Mapping[str, Any]], person: str) -> dict[str, Any]:
    """Return the outcome, who comes first, and the true person's rank (1 = first)."""
    if not candidates:
        return {"outcome": Outcome.NO_MATCH}
    names = [candidate["person"] for candidate in candidates]
    return {
        "outcome": Outcome.MATCH if names[0] == person else Outcome.OTHER_PERSON,
        "top_person": names[0],
        "top_score": candidates[0]["score"],
        "rank": names.index(person) + 1 if person in names else None,
    }


def _true_score(
    candidates: Sequence[Mapping[str, Any]], person: str, verified: CallRow | None
) -> dict[str, Any]:
    """Return the true person's score from identify, or from verify where identify hides it."""
    own = next((item for item in candidates if item["person"] == person), None)
    source = "identify"
    if own is None and verified and verified.state is CallState.DONE:
        own, source = verified.result, "verify"
    if own is None:
        return {"censored": True}
    return {
        "true_score": own["score"],
        "native_score": own["native_score"],
        "true_score_source": source,
    }


def to_csv(observations: Sequence[Mapping[str, Any]]) -> str:
    """Return observations.csv; what does not apply stays empty."""
    names = [field.name for field in fields(Observation)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in observations:
        writer.writerow(dict(row) | {"censored": "true" if row["censored"] else "false"})
    return text.getvalue()
