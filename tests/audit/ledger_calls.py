"""What the tests of the ledger write into it."""

from dataclasses import replace

from audit.calls import Call
from audit.types import Observation, Outcome

ENROL = Call("azure", "enrol", "AddFace", "control", "audit-1-0", "ann", ("aa",))
CREATE = Call("azure", "create_gallery", "Create", "control", "audit-1-0")
UTC = "2026-01-01T00:00:00.000+00:00"


def observation(score: float) -> Observation:
    return Observation(
        run_id="r",
        utc="",
        provider="azure",
        service_model="m",
        game="poison",
        arm="control",
        system="none",
        level="none",
        targets=None,
        cloaked_fraction=0.0,
        probe_sha256="aa",
        true_person="ann",
        outcome=Outcome.MATCH,
        true_score=score,
    )


def many(calls: int) -> list[Call]:
    return [replace(ENROL, photos=(str(number),)) for number in range(calls)]
