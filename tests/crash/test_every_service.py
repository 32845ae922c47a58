"""The same experiment at every service over real sockets: counted, disturbed, killed, purged."""

import csv
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from cloaker.networks import bundled
from cloaker.recogniser import LocalRecogniser
from datasets import generated
from providers.emulators.calibration import calibration
from providers.emulators.options import Options
from providers.emulators.server import running

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [6, 2, 2, 2]
TRAIN = 3
PROBES = PEOPLE[0] - TRAIN
ENROLLED = TRAIN + sum(PEOPLE[1:])
ATTEMPTS_MAX = 8
ASKING = {"Identify", "SearchFacesByImage", "SearchUsersByImage", "search"}
COMPARED = ("arm", "probe_sha256", "outcome", "top_person", "top_score", "rank", "true_score")
KEYS = {
    "AZURE_FACE_KEY": "any",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_REGION": "eu-west-1",
    "FACEPP_API_KEY": "any",
    "FACEPP_API_SECRET": "any",
}


@dataclass(frozen=True)
class Case:
    provider: str
    options: tuple[str, ...]
    enrol: str

    def __str__(self) -> str:
        return "-".join((self.provider, *self.options[1:]))


CASES = [
    Case("azure", (), "AddLargePersonGroupPersonFace"),
    Case("rekognition", ("--gallery", "faces"), "IndexFaces"),
    Case("rekognition", ("--gallery", "users"), "AssociateFaces"),
    Case("facepp", (), "faceset/addface"),
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
    with (
        running("azure", recogniser, scores, options=keys) as azure,
        running("rekognition", recogniser, scores, options=keys) as rekognition,
        running("facepp", recogniser, scores, options=keys) as facepp,
    ):
        yield {"azure": azure, "rekognition": rekognition, "facepp": facepp}


@pytest.fixture
def endpoint(case: Case, servers: dict[str, str]) -> str:
    requests.post(f"{servers[case.provider]}/__emulator__/clear", timeout=10).raise_for_status()
    return servers[case.provider]


def experiment(case: Case, people: Path, endpoint: str) -> list[str]:
    return [
        *("--provider", case.provider, *case.options, "--endpoint", endpoint),
        *("--tier", "emulator", "--photos", str(people), "--person", "person-000"),
        *("--train", str(TRAIN), "--quiet"),
    ]


def alone(case: Case, people: Path, endpoint: str) -> list[str]:
    """Return an experiment with nothing but the control arm."""
    return [*experiment(case, people, endpoint), "--level", "none"]


def arguments(case: Case, people: Path, endpoint: str) -> list[str]:
    return ["run", *alone(case, people, endpoint), "--yes", "--out", "one"]


def told(endpoint: str, what: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = requests.get(
        f"{endpoint}/__emulator__/{what}", timeout=10
    ).json()
    return answer


def disturb(endpoint: str, **rule: Any) -> None:
    requests.post(
        f"{endpoint}/__emulator__/faults", json={"rules": [rule]}, timeout=10
    ).raise_for_status()


def faces(endpoint: str) -> list[int]:
    """Return how many faces each person of the one gallery has, ordered."""
    (gallery,) = told(endpoint, "galleries")
    return sorted(len(person["faces"]) for person in gallery["persons"])


@every_service
def test_a_run_makes_the_calls_of_the_plan_and_purge_leaves_nothing(
    case: Case, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    planned = audit_here("plan", *alone(case, people, endpoint), "--json", **KEYS)
    assert planned.returncode == 0, planned.stderr
    calls = {row["what"]: row["calls"] for row in json.loads(planned.stdout) if row["calls"]}
    calls.popitem()
    assert told(endpoint, "log") == []

    done = audit_here(*arguments(case, people, endpoint), **KEYS)

    assert done.returncode == 0, done.stderr
    assert Counter(entry["operation"] for entry in told(endpoint, "log")) == calls
    assert faces(endpoint) == [2, 2, 2, TRAIN]
    run = tmp_path / "audit-runs" / "one"
    observations = table(run / "observations.csv")
    assert [row["outcome"] for row in observations] == ["match"] * PROBES
    assert {row["censored"] for row in observations} == {"false"}
    for row in observations:
        scale = 1 if case.provider == "azure" else 100
        assert float(row["native_score"]) == pytest.approx(scale * float(row["true_score"]))
        assert bool(row["service_thresholds"]) == (case.provider == "facepp")
    assert audit_here("purge", "one", **KEYS).returncode == 0
    assert told(endpoint, "galleries") == []


@every_service
def test_arms_in_one_gallery_observe_what_they_would_in_a_gallery_each(
    case: Case, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    asked = [*experiment(case, people, endpoint), "--level", "min", "--level", "low"]
    kind = case.options[1] if case.options else ""
    apart = f"{kind}-fresh".removeprefix("-")
    calls = {}
    for name, more in {"together": (), "apart": ("--gallery", apart)}.items():
        requests.post(f"{endpoint}/__emulator__/clear", timeout=10).raise_for_status()
        done = audit_here("run", *asked, *more, "--yes", "--out", name, **KEYS)
        assert done.returncode == 0, done.stderr
        calls[name] = len(told(endpoint, "log"))
        assert len(told(endpoint, "galleries")) == (1 if name == "together" else 3)

    planned = audit_here("plan", *asked, "--json", **KEYS)
    *_, otherwise, total = json.loads(planned.stdout)
    assert (total["calls"], otherwise["calls"]) == (calls["together"], calls["apart"])
    assert calls["together"] < calls["apart"]
    both = [table(tmp_path / "audit-runs" / name / "observations.csv") for name in calls]
    seen = [[[row[name] for name in COMPARED] for row in rows] for rows in both]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 3 * PROBES


@every_service
@pytest.mark.usefixtures("no_waiting")
def test_a_gallery_that_somebody_else_changed_is_not_probed(
    case: Case, audit_here: Audit, people: Path, endpoint: str
) -> None:
    asked = [*experiment(case, people, endpoint), "--level", "min", "--yes", "--out", "one"]
    enrolled = 1 + sum(PEOPLE[1:])
    begun = audit_here("run", *asked, "--max-calls", str(enrolled), **KEYS)
    assert begun.returncode == 3
    requests.post(f"{endpoint}/__emulator__/clear", timeout=10).raise_for_status()

    stopped = audit_here("resume", "one", "--max-calls", "1000", "--quiet", **KEYS)

    assert stopped.returncode == 3
    assert "gallery" in stopped.stderr
    assert not [row for row in told(endpoint, "log") if row["operation"] in ASKING]


@every_service
@pytest.mark.parametrize("kind", ["lost_response", "half_body", "500"])
@pytest.mark.usefixtures("no_waiting")
def test_what_fails_on_the_wire_is_neither_lost_nor_done_twice(
    case: Case, kind: str, audit_here: Audit, people: Path, endpoint: str
) -> None:
    disturb(endpoint, operation="*", every=4, kind=kind, retry_after_s=1)

    done = audit_here(*arguments(case, people, endpoint), **KEYS)

    assert done.returncode == 0, done.stderr
    assert faces(endpoint) == [2, 2, 2, TRAIN]


@every_service
@pytest.mark.parametrize("kind", ["500", "429"])
@pytest.mark.usefixtures("no_waiting")
def test_a_failing_call_is_on_the_wire_as_often_as_the_policy_says(
    case: Case, kind: str, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    disturb(endpoint, operation=case.enrol, kind=kind)

    stopped = audit_here(*arguments(case, people, endpoint), **KEYS)

    assert stopped.returncode == 3
    assert "audit resume" in stopped.stderr
    entries = [entry for entry in told(endpoint, "log") if entry["operation"] == case.enrol]
    with closing(sqlite3.connect(tmp_path / "audit-runs" / "one" / "ledger.db")) as database:
        query = "SELECT attempts FROM calls WHERE operation = ? AND attempts > 0"
        attempts = [number for (number,) in database.execute(query, (case.enrol,))]
    assert max(attempts) == ATTEMPTS_MAX
    assert len(entries) == sum(attempts)
    disturb(endpoint, operation=case.enrol, kind="500", every=1000)
    assert audit_here("resume", "one", "--quiet", **KEYS).returncode == 0
    assert faces(endpoint) == [2, 2, 2, TRAIN]


@every_service
@pytest.mark.usefixtures("no_waiting")
def test_everything_that_runs_left_at_a_service_is_purged_with_the_right_key_only(
    case: Case, audit_here: Audit, people: Path, endpoint: str
) -> None:
    assert (
        audit_here(*arguments(case, people, endpoint), "--max-calls", "3", **KEYS).returncode == 3
    )
    where = dict.fromkeys(
        ("AZURE_FACE_ENDPOINT", "AWS_ENDPOINT_URL_REKOGNITION", "FACEPP_ENDPOINT"), endpoint
    )
    everything = ("purge", "--all", "--provider", case.provider, "--json")

    refused = audit_here(*everything, **where, **dict.fromkeys(KEYS, "wrong-key"))
    purged = audit_here(*everything, **where, **KEYS)

    assert refused.returncode == 4, refused.stderr
    assert "To do: " in refused.stderr
    assert "wrong-key" not in refused.stderr
    assert [row["result"] for row in json.loads(purged.stdout)] == ["deleted"]
    assert told(endpoint, "galleries") == []


@pytest.mark.parametrize("case", CASES[1:], ids=str)
def test_a_killed_run_is_resumed_and_enrols_each_photo_once(
    case: Case, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "audit", *arguments(case, people, endpoint)],
        cwd=tmp_path,
        env=os.environ | KEYS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while done_calls(tmp_path / "audit-runs" / "one" / "ledger.db") < 8:
        assert process.poll() is None, "the run ended before the moment to kill it"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()

    resumed = audit_here("resume", "one", "--quiet", **KEYS)

    assert resumed.returncode == 0, resumed.stderr
    assert faces(endpoint) == [2, 2, 2, TRAIN]


def done_calls(ledger: Path) -> int:
    if not ledger.exists():
        return 0
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as database:
        try:
            query = "SELECT count(*) FROM calls WHERE state = 'done'"
            return int(database.execute(query).fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


@pytest.mark.parametrize(("fits", "outcomes"), [(True, {"enrolled"}), (False, {"refused"})])
def test_a_photo_beyond_the_limits_is_changed_or_refused_as_the_user_says(
    fits: bool,  # noqa: FBT001 - a parameter of the test
    outcomes: set[str],
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    servers: dict[str, str],
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(people, photos)
    [large, *_] = sorted((photos / "person-001").iterdir())
    with Image.open(large) as image:
        image.resize((4400, 4400)).save(large)
    case = CASES[0]
    requests.post(f"{servers['azure']}/__emulator__/clear", timeout=10).raise_for_status()

    done = audit_here(
        *arguments(case, photos, servers["azure"]),
        "--fit-photos" if fits else "--no-fit-photos",
        **KEYS,
    )

    assert done.returncode == 0, done.stderr
    run = tmp_path / "audit-runs" / "one"
    name = hashlib.sha256(large.read_bytes()).hexdigest()
    rows = {row["photo_sha256"]: row for row in table(run / "enrolment.csv")}
    assert {rows[name]["outcome"]} == outcomes
    assert bool(rows[name]["reason"]) != fits
    changed = table(run / "changed_uploads.csv")
    assert [row["photo"] for row in changed] == ([name] if fits else [])
    assert all(row["change"].startswith("resized from 4400x4400 to ") for row in changed)
    assert all(row["uploaded_sha256"] != name for row in changed)


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("matching", ["nearest", "centroid", "linear"])
def test_a_local_recogniser_is_audited_like_a_service(
    matching: str, audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    asked = ("--photos", str(people), "--person", "person-000", "--train", str(TRAIN))
    local = ("run", "--provider", "local", "--matching", matching, "--level", "none")

    done = audit_here(*local, *asked, "--out", "here")

    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "audit-runs" / "here" / "manifest.json").read_text())
    assert manifest["consent"] == {"needed": False}
    assert manifest["calls"]["by_operation"] == {"create": 1, "enrol": ENROLLED, "identify": PROBES}
    observations = table(tmp_path / "audit-runs" / "here" / "observations.csv")
    assert [row["outcome"] for row in observations] == ["match"] * PROBES
    purged = audit_here("purge", "here")
    assert "deleted" in purged.stdout


@pytest.mark.parametrize("case", CASES[3:], ids=str)
def test_a_face_token_that_expires_during_a_pause_is_made_anew(
    case: Case, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    begun = audit_here(*arguments(case, people, endpoint), "--max-calls", "5", **KEYS)
    assert begun.returncode == 3
    ledger = tmp_path / "audit-runs" / "one" / "ledger.db"
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute(  # what 72 hours would make of the token
            "UPDATE calls SET result = json_set(result, '$.face_id', ?)"
            " WHERE seq = (SELECT min(seq) FROM calls WHERE verb = 'enrol')",
            ("0" * 32,),
        )

    resumed = audit_here("resume", "one", "--max-calls", "1000", "--quiet", **KEYS)

    assert resumed.returncode == 0, resumed.stderr
    assert faces(endpoint) == [2, 2, 2, TRAIN]
