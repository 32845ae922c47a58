"""A run at each service of which a fifth of the requests goes wrong, and what it costs.

    python benchmarks/faults.py [--service azure facepp]

Each run has two arms that share a gallery, and meets every kind of fault that the emulators know.
Hangs outlast the adapters' read timeout of 60 s, so each costs up to a minute: they are rarer than
the rest. A run that gives up (exit code 3) is resumed, as its user would. In the end there must be
the observations of a run without faults, each photo of the plan in the gallery once and nothing
else, no call sent more often than the policy says, and the same requests in the emulator's log, the
ledger and the manifest. Prints a row a service; ends with an error if anything differs.
"""

import argparse
import json
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Hashable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import requests
from random_kills import LATENCY_MS, SERVICES, Trial

from audit.calls import Call, CallState
from audit.expansion import SHARED, person_tag
from audit.ledger import Ledger
from cloaker.networks import bundled
from cloaker.recogniser import LocalRecogniser
from datasets import generated
from providers.emulators.calibration import calibration
from providers.emulators.faults import FaultKind
from providers.emulators.options import Options
from providers.emulators.server import running

PEOPLE = [24, *[8] * 20]
EVERY = {
    FaultKind.THROTTLED: 25,
    FaultKind.SERVER_ERROR: 27,
    FaultKind.UNAVAILABLE: 28,
    FaultKind.RESET: 29,
    FaultKind.HALF_BODY: 31,
    FaultKind.LOST_RESPONSE: 37,
    FaultKind.HANG: 97,
}
"""Each so-manieth request meets a fault; no two share a divisor, so they seldom coincide."""

RETRY_AFTER_S = 1
HANG_S = 120
ATTEMPTS_MAX = 8
GAVE_UP = 3
RESUMES_MAX = 5
THROTTLED = ("429", "ProvisionedThroughputExceededException", "CONCURRENCY_LIMIT_EXCEEDED")

Enrolled = tuple[str, str, str]
"""Arm, person and photo."""


class DisturbedTrial(Trial):
    """A trial whose emulator can be made to fail."""

    def folder(self, run: str) -> Path:
        """Return a run's folder."""
        return self._folder / "audit-runs" / run

    def disturb(self) -> None:
        """Make the emulator forget all it was asked, and fail from now on."""
        rules = [
            {"kind": kind, "every": every, "operation": "*"}
            | ({"seconds": HANG_S} if kind is FaultKind.HANG else {"retry_after_s": RETRY_AFTER_S})
            for kind, every in EVERY.items()
        ]
        for what, body in (("clear", None), ("faults", {"rules": rules})):
            answer = requests.post(f"{self.endpoint}/__emulator__/{what}", json=body, timeout=30)
            answer.raise_for_status()

    def carry_out(self, run: str) -> tuple[float, int]:
        """Make a run; return the seconds that it took and how often it had to be resumed."""
        began, resumes = time.monotonic(), 0
        process = self._start(run)
        while process.wait() == GAVE_UP and resumes < RESUMES_MAX:
            process, resumes = self._resume(run), resumes + 1
        if process.returncode:
            raise SystemExit(f"{run} ended with exit code {process.returncode}")
        return time.monotonic() - began, resumes


def main() -> None:
    """Disturb a run at every service and print what it cost."""
    arguments = _arguments()
    recogniser, scores = LocalRecogniser(bundled.load("bundled-conv")), calibration("bundled-conv")
    titles = ("service", "planned", "requests", "struck", *EVERY, "attempts max", "throttled")
    print(*titles, "resumes", "wall s", "undisturbed s", sep=", ")
    with tempfile.TemporaryDirectory() as name:
        people = Path(name, "people")
        generated.write_people(people, len(PEOPLE), PEOPLE.__getitem__)
        for service in arguments.service:
            folder = Path(name, service.replace(" ", "-"))
            folder.mkdir()
            options = Options(latency_ms=LATENCY_MS)
            with running(SERVICES[service][0], recogniser, scores, options=options) as endpoint:
                trial = DisturbedTrial(service, folder, people, endpoint)
                print(service, *measure(trial), sep=", ", flush=True)


