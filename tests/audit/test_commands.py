"""The commands around a run, each as a user calls it."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from PIL import Image

from audit import doctor as checks
from cloaker.networks import bundled
from cloaker.recogniser import LocalRecogniser
from providers.emulators.calibration import calibration
from providers.emulators.options import Options
from providers.emulators.server import running

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [6, 3, 3]
pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.fixture
def run(audit_here: Audit, tmp_path: Path, people: Path) -> Path:
    """Return the folder of a finished run without cloaks."""
    done = audit_here(
        *("run", "--provider", "azure", "--emulate", "--photos", people, "--person", "person-000"),
        *("--level", "none", "--out", "finished"),
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "audit-runs" / "finished"


def size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def test_cloak_writes_each_photo_under_its_own_name(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    few = ("--level", "min", "--set", "steps=2")
    done = audit_here("cloak", people, *few, "--out", "out", "--json")

    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["not cloaked"] for row in rows} == {""}
    for row in rows:
        cloaked = tmp_path / "out" / row["person"] / row["file"]
        source = people / row["person"] / row["file"]
        assert size(cloaked) == size(source)
        assert cloaked.read_bytes() != source.read_bytes()
    records = (tmp_path / "out" / "cloaks.jsonl").read_text().splitlines()
    assert {json.loads(line)["file"] for line in records} == {
        f"{row['person']}/{row['file']}" for row in rows
    }


def test_one_person_s_folder_is_cloaked_and_what_shows_no_face_gets_no_file(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    photos = tmp_path / "me"
    photos.mkdir()
    for name in ("0001.png", "0002.png"):
        (photos / name).write_bytes((people / "person-000" / name).read_bytes())
    blank = Image.new("RGB", (200, 200), "grey")
    blank.save(photos / "wall.png")

    done = audit_here("cloak", photos, "--level", "min", "--out", "out", "--json")

    rows = {row["file"]: row["not cloaked"] for row in json.loads(done.stdout)}
    assert rows == {"0001.png": "", "0002.png": "", "wall.png": "no face was found"}
    assert sorted(path.name for path in (tmp_path / "out" / "me").iterdir()) == [
        "0001.png",
        "0002.png",
    ]


def test_photos_check_tells_people_and_rejected_files(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    folder = tmp_path / "photos"
    for person in ("ann", "bob"):
        (folder / person).mkdir(parents=True)
        photo = (people / "person-000" / "0001.png").read_bytes()
        (folder / person / "same.png").write_bytes(photo)
    (folder / "ann" / "own.png").write_bytes((people / "person-001" / "0001.png").read_bytes())
    (folder / "ann" / "empty.jpg").touch()

    rows = json.loads(audit_here("photos", "check", folder, "--json").stdout)

    assert [(row["person"], row["photos"]) for row in rows if row["photos"]] == [("ann", 1)]
    reasons = {(row["person"], row["file"]): row["rejected"].split(":")[0] for row in rows[1:]}
    assert reasons == {
        ("ann", "empty.jpg"): "zero_byte",
        ("ann", "same.png"): "duplicate_across_people",
        ("bob", "same.png"): "duplicate_across_people",
    }


def test_export_writes_observations_and_calls(audit_here: Audit, run: Path) -> None:
    done = audit_here("export", "finished", "--format", "csv")

    assert done.returncode == 0, done.stderr
    with (run / "export" / "calls.csv").open(encoding="utf-8", newline="") as file:
        calls = list(csv.DictReader(file))
    assert {call["state"] for call in calls} == {"done"}
    manifest = json.loads((run / "manifest.json").read_text())
    assert len(calls) == manifest["calls"]["planned"]
    assert (run / "export" / "observations.csv").exists()


def test_a_full_disk_is_told_once_and_the_report_can_be_built_later(
    audit_here: Audit, run: Path
) -> None:
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from audit.cli import main\n"
        "import reports.html, reports.figures\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        f"sys.argv = ['audit', 'report', {str(run)!r}]\n"
        "main()\n"
    )
    before = (run / "report" / "index.html").read_bytes()

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "audit report" in done.stderr
    assert (run / "report" / "index.html").read_bytes() == before
    assert audit_here("report", "finished").returncode == 0


Question = tuple[str, str, dict[str, str]]

AZURE = ("GET", "/face/v1.2/largepersongroups", {"Ocp-Apim-Subscription-Key": "any"})
REKOGNITION = (
    "POST",
    "/",
    {
        "X-Amz-Target": "RekognitionService.ListCollections",
        "X-Amz-Date": "20270131T000000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=any/20270131/us-east-1/rekognition/"
        f"aws4_request, SignedHeaders=host, Signature={'0' * 64}",
    },
)
FACEPP: Question = ("POST", "/facepp/v3/faceset/getfacesets?api_key=any&api_secret=any", {})


@pytest.mark.parametrize(
    ("provider", "question", "throttled"),
    [("azure", AZURE, 429), ("rekognition", REKOGNITION, 400), ("facepp", FACEPP, 403)],
)
def test_emulate_tells_its_address_first_and_answers_as_the_service_does(
    provider: str, question: Question, throttled: int
) -> None:
    command = [sys.executable, "-m", "audit", "emulate", "--provider", provider, "--rate", "2/60"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    )
    with server:
        assert server.stdout is not None
        address = server.stdout.readline()
        assert address.startswith("listening on http://127.0.0.1:")
        url = address.removeprefix("listening on ").strip()
        method, path, headers = question
        answers = [
            requests.request(method, f"{url}{path}", headers=headers, timeout=10) for _ in range(3)
        ]
        assert [answer.status_code for answer in answers] == [200, 200, throttled]
        assert len(requests.get(f"{url}/__emulator__/log", timeout=10).json()) == 3
        server.send_signal(signal.SIGTERM)


def test_doctor_tells_what_is_missing(audit_here: Audit) -> None:
    done = audit_here("doctor", "--provider", "azure", "--json")

    assert done.returncode == 2
    assert "2 of 4 checks failed: weights of real networks, azure: keys." in done.stderr
    rows = {row["check"]: row for row in json.loads(done.stdout)}
    assert rows["azure: keys"]["ok"] == "no"
    assert "AZURE_FACE_KEY" in rows["azure: keys"]["seen"]
    assert rows["weights of real networks"]["ok"] == "no"
    assert "audit weights" in rows["weights of real networks"]["to do"]


@pytest.mark.parametrize("gated", [True, False])
def test_doctor_asks_whether_identification_is_approved(
    audit_here: Audit,
    *,
    gated: bool,
) -> None:
    recogniser = LocalRecogniser(bundled.load("bundled-conv"))
    options = Options(gated=gated)
    with running("azure", recogniser, calibration("bundled-conv"), options=options) as endpoint:
        told = audit_here(
            *("doctor", "--provider", "azure", "--json"),
            AZURE_FACE_ENDPOINT=endpoint,
            AZURE_FACE_KEY="planted",
        )

    rows = {row["check"]: row for row in json.loads(told.stdout)}
    assert told.returncode == (4 if gated else 2)  # the weights of real networks are missing too
    assert rows["azure: keys"]["ok"] == "ok"
    assert rows["quota of tier F0"]["seen"].startswith("30000 of 30000 calls are left")
    assert rows["azure: approval"]["ok"] == ("no" if gated else "ok")
    assert ("https://aka.ms/facerecognition" in rows["azure: approval"]["seen"]) == gated
    assert "planted" not in told.stdout + told.stderr


def test_doctor_ends_well_where_nothing_is_missing(
    audit_here: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [replace(check, good=True) for check in checks.check(None)]
    monkeypatch.setattr(checks, "check", lambda _: found)

    done = audit_here("doctor", "--json")

    assert done.returncode == 0, done.stderr
    assert {row["ok"] for row in json.loads(done.stdout)} == {"ok"}


def test_weights_list_names_every_network(audit_here: Audit) -> None:
    rows = json.loads(audit_here("weights", "list", "--json").stdout)

    assert {"facenet-vggface2", "facenet-casia-webface", "edgeface_xs"} <= {
        row["name"] for row in rows
    }
    assert {row["installed"] for row in rows} == {"no"}


def test_status_without_a_run_says_how_to_make_one(audit_here: Audit) -> None:
    done = audit_here("status")

    assert done.returncode == 2
    assert "audit run --provider mock" in done.stderr


def test_status_of_a_finished_run(audit_here: Audit, run: Path) -> None:
    (row,) = json.loads(audit_here("status", "--json").stdout)

    assert (row["run"], row["state"]) == (run.name, "done")
    assert row["calls_done"] == row["calls_planned"] > 0
