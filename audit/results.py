"""From the ledger's answers to observations: one row per probe photo and arm."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from audit.calls import CallRow, CallState, copy_of
from audit.expansion import SHARED, person_tag
from audit.ledger import Ledger
from audit.types import Arm, Observation, Outcome, Split


@dataclass(frozen=True, slots=True)
class Context:
    """What all observations of a run share."""

    run_id: str
    provider: str
    service_model: str
    threshold: float


@dataclass(frozen=True, slots=True)
class _Answers:
    """An arm's answers: by photo, and whose ids the service's ids are."""

    detected: Mapping[str, CallRow]
    identified: Mapping[str, CallRow]
    verified: Mapping[str, Sequence[CallRow]]
    people: Mapping[str, str]

    def of(self, photo: str) -> list[CallRow]:
        """Return all rows of a probe."""
        asked = (self.detected.get(photo), self.identified.get(photo))
        return [row for row in (*asked, *self.verified.get(photo, ())) if row]


def observe(ledger: Ledger, context: Context, arm: Arm, split: Split) -> list[Observation]:
    """Return the observations of an arm whose probes have all been answered or refused."""
    answers = _answers(ledger, context.run_id, arm.name, split)
    return [
        _observe(context, arm, (photo.sha256, photo.person), answers)
        for photos in split.probe.values()
        for photo in photos
        if (rows := answers.of(photo.sha256)) and all(row.state not in _OPEN for row in rows)
    ]


_OPEN = frozenset({CallState.PLANNED, CallState.SENT, CallState.UNKNOWN})


def _answers(ledger: Ledger, run_id: str, arm: str, split: Split) -> _Answers:
    verified = defaultdict[str, list[CallRow]](list)
    for row in ledger.calls(arm=arm, verb="verify"):
        verified[row.call.photos[0]].append(row)
    identify = [
        *ledger.calls(arm=arm, verb="identify"),
        *ledger.calls(arm=arm, verb="identify_photo"),
    ]
    people = (*split.train, *split.decoy)
    tags = {person_tag(run_id, who, where): who for where in (SHARED, arm) for who in people}
    added = [row for row in _rows(ledger, arm, "add_person") if row.state is CallState.DONE]
    return _Answers(
        detected={row.call.photos[0]: row for row in _rows(ledger, arm, "detect")},
        identified={photo: row for row in identify for photo in row.call.photos},
        verified=verified,
        people=tags | {row.result["person_id"]: row.call.person for row in added},
    )


def _rows(ledger: Ledger, arm: str, verb: str) -> list[CallRow]:
    """Return the calls of a verb that were made for all arms, then the arm's own."""
    return [*ledger.calls(arm=SHARED, verb=verb), *ledger.calls(arm=arm, verb=verb)]


def _observe(context: Context, arm: Arm, probe: tuple[str, str], answers: _Answers) -> Observation:
    photo, person = probe
    identified = answers.identified[photo]
    detected = answers.detected.get(photo, identified)
    done = identified.state is CallState.DONE
    shared = _shared(context, arm, probe, identified if done else detected)
    if CallState.FAILED in (detected.state, identified.state):
        refused = detected if detected.state is CallState.FAILED else identified
        outcome = Outcome.NO_FACE if refused.failure_kind == "no_face" else Outcome.REFUSED
        return Observation(**shared, outcome=outcome)
    if not done:
        return Observation(**shared, outcome=Outcome.ERROR)
    candidates = [
        candidate | {"person": answers.people.get(candidate["person_id"])}
        for candidate in identified.result.get(photo, [])
    ]
    return Observation(
        **shared,
        **_ranking(candidates, person),
        **_true_score(candidates, person, answers.verified.get(photo, ())),
    )


def _shared(context: Context, arm: Arm, probe: tuple[str, str], row: CallRow) -> dict[str, Any]:
    return {
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
        "probe_sha256": probe[0],
        "true_person": probe[1],
        "threshold": context.threshold,
        "latency_ms": row.latency_ms,
        "attempts": row.attempts,
    }


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
    candidates: Sequence[Mapping[str, Any]], person: str, verified: Sequence[CallRow]
) -> dict[str, Any]:
    """Return the true person's score from identify, or from verify where identify hides it.

    Where single faces were compared, the best one counts, as it does in identify.
    """
    own = next((item for item in candidates if item["person"] == person), None)
    source = "identify"
    if own is None:
        compared = [row.result for row in verified if row.state is CallState.DONE]
        own = max(compared, key=lambda result: float(result["score"]), default=None)
        source = "verify"
    if own is None:
        return {"censored": True}
    return {
        "true_score": own["score"],
        "native_score": own["native_score"],
        "true_score_source": source,
        "service_thresholds": json.dumps(own["thresholds"]) if own.get("thresholds") else None,
    }


def enrolments(ledger: Ledger, arm: str) -> list[dict[str, Any]]:
    """Return what became of each photo sent for enrolment in an arm, in the order of the plan.

    `outcome` is `enrolled`, `no_face` or `refused`, or `open` if there is no answer yet; `reason`
    is the service's own.
    """
    refused = {
        photo: reason
        for row in _rows(ledger, arm, "attach")
        if row.state is CallState.DONE
        for photo, reason in row.result["refused"].items()
    }
    latest = {row.call.photos[0]: row for row in _rows(ledger, arm, "enrol")}
    return [
        {"arm": arm, "person": row.call.person, "photo_sha256": copy_of(photo)[0]}
        | _enrolment(row, refused.get(photo))
        for photo, row in latest.items()
    ]


def _enrolment(row: CallRow, refused: str | None) -> dict[str, Any]:
    if refused is not None:
        return {"outcome": "refused", "code": refused, "reason": "", "note": ""}
    outcome = {CallState.DONE: "enrolled", CallState.FAILED: row.failure_kind}
    return {
        "outcome": outcome.get(row.state, "open"),
        "code": row.failure_code or "",
        "reason": row.failure_message or "",
        "note": row.result.get("note", ""),
    }


def to_csv(observations: Sequence[Mapping[str, Any]]) -> str:
    """Return observations.csv; what does not apply stays empty."""
    rows = ({**row, "censored": "true" if row["censored"] else "false"} for row in observations)
    return table([field.name for field in fields(Observation)], rows)


def table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a CSV table with a header, also when it has no rows."""
    lines = _Lines()
    writer = csv.DictWriter(lines, columns)
    writer.writeheader()
    writer.writerows(rows)
    return "".join(lines)


class _Lines(list[str]):
    """Rows that the csv module ends in CR and LF, ended in LF alone.

    If it is to end them so itself, it leaves a lone carriage return in a cell unquoted.
    """

    def write(self, row: str) -> None:
        self.append(row.removesuffix("\r\n") + "\n")
