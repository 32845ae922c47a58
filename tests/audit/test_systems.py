"""Cloaking systems as arms of a run: settings, and whose photos they change."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.readers import jsonl

pytestmark = pytest.mark.usefixtures("without_figures")

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [6, 2, 2, 2]
DECOYS = {"person-001", "person-002", "person-003"}


def arguments(people: Path, *more: str) -> list[str]:
    return [
        *("--provider", "azure", "--emulate", "--photos", str(people), "--person", "person-000"),
        *("--train", "4", "--level", "min", "--quiet", *more),
    ]


def cloaked(run: Path) -> list[dict[str, Any]]:
    return jsonl(run / "cloaked" / "cloaks.jsonl")


def test_others_photos_are_changed_for_the_person_in_a_gallery_of_their_own(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    done = audit_here(
        "run", *arguments(people, "--system", "foggysight", "--set", "steps=3", "--out", "fog")
    )

    assert done.returncode == 0, done.stderr
    run = tmp_path / "audit-runs" / "fog"
    rows = cloaked(run)
    assert {row["person"] for row in rows} == DECOYS
    assert {row["target"] for row in rows} == {"person-000"}
    assert {row["steps"] for row in rows} == {3}
    calls = json.loads((run / "manifest.json").read_text())["calls"]["by_operation"]
    assert calls["CreateLargePersonGroup"] == 2
    assert calls["AddLargePersonGroupPersonFace"] == 2 * (4 + 6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--system", "sybil"), "audit cloak"),
        (("--system", "foggysight", "--game", "evade"), "--game poison"),
        (("--set", "colour=red"), "colour"),
        (("--set", "steps=many"), "steps"),
        (("--system", "fawkes-9"), "fawkes-0.3"),
    ],
)
def test_what_can_t_be_an_arm_is_told_before_anything_is_read(
    audit_here: Audit, people: Path, options: tuple[str, ...], told: str
) -> None:
    done = audit_here("plan", *arguments(people, *options))

    assert done.returncode == 2
    assert told in done.stderr


def test_the_parameters_of_a_run_are_on_record(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    done = audit_here(
        "run", *arguments(people, "--system", "fawkes-1.0", "--set", "steps=2", "--out", "set")
    )

    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "audit-runs" / "set" / "manifest.json").read_text())
    parameters = manifest["cloaks"]["fawkes-1.0-min"]
    assert (parameters["steps"], parameters["legacy"], parameters["budget"]) == (2, False, 0.002)


def test_somebody_else_s_photos_are_cloaked_towards_a_folder_of_the_person_s(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    done = audit_here(
        *("cloak", str(people / "person-001"), "--towards", str(people / "person-000")),
        *("--system", "sybil", "--level", "min", "--set", "steps=2", "--out", "sybils", "--quiet"),
    )

    assert done.returncode == 0, done.stderr
    text = (tmp_path / "sybils" / "cloaks.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert {(row["person"], row["target"]) for row in rows} == {("person-001", "person-000")}