def measure(trial: DisturbedTrial) -> list[object]:
    """Return a service's row; raise SystemExit if faults leave anything else than no faults."""
    undisturbed_s, _ = trial.carry_out("undisturbed")
    planned, content = trial.planned(), held(trial, "undisturbed")
    _expect("photos in the undisturbed gallery", content, needed(trial.folder("undisturbed")))
    trial.disturb()
    disturbed_s, resumes = trial.carry_out("disturbed")
    log = trial.told("log")
    _expect("observations", trial.observations("disturbed"), trial.observations("undisturbed"))
    _expect("photos in the gallery", held(trial, "disturbed"), content)
    judge_totals(trial.folder("disturbed"), log)
    most, throttled = attempts(trial.folder("disturbed"))
    if most > ATTEMPTS_MAX * (1 + resumes):
        raise SystemExit(
            f"a call was sent {most} times, expected: {ATTEMPTS_MAX} at most a session"
        )
    struck = Counter(entry["fault"] for entry in log if entry["fault"])
    _expect("throttled attempts", [throttled], [struck[FaultKind.THROTTLED]])
    counts = (planned, len(log), f"{100 * struck.total() / len(log):.1f} %")
    ends = (most, throttled, resumes, f"{disturbed_s:.1f}", f"{undisturbed_s:.1f}")
    return [*counts, *(struck[kind] for kind in EVERY), *ends]


def held(trial: DisturbedTrial, run: str) -> list[Enrolled]:
    """Return what the gallery holds, in terms of the run that filled it."""
    calls = enrolments(trial.folder(run))
    people = {person_tag(run, call.person, call.arm): call for call in calls.values()}
    (gallery,) = trial.told("galleries")
    faces: list[Enrolled] = []
    for person in gallery["persons"]:
        whose = people.get(person["person"])
        for face in person["faces"]:
            call = calls.get(face["face_id"])
            label = face.get("user_data", face.get("external_id"))
            if whose and call and label in (person["person"], call.photos[0]):
                faces.append((whose.arm, whose.person, call.photos[0]))
            else:
                faces.append(("unknown to the ledger", person["person"], face["face_id"]))
    return faces


def needed(folder: Path) -> list[Enrolled]:
    """Return what the last arm of a run needs in the gallery; refused photos are not in it."""
    calls = list(enrolments(folder).values())
    arms = (SHARED, calls[-1].arm)
    return [(call.arm, call.person, call.photos[0]) for call in calls if call.arm in arms]


def enrolments(folder: Path) -> dict[str, Call]:
    """Return the calls that enrolled a photo, by the face's id, in the order of the plan."""
    with closing(Ledger(folder / "ledger.db")) as ledger:
        rows = ledger.calls(verb="enrol", state=CallState.DONE)
    return {row.result["face_id"]: row.call for row in rows}


def judge_totals(folder: Path, log: list[dict[str, Any]]) -> None:
    """Raise SystemExit if ledger or manifest tell of other requests than were received."""
    received = [entry["operation"] for entry in log]
    with closing(Ledger(folder / "ledger.db")) as ledger:
        by_operation, made = ledger.attempts_by_operation(), ledger.attempts_made()
    told = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["calls"]
    _expect("requests in the ledger", Counter(by_operation).elements(), received)
    _expect("requests in the manifest", Counter(told["by_operation"]).elements(), received)
    _expect("attempts in ledger and manifest", [made, told["sent"]], [len(log)] * 2)


def attempts(folder: Path) -> tuple[int, int]:
    """Return the most attempts that a call took, and how many of all attempts were throttled."""
    with closing(sqlite3.connect(folder / "ledger.db")) as database:
        (most,) = database.execute("SELECT max(attempts) FROM calls").fetchone()
        outcomes = Counter(row[0] for row in database.execute("SELECT outcome FROM attempts"))
    return most, sum(outcomes[code] for code in THROTTLED)


def _expect(what: str, seen: Iterable[Hashable], expected: Iterable[Hashable]) -> None:
    """Raise SystemExit unless both are the same, in whatever order."""
    surplus, missing = Counter(seen), Counter(expected)
    surplus, missing = surplus - missing, missing - surplus
    if surplus or missing:
        raise SystemExit(
            f"{what}: seen but not expected: {dict(surplus)}; expected but not seen: {dict(missing)}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service", nargs="+", choices=SERVICES, default=list(SERVICES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
