"""What all tests share: quiet threads, folders of their own, the command line as a process."""

import os

# Before torch is imported: threads that spin for work slow parallel tests down many times.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.command_line import figures_left_out, invoke

# A busy machine is no fault of what is tested.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

Audit = Callable[..., "subprocess.CompletedProcess[str]"]

_NOT_FOR_TESTS = ("AZURE_FACE_", "AWS_", "FACEPP_", "AUDIT_RUNS")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep cache and state out of the user's folders, and the user's keys out of the tests."""
    home = tmp_path_factory.mktemp("home")
    before = dict(os.environ)
    os.environ["AUDIT_CACHE"] = str(home / "cache")
    os.environ["AUDIT_STATE"] = str(home / "state")
    for name in [name for name in os.environ if name.startswith(_NOT_FOR_TESTS)]:
        del os.environ[name]
    yield home
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the networks that a module trains out of other modules' lists."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUDIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def people(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of generated people with as many photos as the module's PEOPLE says."""
    from datasets import generated

    folder = tmp_path_factory.mktemp("people")
    photos = request.module.PEOPLE
    generated.write_people(folder, len(photos), photos.__getitem__)
    return folder


@pytest.fixture
def without_figures() -> Iterator[None]:
    """Leave out the figures of reports."""
    with figures_left_out():
        yield


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """Return a function that runs the command line in an empty folder, as a user would."""

    def call(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "audit", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return call


@pytest.fixture
def audit_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """Return the same command line called in this process: torch is imported once for all."""
    monkeypatch.chdir(tmp_path)
    return invoke


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let waits of this process end at once, on a clock that they move on."""
    slept_s = 0.0

    def sleep(_clock: object, seconds: float) -> None:
        nonlocal slept_s
        slept_s += seconds

    monkeypatch.setattr("audit.clock.WallClock.sleep", sleep)
    monkeypatch.setattr("audit.clock.WallClock.now", lambda _clock: time.time() + slept_s)
    # What this clock writes there would be the future to others.
    monkeypatch.setenv("AUDIT_STATE", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """Undo what loading EdgeFace sets: hypothesis needs numbers below the smallest normal one."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
