"""Whatever happened to a run, `audit purge` leaves nothing of it at the service, or says so."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from audit import purge
from audit.calls import Call
from audit.errors import ServiceRefused, Stopped
from audit.experiment import resolve, to_toml
from audit.folders import RunFolder
from audit.ledger import Ledger
from audit.progress import Progress
from audit.services import opened
from cloaker.networks import bundled
from cloaker.recogniser import LocalRecogniser
from datasets import generated
from providers import registry
from providers.emulators.calibration import calibration
from providers.emulators.options import Options
from providers.emulators.server import running

Audit = Callable[..., subprocess.CompletedProcess[str]]
Kill = Callable[[Sequence[str], Callable[[], bool]], None]
PEOPLE = [4, 2, 2]
KEYS = {
    "AZURE_FACE_KEY": "any",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_REGION": "eu-west-1",
    "FACEPP_API_KEY": "any",
    "FACEPP_API_SECRET": "any",
}
QUIET = Progress(quiet=True)

_NURSERY = """
import json, os, signal, sys
import audit.runner, cloaker.recogniser, reports
from audit.cli import app
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        order = json.loads(line)
        os.chdir(order["folder"])
        os.environ.update(order["environment"])
        app(order["arguments"])
    print(child, flush=True)
"""
"""Imports once what every run needs; each line of stdin is a run, forked, its process id told."""


@dataclass(frozen=True)
class Case:
    provider: str
    gallery: str | None = None

    def __str__(self) -> str:
        return f"{self.provider} {self.gallery}" if self.gallery else self.provider

    def operation(self, *verbs: str) -> str:
        """Return the service's name of the first verb that it knows."""
        operations = registry.capabilities(self.provider, self.gallery).operations
        return next(operations[verb] for verb in verbs if verb in operations)


CASES = [
    Case("azure"),
    Case("rekognition", "faces"),
    Case("rekognition", "users"),
    Case("facepp"),
]
every_service = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    generated.write_people(folder, len(PEOPLE), PEOPLE.__getitem__)
    return folder


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """Yield the address of an emulator of each service."""
    recogniser, scores = LocalRecogniser(bundled.load("bundled-conv")), calibration("bundled-conv")
    keys = Options(keys=frozenset({"any"}))
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(running(name, recogniser, scores, options=keys))
            for name in ("azure", "rekognition", "facepp")
        }


@pytest.fixture
def endpoint(case: Case, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    requests.post(f"{servers[case.provider]}/__emulator__/clear", timeout=10).raise_for_status()
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return servers[case.provider]


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _NURSERY]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as started:
        yield started
        assert started.stdin is not None
        started.stdin.close()


@pytest.fixture
def begin_and_kill(nursery: subprocess.Popen[str], tmp_path: Path) -> Kill:
    """Return a function that starts a run and kills it once a condition holds."""

    def call(arguments: Sequence[str], moment: Callable[[], bool]) -> None:
        order = {"arguments": arguments, "folder": str(tmp_path), "environment": KEYS}
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        print(json.dumps(order), file=nursery.stdin, flush=True)
        process = int(nursery.stdout.readline().splitlines()[-1])
        while not moment():
            os.kill(process, 0)  # raises ProcessLookupError if the run has ended before
            time.sleep(0.002)
        os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            while True:
                os.kill(process, 0)
                time.sleep(0.002)

    return call


def arguments(case: Case, people: Path, endpoint: str) -> list[str]:
    return [
        *("run", "--provider", case.provider, "--endpoint", endpoint, "--tier", "emulator"),
        *(("--gallery", case.gallery) if case.gallery else ()),
        *("--photos", str(people), "--person", "person-000", "--train", "2", "--level", "none"),
        *("--out", "one", "--quiet", "--yes"),
    ]


def disturb(endpoint: str, **rule: Any) -> None:
    answer = requests.post(f"{endpoint}/__emulator__/faults", json={"rules": [rule]}, timeout=10)
    answer.raise_for_status()


