"""Who enrols what and asks about what: both games at every service, leaks, sybils, transforms."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from audit.errors import UserError
from audit.experiment import read_toml, resolve, to_toml
from audit.uploads import Uploads
from datasets import transforms
from tests.command_line import figures_left_out
from tests.readers import jsonl, rows

Audit = Callable[..., subprocess.CompletedProcess[str]]
Sent = dict[tuple[str, str], str]
PEOPLE = [7, 2, 2, 2]
SERVICES = [
    ("--provider", "azure", "--emulate"),
    ("--provider", "rekognition", "--emulate"),
    ("--provider", "rekognition", "--gallery", "users", "--emulate"),
    ("--provider", "facepp", "--emulate"),
    ("--provider", "local"),
]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Record the hash of the bytes that stand for each photo in each arm, as they are sent."""
    seen: Sent = {}
    original = Uploads.__call__

    def call(uploads: Uploads, arm: str, sha256: str) -> bytes:
        data = original(uploads, arm, sha256)
        seen[arm, sha256] = hashlib.sha256(data).hexdigest()
        return data

    monkeypatch.setattr(Uploads, "__call__", call)
    return seen


def run(audit: Audit, folder: Path, people: Path, *options: str) -> Path:
    """Run an experiment; once for all services, its figures are drawn."""
    with nullcontext() if "local" in options else figures_left_out():
        done = audit(
            *("run", "--photos", str(people), "--person", "person-000", "--train", "5"),
            *("--system", "fawkes-1.0", "--level", "min", "--set", "steps=3", "--quiet"),
            *("--out", "run", *options),
        )
    assert done.returncode == 0, done.stderr
    return folder / "audit-runs" / "run"


