"""A run that was killed at any moment leaves nothing at the service once it is purged."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.services import KEYS, Service, disturb, every_service, told

Audit = Callable[..., subprocess.CompletedProcess[str]]
Kill = Callable[[Sequence[str], Callable[[], bool]], None]
PEOPLE = [4, 2, 2]

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
    service: Service,
    moment: Moment,
    begin_and_kill: Kill,
    audit_here: Audit,
    count_calls: Callable[..., int],
    people: Path,
    endpoint: str,
) -> None:
    operation = service.operation(*moment.verbs)
    disturb(endpoint, operation=operation, kind=moment.kind)

    begin_and_kill(
        [*service.run(people, endpoint, train=2), "--quiet"],
        lambda: count_calls(operation=operation, state=moment.state) > 0,
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
