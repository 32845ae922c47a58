"""`audit cloak` as a real process, killed for real: what is finished stays finished."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Audit = Callable[..., subprocess.CompletedProcess[str]]
Process = subprocess.Popen[str]

PHOTOS = 22
PEOPLE = [PHOTOS, 1]
BATCH = 16
ARGUMENTS = ("--level", "min", "--network", "bundled-conv", "--out", "out")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing come from another test's cache but the faces, which take long to find."""
    shared = Path(os.environ["AUDIT_CACHE"]) / "faces"
    shared.mkdir(parents=True, exist_ok=True)
    own = tmp_path / "cache"
    own.mkdir()
    (own / "faces").symlink_to(shared)
    monkeypatch.setenv("AUDIT_CACHE", str(own))


def begin(folder: Path, people: Path) -> Process:
    return subprocess.Popen(
        [sys.executable, "-m", "audit", "cloak", str(people), *ARGUMENTS, "--quiet"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the cloaked files by person and name, each with its place on the disk and bytes."""
    return {
        f"{path.parent.name}/{path.name}": (path.stat().st_ino, path.read_bytes())
        for path in (folder / "out").glob("[!.]*/*.png")
    }


def wait_for_files(folder: Path, count: int, process: Process) -> None:
    """Look until so many files are there; the test's own time limit ends a hopeless wait."""
    while len(list((folder / "out").glob("*/*.png"))) < count:
        assert process.poll() is None, "it ended before the moment to stop it"
        time.sleep(0.002)


def test_a_kill_loses_at_most_the_batch_in_flight(
    audit_here: Audit, tmp_path: Path, people: Path
) -> None:
    process = begin(tmp_path, people)
    wait_for_files(tmp_path, BATCH + 2, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = files(tmp_path)
    assert len(before) >= BATCH + 2
    assert not (tmp_path / "out" / "cloaks.jsonl").exists()

    again = audit_here("cloak", people, *ARGUMENTS, "--json")

    assert again.returncode == 0, again.stderr
    after = files(tmp_path)
    rows = json.loads(again.stdout)
    assert after.keys() == {
        f"{row['person']}/{row['file']}" for row in rows if not row["not cloaked"]
    }
    assert len(before) < len(after)
    # Found in the cache, not cloaked again: the file is the one that the cache holds.
    cached = {path.stat().st_ino for path in (tmp_path / "cache" / "cloaks").rglob("*.png")}
    assert {inode for inode, _ in before.values()} <= cached
    assert {name: after[name] for name in before} == before
    records = (tmp_path / "out" / "cloaks.jsonl").read_text().splitlines()
    assert len(records) == len(after)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("person-000", "person-001", "cloaks.jsonl")
    }
    assert list((tmp_path / "out").rglob(".part-*")) == []


def test_ctrl_c_is_one_line(tmp_path: Path, people: Path) -> None:
    process = begin(tmp_path, people)
    wait_for_files(tmp_path, 1, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines() == [
        "audit: interrupted; the same command goes on after the last finished photos"
    ]
    assert not (tmp_path / "out" / "cloaks.jsonl").exists()
