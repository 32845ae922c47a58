"""The same experiment at every service over real sockets: counted, compared, purged."""

import hashlib
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests import readers
from tests.crash.services import AZURE, Service, clear, every_service, faces, told

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [6, 2, 2, 2]
TRAIN = 3
PROBES = PEOPLE[0] - TRAIN
ENROLLED = TRAIN + sum(PEOPLE[1:])
ASKING = {"Identify", "SearchFacesByImage", "SearchUsersByImage", "search"}
COMPARED = ("arm", "probe_sha256", "outcome", "top_person", "top_score", "rank", "true_score")
pytestmark = pytest.mark.usefixtures("without_figures")


def experiment(service: Service, people: Path, endpoint: str) -> list[str]:
    return [*service.experiment(people, endpoint, TRAIN), "--quiet"]


def alone(service: Service, people: Path, endpoint: str) -> list[str]:
    """Return an experiment with nothing but the control arm."""
    return [*experiment(service, people, endpoint), "--level", "none"]


def arguments(service: Service, people: Path, endpoint: str) -> list[str]:
    return [*service.run(people, endpoint, TRAIN), "--quiet"]


@every_service
def test_a_run_makes_the_calls_of_the_plan_and_purge_leaves_nothing(
    service: Service, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    planned = audit_here("plan", *alone(service, people, endpoint), "--json")
    assert planned.returncode == 0, planned.stderr
    calls = {row["what"]: row["calls"] for row in json.loads(planned.stdout) if row["calls"]}
    calls.popitem()
    assert told(endpoint, "log") == []

    done = audit_here(*arguments(service, people, endpoint))

    assert done.returncode == 0, done.stderr
    assert Counter(entry["operation"] for entry in told(endpoint, "log")) == calls
    assert faces(endpoint) == [2, 2, 2, TRAIN]
    run = tmp_path / "audit-runs" / "one"
    observations = readers.rows(run / "observations.csv")
    assert [row["outcome"] for row in observations] == ["match"] * PROBES
    assert {row["censored"] for row in observations} == {"false"}
    for row in observations:
        scale = 1 if service.provider == "azure" else 100
        assert float(row["native_score"]) == pytest.approx(scale * float(row["true_score"]))
        assert bool(row["service_thresholds"]) == (service.provider == "facepp")
    assert audit_here("purge", "one").returncode == 0
    assert told(endpoint, "galleries") == []


@every_service
def test_arms_in_one_gallery_observe_what_they_would_in_a_gallery_each(
    service: Service, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    levels = ("--level", "min", "--level", "low", "--set", "steps=2")
    asked = [*experiment(service, people, endpoint), *levels]
    apart = f"{service.gallery}-fresh" if service.gallery else "fresh"
    calls = {}
    for name, more in {"together": (), "apart": ("--gallery", apart)}.items():
        clear(endpoint)
        done = audit_here("run", *asked, *more, "--yes", "--out", name)
        assert done.returncode == 0, done.stderr
        calls[name] = len(told(endpoint, "log"))
        assert len(told(endpoint, "galleries")) == (1 if name == "together" else 3)

    planned = audit_here("plan", *asked, "--json")
    *_, otherwise, total = json.loads(planned.stdout)
    assert (total["calls"], otherwise["calls"]) == (calls["together"], calls["apart"])
    assert calls["together"] < calls["apart"]
    both = [readers.rows(tmp_path / "audit-runs" / name / "observations.csv") for name in calls]
    seen = [[[row[name] for name in COMPARED] for row in rows] for rows in both]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 3 * PROBES


@every_service
@pytest.mark.usefixtures("no_waiting")
def test_a_gallery_that_somebody_else_changed_is_not_probed(
    service: Service, audit_here: Audit, people: Path, endpoint: str
) -> None:
    asked = [*experiment(service, people, endpoint), "--level", "min", "--yes", "--out", "one"]
    enrolled = 1 + sum(PEOPLE[1:])
    begun = audit_here("run", *asked, "--max-calls", str(enrolled))
    assert begun.returncode == 3
    clear(endpoint)

    stopped = audit_here("resume", "one", "--max-calls", "1000", "--quiet")

    assert stopped.returncode == 3
    assert "gallery" in stopped.stderr
    assert not [row for row in told(endpoint, "log") if row["operation"] in ASKING]


@pytest.mark.parametrize("service", [AZURE], ids=str)
@pytest.mark.parametrize(("fits", "outcomes"), [(True, {"enrolled"}), (False, {"refused"})])
def test_a_photo_beyond_the_limits_is_changed_or_refused_as_the_user_says(
    *,
    fits: bool,
    outcomes: set[str],
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    service: Service,
    endpoint: str,
) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(people, photos)
    [large, *_] = sorted((photos / "person-001").iterdir())
    with Image.open(large) as image:
        image.resize((4400, 4400)).save(large, compress_level=1)

    done = audit_here(
        *arguments(service, photos, endpoint),
        "--fit-photos" if fits else "--no-fit-photos",
    )

    assert done.returncode == 0, done.stderr
    run = tmp_path / "audit-runs" / "one"
    name = hashlib.sha256(large.read_bytes()).hexdigest()
    rows = {row["photo_sha256"]: row for row in readers.rows(run / "enrolment.csv")}
    assert {rows[name]["outcome"]} == outcomes
    assert bool(rows[name]["reason"]) != fits
    changed = readers.rows(run / "changed_uploads.csv")
    assert [row["photo"] for row in changed] == ([name] if fits else [])
    assert all(row["change"].startswith("resized from 4400x4400 to ") for row in changed)
    assert all(row["uploaded_sha256"] != name for row in changed)


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
    observations = readers.rows(tmp_path / "audit-runs" / "here" / "observations.csv")
    assert [row["outcome"] for row in observations] == ["match"] * PROBES
    purged = audit_here("purge", "here")
    assert "deleted" in purged.stdout
