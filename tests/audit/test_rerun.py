"""A run done again: the same photos, split and cloaked bytes, a service that may have changed."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from datasets import generated
from tests.command_line import called, figures_left_out
from tests.readers import jsonl, rows

pytestmark = pytest.mark.usefixtures("without_figures")

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [9, 3, 3, 3, 3]
SAME = ("probe_sha256", "arm", "true_person", "outcome", "true_score", "rank", "top_score")


def answers(run: Path) -> list[list[str]]:
    return sorted([row[name] for name in SAME] for row in rows(run / "observations.csv"))


def manifest(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one run, of which every test gets a copy of its own with its photos."""
    folder = tmp_path_factory.mktemp("made")
    generated.write_people(folder / "people", len(PEOPLE), PEOPLE.__getitem__)
    (folder / "people" / "person-001" / "broken.jpg").write_bytes(b"no picture")
    options = (
        *("--provider", "azure", "--emulate", "--photos", str(folder / "people")),
        *("--person", "person-000", "--train", "6", "--decoys", "3"),
        *("--level", "min", "--level", "low", "--runs", str(folder), "--out", "old"),
    )
    with figures_left_out():
        called("run", *options)
    return folder


@pytest.fixture
def people(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "people", tmp_path / "people"))


@pytest.fixture
def old(made: Path, tmp_path: Path, people: Path) -> Path:
    run = Path(shutil.copytree(made / "old", tmp_path / "audit-runs" / "old"))
    experiment = run / "experiment.toml"
    experiment.write_text(experiment.read_text().replace(str(made / "people"), str(people)))
    return run