def roles(run: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in jsonl(run / "photos.jsonl"):
        found.setdefault(row["role"], set()).add(row["sha256"])
    return found


def cloaked(run: Path) -> dict[str, str]:
    cloaks = jsonl(run / "cloaked" / "cloaks.jsonl")
    return {row["source_sha256"]: row["cloaked_sha256"] for row in cloaks}


def summary(run: Path) -> dict[str, dict[str, str]]:
    return {row["arm"]: row for row in rows(run / "report" / "tables" / "summary.csv")}


@pytest.mark.parametrize("service", SERVICES)
def test_evade_asks_every_service_about_cloaked_photos_and_enrols_clean_ones(
    audit_here: Audit, tmp_path: Path, people: Path, sent: Sent, service: tuple[str, ...]
) -> None:
    folder = run(audit_here, tmp_path, people, *service, "--game", "evade")

    role, files = roles(folder), cloaked(folder)
    assert files.keys() == role["probe"]
    enrolled = {photo for (_, photo) in sent if photo not in role["probe"]}
    assert enrolled == role["train"] | role["decoy"]
    for (arm, photo), data in sent.items():
        is_cloaked = arm == "fawkes-1.0-min" and photo in role["probe"]
        assert data == (files[photo] if is_cloaked else photo)
    for arm in ("control", "fawkes-1.0-min"):
        assert {(arm, photo) for photo in role["probe"]} <= sent.keys()
    assert {row["probes"] for row in summary(folder).values()} == {"2"}


@pytest.mark.parametrize("service", [SERVICES[0], SERVICES[-1]])
def test_poison_enrols_cloaked_photos_but_leaked_ones_and_asks_about_clean_ones(
    audit_here: Audit, tmp_path: Path, people: Path, sent: Sent, service: tuple[str, ...]
) -> None:
    folder = run(audit_here, tmp_path, people, *service, "--leaked", "2")

    role, files = roles(folder), cloaked(folder)
    assert len(files) == 3
    assert files.keys() < role["train"]
    for (arm, photo), data in sent.items():
        assert data == (files.get(photo, photo) if arm == "fawkes-1.0-min-2leaked" else photo)
    assert {("fawkes-1.0-min-2leaked", photo) for photo in role["train"]} <= sent.keys()
    assert float(summary(folder)["fawkes-1.0-min-2leaked"]["cloaked_fraction"]) == 0.6


@pytest.mark.parametrize("service", [SERVICES[0], SERVICES[-1]])
def test_a_tracker_changes_every_photo_alike_and_has_a_control_of_its_own(
    audit_here: Audit, tmp_path: Path, people: Path, sent: Sent, service: tuple[str, ...]
) -> None:
    chains = ("--transform", "none", "--transform", "blur:1+jpeg:40")
    folder = run(audit_here, tmp_path, people, *service, *chains)

    changed = ("control-blur:1+jpeg:40", "fawkes-1.0-min-blur:1+jpeg:40")
    assert list(summary(folder)) == ["control", changed[0], "fawkes-1.0-min", changed[1]]
    role, files = roles(folder), cloaked(folder)
    assert len(jsonl(folder / "cloaked" / "cloaks.jsonl")) == 5  # once for both arms
    path = {row["sha256"]: people / row["path"] for row in jsonl(folder / "photos.jsonl")}
    for arm in changed:
        for photo in role["train"] | role["decoy"] | role["probe"]:
            is_cloaked = arm == changed[1] and photo in files
            file = folder / "cloaked" / f"{photo}.png" if is_cloaked else path[photo]
            expected = transforms.apply(file.read_bytes(), ["blur:1", "jpeg:40"])
            assert sent[arm, photo] == hashlib.sha256(expected).hexdigest()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["arms"][1]["transforms"] == ["blur:1", "jpeg:40"]
    assert resolve(None, read_toml(folder / "experiment.toml")).transform == (
        "none",
        "blur:1+jpeg:40",
    )
    page = (folder / "report" / "index.html").read_text()
    assert "With nothing cloaked (control, photos through blur:1, jpeg:40)" in page


@pytest.mark.parametrize("service", [SERVICES[1], SERVICES[-1]])
def test_a_tracker_that_augments_enrols_copies_of_everybody_and_asks_about_photos_as_they_are(
    audit_here: Audit, tmp_path: Path, people: Path, sent: Sent, service: tuple[str, ...]
) -> None:
    folder = run(audit_here, tmp_path, people, *service, "--transform", "augment:0.9")

    role, files = roles(folder), cloaked(folder)
    path = {row["sha256"]: people / row["path"] for row in jsonl(folder / "photos.jsonl")}
    arm = "fawkes-1.0-min-augment:0.9"
    ways = [[], ["flip"], ["crop:0.9"], ["crop:0.9", "flip"]]
    for photo in role["train"] | role["decoy"]:
        file = folder / "cloaked" / f"{photo}.png" if photo in files else path[photo]
        for number, way in enumerate(ways):
            expected = hashlib.sha256(transforms.apply(file.read_bytes(), way)).hexdigest()
            assert sent[arm, f"{photo}:{number}" if number else photo] == expected
    assert {sent[arm, photo] for photo in role["probe"]} == role["probe"]
    assert {name: int(row["enrolled"]) for name, row in summary(folder).items()} == {
        "control": 11,
        "control-augment:0.9": 44,
        arm: 44,
    }
    assert {row["probes"] for row in summary(folder).values()} == {"2"}


def test_sybils_are_decoys_cloaked_towards_the_person_beside_her_own_cloaks(
    audit_here: Audit, tmp_path: Path, people: Path, sent: Sent
) -> None:
    folder = run(audit_here, tmp_path, people, "--provider", "local", "--sybils", "1")

    arm = "fawkes-1.0-min-1sybil"
    cloaks = jsonl(folder / "cloaked" / "cloaks.jsonl")
    sybils = [row for row in cloaks if row["system"] == "sybil"]
    assert {(row["person"], row["target"], row["level"]) for row in sybils} == {
        ("person-001", "person-000", "high")
    }
    files, role = cloaked(folder), roles(folder)
    changed = role["train"] | {row["source_sha256"] for row in sybils}
    assert files.keys() == changed
    for photo in role["train"] | role["decoy"]:
        assert sent["control", photo] == photo
        assert sent[arm, photo] == files.get(photo, photo)
    before = (folder / "observations.csv").read_bytes()
    with figures_left_out():
        assert audit_here("resume", "run", "--quiet").returncode == 0
    assert (folder / "observations.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--leaked", "2", "--train", "0.5"), "train = 0.5"),
        (("--leaked", "9"), "leaked = 9"),
        (("--leaked", "2", "--cloaked-fraction", "0.5"), "say the same"),
        (("--leaked", "2", "--game", "evade"), "game evade"),
        (("--sybils", "1", "--game", "evade"), "game evade"),
        (("--sybils", "9"), "9 sybils"),
        (("--system", "sybil"), "--sybils 1"),
        (("--transform", "sharpen:2"), "median:SIZE"),
        (("--transform", "jpeg:300"), "jpeg:QUALITY, 5 to 95"),
    ],
)
def test_what_can_t_be_played_is_told_before_anything_is_sent(
    audit_here: Audit, people: Path, options: tuple[str, ...], told: str
) -> None:
    everything = ("--provider", "local", "--photos", str(people), "--person", "person-000")
    done = audit_here("plan", *everything, "--level", "min", "--train", "5", *options)

    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_arms_told_one_by_one_have_their_own_leaks_sybils_and_transforms(tmp_path: Path) -> None:
    arms = [
        {"system": "fawkes-paper", "level": "high", "leaked": 3},
        {"system": "fawkes-paper", "level": "high", "leaked": 3, "sybils": 2},
        {"system": "fawkes-paper", "level": "high", "transforms": ["blur:1.0", "jpeg:30"]},
    ]
    experiment = resolve(None, {"provider": "local", "train": 12, "arm": arms})
    assert [(arm.name, arm.cloaked_fraction, arm.transforms) for arm in experiment.arms()] == [
        ("control", 0.0, ()),
        ("control-blur:1+jpeg:30", 0.0, ("blur:1", "jpeg:30")),
        ("fawkes-paper-high-3leaked", 0.75, ()),
        ("fawkes-paper-high-3leaked-2sybils", 0.75, ()),
        ("fawkes-paper-high-blur:1+jpeg:30", 1.0, ("blur:1", "jpeg:30")),
    ]
    assert [arm.cloak_name for arm in experiment.arms()[2:]] == [
        "fawkes-paper-high-3leaked",
        "fawkes-paper-high-3leaked",
        "fawkes-paper-high",
    ]
    file = tmp_path / "experiment.toml"
    file.write_text(to_toml(experiment), encoding="utf-8")
    assert resolve(None, read_toml(file)) == experiment
    with pytest.raises(UserError, match="leaked = 3"):
        experiment.model_copy(update={"train": 0.5}).arms()