def told(endpoint: str, what: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = requests.get(
        f"{endpoint}/__emulator__/{what}", timeout=10
    ).json()
    return answer


def in_state(ledger: Path, operation: str, state: str) -> bool:
    """Tell whether a call of an operation is in a state."""
    if not ledger.exists():
        return False
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as database:
        query = "SELECT 1 FROM calls WHERE operation = ? AND state = ?"
        try:
            return bool(database.execute(query, (operation, state)).fetchall())
        except sqlite3.OperationalError:  # the table is not there yet
            return False


@dataclass(frozen=True)
class Moment:
    """When a run is killed: at the first call of a verb, not carried out or carried out unheard."""

    name: str
    verbs: tuple[str, ...]
    kind: str
    result: str = "deleted"

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        """How the ledger knows the call at that moment."""
        return "sent" if self.kind == "hang" else "unknown"


MOMENTS = [
    Moment("creating", ("create_gallery",), "hang", "gone already"),
    Moment("created unheard", ("create_gallery",), "lost_response"),
    Moment("enrolling", ("enrol",), "hang"),
    Moment("probing", ("identify", "identify_photo"), "hang"),
]


@every_service
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_run_killed_at_any_moment_is_purged(
    case: Case,
    moment: Moment,
    begin_and_kill: Kill,
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    endpoint: str,
) -> None:
    operation = case.operation(*moment.verbs)
    disturb(endpoint, operation=operation, kind=moment.kind)
    ledger = tmp_path / "audit-runs" / "one" / "ledger.db"

    begin_and_kill(
        arguments(case, people, endpoint), lambda: in_state(ledger, operation, moment.state)
    )
    status = json.loads(audit_here("status", "--json").stdout)[0]
    purged = audit_here("purge", "one", "--json")
    again = audit_here("purge", "one", "--json")

    assert (status["state"], status["left_at_service"]) == ("died", 1)
    assert purged.returncode == again.returncode == 0, purged.stderr
    assert [row["result"] for row in json.loads(purged.stdout)] == [moment.result]
    before = "deleted before" if moment.result == "deleted" else moment.result
    assert [row["result"] for row in json.loads(again.stdout)] == [before]
    assert told(endpoint, "galleries") == []
    assert json.loads(audit_here("status", "--json").stdout)[0]["left_at_service"] == 0


@pytest.fixture
def run(case: Case, endpoint: str, tmp_path: Path) -> RunFolder:
    """Return a run with three galleries, of which the first two were created."""
    folder = RunFolder(tmp_path / "audit-runs" / "three")
    folder.path.mkdir(parents=True)
    gallery = {"gallery": case.gallery} if case.gallery else {}
    values = {"provider": case.provider, "endpoint": endpoint, "tier": "emulator"} | gallery
    experiment = resolve(None, values)
    folder.experiment.write_text(to_toml(experiment))
    note(folder, needed=True)
    operation = case.operation("create_gallery")
    names = [f"audit-three-{number}" for number in range(3)]
    with (
        closing(Ledger(folder.ledger)) as ledger,
        opened(experiment, folder) as provider,
    ):
        ledger.add(
            Call(case.provider, "create_gallery", operation, f"arm-{name[-1]}", name)
            for name in names
        )
        for name in names[:2]:
            provider.create_gallery(name)
            ledger.set_gallery(name, "created")
    return folder


def note(folder: RunFolder, *, needed: bool) -> None:
    notes = {"consent": {"needed": needed}, "service": {"name": "The Service"}}
    folder.manifest.write_text(json.dumps(notes | {"exit_state": "done"}))


def results(rows: Sequence[purge.Row]) -> list[str]:
    return [row["result"] for row in rows]


@every_service
def test_what_can_not_be_deleted_is_told_and_stops_no_other_deletion(
    case: Case, run: RunFolder, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.execution._ATTEMPTS_MAX", 1)
    disturb(endpoint, operation=case.operation("delete_gallery"), kind="500", every=2)

    rows = purge.purge_run(run, QUIET)

    assert results(rows) == ["deleted", "left", "gone already"]
    assert [bool(row["reason"]) for row in rows] == [False, True, False]
    assert [gallery["gallery"] for gallery in told(endpoint, "galleries")] == ["audit-three-1"]
    with pytest.raises(Stopped, match="1 of 3 galleries are left at the service: the service"):
        purge.check(rows)
    disturb(endpoint, operation="*", kind="500", every=1000)
    again = purge.purge_run(run, QUIET)
    assert results(again) == ["deleted before", "deleted", "gone already"]
    purge.check(again)
    assert told(endpoint, "galleries") == []


@every_service
def test_a_wrong_key_deletes_nothing_and_is_told_as_a_refusal(
    run: RunFolder, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_FACE_KEY", "AWS_ACCESS_KEY_ID", "FACEPP_API_KEY"):
        monkeypatch.setenv(name, "wrong-key")

    with pytest.raises(ServiceRefused, match="To do: ") as refused:
        purge.purge_run(run, QUIET)

    assert "wrong-key" not in str(refused.value)
    assert len(told(endpoint, "galleries")) == 2


@pytest.mark.parametrize("case", CASES[:1], ids=str)
def test_a_gallery_created_again_after_its_deletion_is_deleted_again(
    run: RunFolder, endpoint: str
) -> None:
    assert results(purge.purge_run(run, QUIET)) == ["deleted", "deleted", "gone already"]
    with opened(resolve(run.experiment, {}), run) as provider:
        provider.create_gallery("audit-three-2")  # its run died before the ledger heard of it

    assert results(purge.purge_run(run, QUIET)) == ["deleted before", "deleted before", "deleted"]
    assert told(endpoint, "galleries") == []


@pytest.mark.parametrize("case", CASES[:1], ids=str)
def test_a_finished_run_offers_to_purge_the_faces_that_are_left(run: RunFolder) -> None:
    with closing(Ledger(run.ledger)) as ledger:
        verbs = [
            ("enrol", "arm-0", 0, "ann", ("a1",)),
            ("enrol", "arm-0", 0, "ann", ("a2",)),
            ("enrol", "arm-0", 0, "bob", ("b1",)),
            ("remove_faces", "arm-0", 0, "", ("a1",)),
            ("enrol", "arm-1", 1, "bob", ("b1",)),
            ("enrol", "arm-1", 1, "carl", ("c1",)),
            ("enrol", "arm-1", 1, "carl", ("c2",)),
            ("remove_person", "arm-1", 1, "carl", ()),
            ("enrol", "arm-2", 2, "dora", ("d1",)),
        ]
        ledger.add(
            Call("azure", verb, verb, arm, f"audit-three-{number}", person, photos)
            for verb, arm, number, person, photos in verbs
        )
        for row in ledger.calls():
            ledger.done(row.seq, "", 1.0, {})

    assert purge.offer(run) == (
        "3 faces of 2 people are still stored at The Service; `audit purge three` deletes them."
    )
    note(run, needed=False)
    assert purge.offer(run) == ""
    note(run, needed=True)
    purge.purge_run(run, QUIET)
    assert purge.offer(run) == ""