def test_a_rerun_repeats_the_run_without_cloaking_anything(
    audit_here: Audit, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_CACHE", str(tmp_path / "an empty cache"))

    done = audit_here("rerun", "old", "--out", "new")

    assert done.returncode == 0, done.stderr
    assert "steps of cloaking" not in done.stderr
    assert done.stdout.splitlines()[-1] == "audit-runs/new"
    new = old.with_name("new")
    assert answers(new) == answers(old)
    kept = ("photos.jsonl", "experiment.toml", "cloaked/cloaks.jsonl", "embedding_map.csv")
    for name in kept:
        assert (new / name).read_bytes() == (old / name).read_bytes()
    then, now = manifest(old), manifest(new)
    assert (then.get("rerun_of"), now["rerun_of"]) == (None, "old")
    for key in ("photo_set_sha256", "split_seed", "cloaks", "cloak_networks", "weights", "counts"):
        assert now[key] == then[key]
    assert now["counts"]["rejected"] == 1
    assert now["started_utc"] > then["started_utc"]


def test_the_service_can_have_another_network_behind_it(audit_here: Audit, old: Path) -> None:
    done = audit_here("rerun", "old", "--out", "new", "--recogniser", "bundled-mixer", "--quiet")

    assert done.returncode == 0, done.stderr
    new = old.with_name("new")
    assert manifest(new)["service"]["recogniser"] == "bundled-mixer"
    assert [row[:3] for row in answers(new)] == [row[:3] for row in answers(old)]
    assert answers(new) != answers(old)


def test_a_rerun_needs_neither_the_cloaking_networks_nor_a_cache(
    audit_here: Audit, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[str, ...]] = []

    def weights(names: Sequence[str]) -> dict[str, str]:
        loaded.append(tuple(names))
        return dict.fromkeys(names, "")

    monkeypatch.setattr("audit.records.weights", weights)

    assert audit_here("rerun", "old", "--out", "new").returncode == 0

    assert set(loaded) == {("bundled-conv",)}
    assert set(manifest(old.with_name("new"))["weights"]) == {"bundled-conv", "bundled-mixer"}


def test_an_old_manifest_and_experiment_are_enough(audit_here: Audit, old: Path) -> None:
    notes = manifest(old)
    for key in ("cloaks", "cloak_networks", "counts", "consent"):
        del notes[key]
    (old / "manifest.json").write_text(json.dumps(notes))
    text = (old / "experiment.toml").read_text()
    kept = [
        line for line in text.splitlines() if not line.startswith(("fit_photos", "set", "matching"))
    ]
    (old / "experiment.toml").write_text(
        "\n".join(kept).replace('["bundled-mixer"]', '"bundled-mixer"')
    )
    for name in ("enrolment.csv", "changed_uploads.csv"):
        (old / name).unlink()

    done = audit_here("rerun", "old", "--out", "new")

    assert done.returncode == 0, done.stderr
    assert answers(old.with_name("new")) == answers(old)


@pytest.mark.usefixtures("old")
def test_moved_photos_are_found_where_they_are_said_to_be(audit_here: Audit, people: Path) -> None:
    people.rename(people.with_name("moved"))

    lost = audit_here("rerun", "old", "--out", "new")
    found = audit_here("rerun", "old", "--out", "new", "--photos", "moved")

    assert lost.returncode == 2
    assert "No such file" in lost.stderr
    assert found.returncode == 0, found.stderr


def of_role(run: Path, people: Path, role: str) -> Path:
    paths = (str(row["path"]) for row in jsonl(run / "photos.jsonl") if row["role"] == role)
    return people / next(paths)


@pytest.mark.parametrize("role", ["train", "probe", "decoy"])
def test_a_changed_or_missing_photo_stops_it_by_name(
    audit_here: Audit, old: Path, people: Path, role: str
) -> None:
    photo = of_role(old, people, role)
    photo.write_bytes(photo.read_bytes() + b"one byte more")
    changed = audit_here("rerun", "old", "--out", "new")
    photo.unlink()
    missing = audit_here("rerun", "old", "--out", "new")

    assert (changed.returncode, missing.returncode) == (2, 2)
    assert f"{photo.name} has changed" in changed.stderr
    assert f"{photo.name} can't be read" in missing.stderr
    assert not old.with_name("new").exists()


def test_a_changed_or_missing_cloaked_file_stops_it_by_name(audit_here: Audit, old: Path) -> None:
    file = next((old / "cloaked").rglob("*.png"))
    file.write_bytes(file.read_bytes() + b"one byte more")
    changed = audit_here("rerun", "old", "--out", "new")
    file.unlink()
    missing = audit_here("rerun", "old", "--out", "new")

    assert (changed.returncode, missing.returncode) == (2, 2)
    assert f"{file.name} has changed" in changed.stderr
    assert f"{file.name} can't be read" in missing.stderr
    assert not old.with_name("new").exists()


def test_a_run_that_was_never_cloaked_to_the_end_is_refused_with_the_remedy(
    audit_here: Audit, old: Path
) -> None:
    shutil.rmtree(old / "cloaked")

    done = audit_here("rerun", "old")

    assert done.returncode == 2
    assert "old has no cloaked file of" in done.stderr
    assert "`audit resume old`" in done.stderr


def test_a_rerun_stopped_by_its_budget_goes_on(audit_here: Audit, old: Path) -> None:
    stopped = audit_here("rerun", "old", "--out", "new", "--max-calls", "5")
    done = audit_here("resume", "new", "--max-calls", "1000")

    assert (stopped.returncode, done.returncode) == (3, 0), done.stderr
    assert answers(old.with_name("new")) == answers(old)
    assert manifest(old.with_name("new"))["rerun_of"] == "old"


def test_a_rerun_never_makes_new_cloaks_in_place_of_lost_ones(audit_here: Audit, old: Path) -> None:
    assert audit_here("rerun", "old", "--out", "new", "--max-calls", "5").returncode == 3
    file = next((old.with_name("new") / "cloaked").rglob("*.png"))
    file.unlink()

    done = audit_here("resume", "new", "--max-calls", "1000")

    assert done.returncode == 2
    assert file.name in done.stderr


def test_the_dry_run_tells_the_calls_and_no_cloaking(audit_here: Audit, old: Path) -> None:
    done = audit_here("rerun", "old", "--dry-run", "--json")

    shown = {row["what"]: row["calls"] for row in json.loads(done.stdout)}
    spent = manifest(old)["calls"]["by_operation"]
    assert {name: shown[name] for name in spent} == spent
    assert "cloaking: 0 steps, 0 MB of files" in shown
    assert [path.name for path in old.parent.iterdir()] == ["old"]


def test_a_real_service_s_network_is_nobody_s_to_choose(audit_here: Audit, old: Path) -> None:
    experiment = old / "experiment.toml"
    experiment.write_text(experiment.read_text().replace("emulate = true", "emulate = false"))

    done = audit_here("rerun", "old", "--recogniser", "bundled-mixer")

    assert done.returncode == 2
    assert "Azure Face, whose network nobody here can choose" in done.stderr


def test_photos_leave_the_machine_again_only_with_a_yes(audit_here: Audit, old: Path) -> None:
    experiment = old / "experiment.toml"
    experiment.write_text(experiment.read_text().replace("emulate = true", "emulate = false"))
    keys = {"AZURE_FACE_KEY": "0" * 32, "AZURE_FACE_ENDPOINT": "http://127.0.0.1:9"}

    done = audit_here("rerun", "old", "--out", "new", **keys)

    assert done.returncode == 2
    assert "photos are not uploaded without a yes" in done.stderr
    assert not old.with_name("new").exists()
