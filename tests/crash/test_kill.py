"""Real processes, killed for real: nothing is lost, no photo is enrolled twice."""

import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.services import AZURE, BeginUntil, Service, disturb, told

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [8, 3, 3, 3]
TRAIN = 5
SECRET = "planted-3f1c9a"


@pytest.fixture
def service() -> Service:
    return AZURE


@pytest.fixture(scope="module")
def accepted_keys() -> frozenset[str]:
    return frozenset({"any", SECRET})


def arguments(people: Path, endpoint: str, level: str = "none") -> list[str]:
    return [*AZURE.run(people, endpoint, TRAIN, level), "--set", "steps=2", "--quiet"]


def enrolled(endpoint: str) -> dict[str, Counter[str]]:
    """Return for each gallery how often each photo is enrolled."""
    return {
        gallery["gallery"]: Counter(
            face["user_data"] for person in gallery["persons"] for face in person["faces"]
        )
        for gallery in told(endpoint, "galleries")
    }


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize(
    ("level", "done_when_killed"), [("none", 2), ("none", 9), ("none", 17), ("min", 30)]
)
def test_a_killed_run_is_resumed_and_enrols_each_photo_once(
    audit_here: Audit,
    begin_until: BeginUntil,
    count_calls: Callable[..., int],
    tmp_path: Path,
    people: Path,
    endpoint: str,
    level: str,
    done_when_killed: int,
) -> None:
    run = tmp_path / "audit-runs" / "one"
    process = begin_until(
        arguments(people, endpoint, level), lambda: count_calls(state="done") >= done_when_killed
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert '"died"' in audit_here("status", "one", "--json").stdout

    resumed = audit_here("resume", "one", "--quiet")

    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.splitlines()[-1] == str(run.relative_to(tmp_path))
    galleries = enrolled(endpoint)
    (photos,) = galleries.values()
    assert set(photos.values()) == {1}
    assert len(photos) == TRAIN + sum(PEOPLE[1:])
    arms = 1 if level == "none" else 2
    assert len((run / "observations.csv").read_text().splitlines()) == 1 + arms * 3
    assert count_calls(state="unknown") == count_calls(state="planned") == 0


@pytest.mark.parametrize("kind", ["lost_response", "reset", "500", "429"])
@pytest.mark.usefixtures("no_waiting", "without_figures")
def test_what_fails_on_the_wire_is_neither_lost_nor_done_twice(
    audit_here: Audit, people: Path, endpoint: str, kind: str
) -> None:
    disturb(endpoint, operation="*", every=4, kind=kind, retry_after_s=1)

    done = audit_here(*arguments(people, endpoint))

    assert done.returncode == 0, done.stderr
    (photos,) = enrolled(endpoint).values()
    assert set(photos.values()) == {1}
    assert len(photos) == TRAIN + sum(PEOPLE[1:])


@pytest.mark.usefixtures("without_figures")
def test_ctrl_c_ends_a_run_that_can_be_resumed(
    audit_here: Audit,
    begin_until: BeginUntil,
    count_calls: Callable[..., int],
    people: Path,
    endpoint: str,
) -> None:
    process = begin_until(arguments(people, endpoint), lambda: count_calls(state="done") >= 5)
    process.send_signal(signal.SIGINT)

    output, _ = process.communicate()

    assert process.returncode == 130
    assert output.splitlines()[-1] == "audit: interrupted; `audit resume one` continues it"
    assert "Traceback" not in output
    assert '"interrupted"' in audit_here("status", "one", "--json").stdout
    assert audit_here("resume", "one").returncode == 0


@pytest.mark.usefixtures("without_figures")
def test_a_budget_stops_before_the_call_that_would_exceed_it(
    audit_here: Audit, people: Path, endpoint: str
) -> None:
    begun = audit_here(*arguments(people, endpoint), "--max-calls", "7")

    assert begun.returncode == 3
    assert "7 calls" in begun.stderr
    assert len(told(endpoint, "log")) == 7
    resumed = audit_here("resume", "one", "--max-calls", "1000")
    assert resumed.returncode == 0


def test_purge_leaves_nothing_behind_after_a_kill(
    audit_here: Audit,
    begin_until: BeginUntil,
    count_calls: Callable[..., int],
    people: Path,
    endpoint: str,
) -> None:
    process = begin_until(arguments(people, endpoint), lambda: count_calls(state="done") >= 4)
    process.kill()
    process.wait()

    purged = audit_here("purge", "one")

    assert purged.returncode == 0, purged.stderr
    assert "deleted" in purged.stdout
    assert enrolled(endpoint) == {}


def test_the_key_is_in_no_file_of_the_run(
    audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    done = audit_here(*arguments(people, endpoint), AZURE_FACE_KEY=SECRET)

    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    files = [path for path in (tmp_path / "audit-runs").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert (tmp_path / "audit-runs" / "one").stat().st_mode & 0o077 == 0
