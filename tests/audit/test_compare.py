"""`audit compare` through the command line, on real runs against two networks of one emulator."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets import generated
from tests.command_line import called, figures_left_out

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [12, 3, 3, 3, 3]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its repetition with another network behind the emulator, and one of other photos."""
    folder = tmp_path_factory.mktemp("runs")
    generated.write_people(folder / "people", len(PEOPLE), PEOPLE.__getitem__)
    options = (
        *("--provider", "azure", "--emulate", "--photos", str(folder / "people")),
        *("--person", "person-000", "--level", "min", "--runs", str(folder)),
    )
    rerun = ("rerun", "first", "--recogniser", "bundled-mixer", "--runs", str(folder))
    with figures_left_out():
        called("run", *options, "--train", "6", "--out", "first")
        called(*rerun, "--out", "second")
        called("run", *options, "--train", "5", "--out", "other")
    return folder


def test_a_run_and_its_rerun_are_compared(audit_here: Audit, runs: Path) -> None:
    done = audit_here("compare", "first", "second", "--runs", runs)

    assert done.returncode == 0, done.stderr
    *sentences, page = done.stdout.splitlines()
    assert Path(page).is_file()
    assert len(sentences) == 2
    assert "with nothing cloaked" in sentences[0]
    text = Path(page).read_text()
    assert "bundled-conv" in text
    assert "bundled-mixer" in text
    assert audit_here("list", "--runs", runs, "--json").stdout.count('"run":') == 3


def test_runs_that_differ_are_refused_by_what_differs(audit_here: Audit, runs: Path) -> None:
    refused = audit_here("compare", "first", "other", "--runs", runs, "--to", "out")
    forced = audit_here("compare", "first", "other", "--runs", runs, "--to", "out", "--force")

    assert refused.returncode == 2
    assert "first: split: " in refused.stderr or "other: split: " in refused.stderr
    assert "--force" in refused.stderr
    assert forced.returncode == 0, forced.stderr
    assert forced.stdout.splitlines()[-1] == "out/index.html"
    assert "Forced: " in Path("out/index.html").read_text()


def test_one_run_alone_needs_a_study(audit_here: Audit, runs: Path) -> None:
    alone = audit_here("compare", "first", "--runs", runs)
    beside = audit_here("compare", "first", "--runs", runs, "--against", "uva-2021", "--json")

    assert alone.returncode == 2
    assert "--against STUDY" in alone.stderr
    assert beside.returncode == 0, beside.stderr
    rows = json.loads(beside.stdout)["published_uva-2021"]
    assert [row["published"] for row in rows if row["arm"] == "control"] == [31, 0.966]


def test_help_names_the_commands(audit_here: Audit) -> None:
    shown = audit_here("--help").stdout

    assert "\n  rerun " in shown
    assert "\n  compare " in shown
