"""The same experiment at every service, disturbed: failures, kills, expiries, wrong keys."""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.services import (
    FACEPP,
    FACES,
    KEYS,
    USERS,
    BeginUntil,
    Service,
    disturb,
    every_service,
    faces,
    told,
)

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [6, 2, 2, 2]
TRAIN = 3
ATTEMPTS_MAX = 8
pytestmark = pytest.mark.usefixtures("without_figures")


def arguments(service: Service, people: Path, endpoint: str) -> list[str]:
    return [*service.run(people, endpoint, TRAIN), "--quiet"]


@every_service
@pytest.mark.parametrize("kind", ["lost_response", "half_body", "500"])
@pytest.mark.usefixtures("no_waiting")
def test_what_fails_on_the_wire_is_neither_lost_nor_done_twice(
    service: Service, kind: str, audit_here: Audit, people: Path, endpoint: str
) -> None:
    disturb(endpoint, operation="*", every=4, kind=kind, retry_after_s=1)

    done = audit_here(*arguments(service, people, endpoint))

    assert done.returncode == 0, done.stderr
    assert faces(endpoint) == [2, 2, 2, TRAIN]


@every_service
@pytest.mark.parametrize("kind", ["500", "429"])
@pytest.mark.usefixtures("no_waiting")
def test_a_failing_call_is_on_the_wire_as_often_as_the_policy_says(
    service: Service, kind: str, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    enrol = service.operation("attach", "enrol")
    disturb(endpoint, operation=enrol, kind=kind)

    stopped = audit_here(*arguments(service, people, endpoint))

    assert stopped.returncode == 3
    assert "audit resume" in stopped.stderr
    entries = [entry for entry in told(endpoint, "log") if entry["operation"] == enrol]
    with closing(sqlite3.connect(tmp_path / "audit-runs" / "one" / "ledger.db")) as database:
        query = "SELECT attempts FROM calls WHERE operation = ? AND attempts > 0"
        attempts = [number for (number,) in database.execute(query, (enrol,))]
    assert max(attempts) == ATTEMPTS_MAX
    assert len(entries) == sum(attempts)
    disturb(endpoint, operation=enrol, kind="500", every=1000)
    assert audit_here("resume", "one", "--quiet").returncode == 0
    assert faces(endpoint) == [2, 2, 2, TRAIN]


@every_service
@pytest.mark.usefixtures("no_waiting")
def test_everything_that_runs_left_at_a_service_is_purged_with_the_right_key_only(
    service: Service, audit_here: Audit, people: Path, endpoint: str
) -> None:
    assert audit_here(*arguments(service, people, endpoint), "--max-calls", "3").returncode == 3
    where = dict.fromkeys(
        ("AZURE_FACE_ENDPOINT", "AWS_ENDPOINT_URL_REKOGNITION", "FACEPP_ENDPOINT"), endpoint
    )
    everything = ("purge", "--all", "--provider", service.provider, "--json")

    refused = audit_here(*everything, **where, **dict.fromkeys(KEYS, "wrong-key"))
    purged = audit_here(*everything, **where)

    assert refused.returncode == 4, refused.stderr
    assert "To do: " in refused.stderr
    assert "wrong-key" not in refused.stderr
    assert [row["result"] for row in json.loads(purged.stdout)] == ["deleted"]
    assert told(endpoint, "galleries") == []


@pytest.mark.parametrize("service", [FACES, USERS, FACEPP], ids=str)
def test_a_killed_run_is_resumed_and_enrols_each_photo_once(
    service: Service,
    audit_here: Audit,
    begin_until: BeginUntil,
    count_calls: Callable[..., int],
    people: Path,
    endpoint: str,
) -> None:
    process = begin_until(
        arguments(service, people, endpoint), lambda: count_calls(state="done") >= 8
    )
    process.send_signal(signal.SIGKILL)
    process.wait()

    resumed = audit_here("resume", "one", "--quiet")

    assert resumed.returncode == 0, resumed.stderr
    assert faces(endpoint) == [2, 2, 2, TRAIN]


@pytest.mark.parametrize("service", [FACEPP], ids=str)
def test_a_face_token_that_expires_during_a_pause_is_made_anew(
    service: Service, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    begun = audit_here(*arguments(service, people, endpoint), "--max-calls", "5")
    assert begun.returncode == 3
    ledger = tmp_path / "audit-runs" / "one" / "ledger.db"
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute(  # what 72 hours would make of the token
            "UPDATE calls SET result = json_set(result, '$.face_id', ?)"
            " WHERE seq = (SELECT min(seq) FROM calls WHERE verb = 'enrol')",
            ("0" * 32,),
        )

    resumed = audit_here("resume", "one", "--max-calls", "1000", "--quiet")

    assert resumed.returncode == 0, resumed.stderr
    assert faces(endpoint) == [2, 2, 2, TRAIN]
