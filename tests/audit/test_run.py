"""The main job from photos to report, against the emulator, through the command line."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.types import Observation
from tests.readers import jsonl, rows

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [9, 3, 3, 3, 3]
SUMMARY = (
    "arm,system,level,targets,cloaked_fraction,probes,identified,protection_success_rate,"
    "ci_low,ci_high,mean_score,median_score,min_score,max_score,censored,no_face,refused,"
    "errors,enrolled,enrol_rejected"
)


def arguments(people: Path, *more: str) -> list[str]:
    return [
        *("--provider", "azure", "--emulate", "--photos", str(people), "--person", "person-000"),
        *("--train", "6", "--decoys", "3", *more),
    ]


def test_a_run_goes_from_photos_to_report(audit_here: Audit, tmp_path: Path, people: Path) -> None:
    two_levels = ("--level", "min", "--level", "low", "--out", "first")
    done = audit_here("run", *arguments(people, *two_levels))

    assert done.returncode == 0, done.stderr
    run = tmp_path / "audit-runs" / "first"
    assert done.stdout.splitlines()[-1] == str(run.relative_to(tmp_path))
    assert (run / "report" / "index.html").read_text().startswith("<!DOCTYPE html>")
    assert (run / "report" / "figures" / "scores.svg").exists()

    observations = rows(run / "observations.csv")
    assert list(observations[0]) == list(Observation.__dataclass_fields__)
    probes = [row["sha256"] for row in jsonl(run / "photos.jsonl") if row["role"] == "probe"]
    assert len(probes) == 3
    assert sorted(row["probe_sha256"] for row in observations) == sorted(probes * 3)
    control = [row for row in observations if row["arm"] == "control"]
    assert {row["outcome"] for row in control} == {"match"}
    assert all(0.5 < float(row["true_score"]) <= 1 for row in control)

    summary = rows(run / "report" / "tables" / "summary.csv")
    assert ",".join(summary[0]) == SUMMARY
    assert [row["arm"] for row in summary] == ["control", "fawkes-0.3-min", "fawkes-0.3-low"]
    assert {row["enrolled"] for row in summary} == {"15"}

    cloaks = jsonl(run / "cloaked" / "cloaks.jsonl")
    assert len(cloaks) == 12
    assert all((run / "cloaked" / row["file"]).exists() for row in cloaks)
    assert {row["target"] for row in cloaks} == {
        row["person"] for row in jsonl(run / "photos.jsonl") if row["role"] == "target"
    }

    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["exit_state"] == "done"
    assert manifest["calls"]["planned"] == manifest["calls"]["sent"]
    assert set(manifest["weights"]) == {"bundled-conv", "bundled-mixer"}


@pytest.mark.usefixtures("without_figures")
def test_only_the_person_s_training_photos_are_cloaked(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    half = ("--level", "min", "--cloaked-fraction", "0.5", "--out", "half")
    assert audit_here("run", *arguments(people, *half)).returncode == 0

    run = tmp_path / "audit-runs" / "half"
    train = {row["sha256"] for row in jsonl(run / "photos.jsonl") if row["role"] == "train"}
    cloaked = {row["source_sha256"] for row in jsonl(run / "cloaked" / "cloaks.jsonl")}
    assert len(cloaked) == 3
    assert cloaked < train
    assert {path.stem for path in (run / "cloaked").glob("*.png")} == cloaked


@pytest.mark.usefixtures("without_figures")
def test_evade_cloaks_the_probes_and_enrols_clean_photos(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    evade = ("--level", "min", "--game", "evade", "--out", "evade")
    assert audit_here("run", *arguments(people, *evade)).returncode == 0

    run = tmp_path / "audit-runs" / "evade"
    probes = {row["sha256"] for row in jsonl(run / "photos.jsonl") if row["role"] == "probe"}
    cloaked = {row["source_sha256"] for row in jsonl(run / "cloaked" / "cloaks.jsonl")}
    assert cloaked == probes
    scores = {
        (row["arm"], row["probe_sha256"]): row["true_score"]
        for row in rows(run / "observations.csv")
    }
    assert all(scores["control", probe] != scores["fawkes-0.3-min", probe] for probe in probes)


@pytest.mark.usefixtures("without_figures")
def test_the_plan_tells_the_calls_that_the_run_then_makes(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    options = arguments(people, "--level", "min", "--tier", "F0")
    planned = audit_here("plan", *options, "--json")
    dry = audit_here("run", *options, "--dry-run", "--json")
    shown, again = (json.loads(done.stdout) for done in (planned, dry))
    assert [row | {"duration": ""} for row in shown] == [row | {"duration": ""} for row in again]
    assert not (tmp_path / "audit-runs").exists()

    *operations, cloaking, apart, total = shown
    assert (apart["what"], apart["calls"]) == ("the same with --gallery fresh", 59)
    assert cloaking["what"].startswith("cloaking: 120 steps, ")  # 6 photos, 20 steps
    assert audit_here("run", *arguments(people, "--level", "min", "--out", "real")).returncode == 0
    calls = json.loads((tmp_path / "audit-runs" / "real" / "manifest.json").read_text())["calls"]
    assert {row["what"]: row["calls"] for row in operations} == calls["by_operation"]
    assert total["calls"] == calls["sent"]
    assert total["price_usd"] == "0.00"
    assert total["calls"] == 45
    assert total["duration"] == "2 min 17 s"  # at 20 a minute, 1.6 % slower


def test_a_report_is_rebuilt_byte_for_byte_after_the_photos_are_gone(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    assert audit_here("run", *arguments(people, "--level", "min", "--out", "kept")).returncode == 0
    report = tmp_path / "audit-runs" / "kept" / "report"
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    moved = people.with_name("moved-away")
    people.rename(moved)
    for path in before:
        path.unlink()

    done = audit_here("report", "kept")
    moved.rename(people)

    assert done.returncode == 0, done.stderr
    assert before == {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}


def test_the_bundled_people_are_enough_for_a_run_without_any_photo(
    audit_here: Audit, tmp_path: Path
) -> None:
    done = audit_here(
        *("run", "--provider", "mock", "--level", "min", "--decoys", "5", "--probes", "3"),
        *("--out", "mock", "--purge-after", "--quiet"),
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "audit-runs/mock\n"
    run = tmp_path / "audit-runs" / "mock"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["photo_set_generated"] is True
    assert manifest["counts"]["decoy_people"] == 5
    assert [row["run"] for row in json.loads(audit_here("list", "--json").stdout)] == ["mock"]
    assert "gone already" not in audit_here("purge", "mock").stdout


@pytest.mark.usefixtures("without_figures")
def test_a_resumed_run_uses_the_cloaks_that_it_made(
    audit_here: Audit, tmp_path: Path, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = ("--level", "min", "--max-calls", "3", "--out", "half-way")
    assert audit_here("run", *arguments(people, *budget)).returncode == 3
    run = tmp_path / "audit-runs" / "half-way"
    before = (run / "cloaked" / "cloaks.jsonl").read_bytes()
    monkeypatch.setenv("AUDIT_CACHE", str(tmp_path / "an empty cache"))

    done = audit_here("resume", "half-way", "--max-calls", "1000")

    assert done.returncode == 0, done.stderr
    assert "steps of cloaking" not in done.stderr
    assert (run / "cloaked" / "cloaks.jsonl").read_bytes() == before


def test_a_photo_that_changes_under_a_run_stops_it_by_name(
    audit_here: Audit, people: Path, tmp_path: Path
) -> None:
    budget = ("--level", "none", "--max-calls", "3", "--out", "changed")
    assert audit_here("run", *arguments(people, *budget)).returncode == 3
    decoy = next(
        people / row["path"]
        for row in jsonl(tmp_path / "audit-runs" / "changed" / "photos.jsonl")
        if row["role"] == "decoy"
    )
    original = decoy.read_bytes()
    decoy.write_bytes(original + b"one byte more")

    done = audit_here("resume", "changed", "--max-calls", "1000")
    decoy.write_bytes(original)

    assert done.returncode == 2
    assert decoy.name in done.stderr
    assert "has changed" in done.stderr
