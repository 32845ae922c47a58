"""A planted key and a planted photo are looked for in everything a run leaves or says."""

import base64
import json
import os
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import requests
from PIL import Image

from cloaker.networks import bundled
from cloaker.recogniser import LocalRecogniser
from datasets import generated
from providers import azure, facepp, rekognition
from providers.emulators.calibration import calibration
from providers.emulators.options import Options
from providers.emulators.server import running

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [4, 2, 2]
KEY = "planted-key-5d1b09e7"
WRONG_KEY = "planted-wrong-key-77c2"
PIXELS = b"planted-in-the-pixels-e41c"
METADATA = b"planted-in-the-metadata-90af"
SECRETS = {
    "azure": ("AZURE_FACE_KEY",),
    "rekognition": ("AWS_SECRET_ACCESS_KEY",),
    "facepp": ("FACEPP_API_KEY", "FACEPP_API_SECRET"),
}
ACCOUNT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_REGION": "eu-west-1"}
"""Not secret: an access key's id names the account, as in every signature."""

WITH_PICTURES = {"cloaked", "examples"}
"""The folders that hold photos by design."""


@dataclass(frozen=True)
class Case:
    provider: str
    adapter: type
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.provider


CASES = [
    Case("azure", azure.AzureProvider),
    Case("rekognition", rekognition.RekognitionProvider, ("--gallery", "users")),
    Case("facepp", facepp.FaceppProvider),
]
every_service = pytest.mark.parametrize("case", CASES, ids=str)


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def plant(photo: Path) -> None:
    """Write a photo anew, uncompressed, so that what is planted stands in the file as it is."""
    with Image.open(photo) as image:
        pixels = np.array(image.convert("RGB"))
        texts = {key: text for key, text in image.info.items() if isinstance(text, str)}
    height, width, _ = pixels.shape
    pixels[0].reshape(-1)[: len(PIXELS)] = np.frombuffer(PIXELS, np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    photo.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + b"".join(chunk(b"tEXt", f"{key}\0{text}".encode()) for key, text in texts.items())
        + chunk(b"tEXt", b"Comment\0" + METADATA)
        + chunk(b"IDAT", zlib.compress(rows, 0))
        + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return photos that all hold the canaries."""
    folder = tmp_path_factory.mktemp("people")
    generated.write_people(folder, len(PEOPLE), PEOPLE.__getitem__)
    for photo in folder.rglob("*.png"):
        plant(photo)
        assert all(canary in photo.read_bytes() for canary in (PIXELS, METADATA))
    return folder


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """Yield the address of an emulator of each service that lets in the planted key only."""
    recogniser, scores = LocalRecogniser(bundled.load("bundled-conv")), calibration("bundled-conv")
    keys = Options(keys=frozenset({KEY}))
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(running(name, recogniser, scores, options=keys))
            for name in SECRETS
        }


@pytest.fixture
def endpoint(case: Case, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    requests.post(f"{servers[case.provider]}/__emulator__/clear", timeout=10).raise_for_status()
    for name, value in (ACCOUNT | dict.fromkeys(SECRETS[case.provider], KEY)).items():
        monkeypatch.setenv(name, value)
    return servers[case.provider]


def arguments(case: Case, people: Path, endpoint: str, level: str = "none") -> list[str]:
    return [
        *("run", "--provider", case.provider, *case.options, "--endpoint", endpoint, "--yes"),
        *("--tier", "emulator", "--photos", str(people), "--person", "person-000"),
        *("--train", "2", "--level", level, "--out", "one"),
    ]


def disturb(endpoint: str, kind: str) -> None:
    rules = {"rules": [{"operation": "*", "kind": kind}]}
    requests.post(f"{endpoint}/__emulator__/faults", json=rules, timeout=10).raise_for_status()


def forms(canary: bytes) -> list[bytes]:
    """Return how bytes look as they are, in hexadecimal and in Base64 at any offset."""
    shifted = (base64.b64encode(b"\0" * shift + canary)[4:-4] for shift in range(3))
    return [canary, canary.hex().encode(), *shifted]


CANARIES = [
    form
    for canary in (KEY.encode(), WRONG_KEY.encode(), PIXELS, METADATA)
    for form in forms(canary)
]


def check(folder: Path, endpoint: str, *said: str) -> None:
    """Look for the canaries, and for files that others than the owner may read."""
    run = folder / "audit-runs" / "one"
    log = json.dumps(requests.get(f"{endpoint}/__emulator__/log", timeout=10).json())
    texts = {str(number): text.encode() for number, text in enumerate([*said, log])}
    files = [path for path in run.rglob("*") if path.is_file()]
    looked_at = {
        str(path): path.read_bytes()
        for path in files
        if path.relative_to(run).parts[0] not in WITH_PICTURES
    }
    assert {"manifest.json", "experiment.toml"} <= {path.name for path in files}
    assert [
        (name, canary)
        for name, content in (looked_at | texts).items()
        for canary in CANARIES
        if canary in content
    ] == []
    assert stat.S_IMODE(run.stat().st_mode) == 0o700


@every_service
def test_a_finished_run_that_is_exported_and_purged(
    case: Case, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    done = audit_here(*arguments(case, people, endpoint))
    others = [audit_here(*command) for command in (["export", "one"], ["purge", "one"], ["status"])]

    assert [ended.returncode for ended in (done, *others)] == [0, 0, 0, 0], done.stderr
    check(tmp_path, endpoint, *(ended.stdout + ended.stderr for ended in (done, *others)))


@pytest.mark.parametrize("case", CASES[:1], ids=str)
def test_a_run_with_cloaks_holds_photos_only_where_it_says(
    case: Case, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    done = audit_here(*arguments(case, people, endpoint, level="min"))

    assert done.returncode == 0, done.stderr
    check(tmp_path, endpoint, done.stdout + done.stderr)


@every_service
@pytest.mark.parametrize("kind", ["500", "lost_response", "half_body"])
@pytest.mark.usefixtures("no_waiting")
def test_a_storm_of_failures(
    case: Case,
    kind: str,
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    endpoint: str,
) -> None:
    disturb(endpoint, kind)

    stopped = audit_here(*arguments(case, people, endpoint))

    assert stopped.returncode == 3
    check(tmp_path, endpoint, stopped.stdout + stopped.stderr)


@every_service
def test_a_wrong_key(
    case: Case,
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (*SECRETS[case.provider], "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, WRONG_KEY)

    refused = audit_here(*arguments(case, people, endpoint))

    assert refused.returncode == 4
    check(tmp_path, endpoint, refused.stdout + refused.stderr)


@every_service
def test_a_defect_whose_text_holds_the_key(
    case: Case,
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> NoReturn:
        raise AssertionError(f"no header can hold {KEY!r}")

    monkeypatch.setattr(case.adapter, "create_gallery", fail)

    failed = audit_here(*arguments(case, people, endpoint))

    assert failed.returncode == 1
    assert "no header can hold" in failed.stderr
    check(tmp_path, endpoint, failed.stdout + failed.stderr)


@every_service
def test_a_killed_run(case: Case, tmp_path: Path, people: Path, endpoint: str) -> None:
    disturb(endpoint, "hang")
    ledger = tmp_path / "audit-runs" / "one" / "ledger.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "audit", *arguments(case, people, endpoint)],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not sent(ledger):
        assert process.poll() is None, "the run ended before the moment to kill it"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()

    check(tmp_path, endpoint, said)


def sent(ledger: Path) -> bool:
    """Tell whether a call is on its way."""
    if not ledger.exists():
        return False
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as database:
        try:
            found: list[Any] = database.execute(
                "SELECT 1 FROM calls WHERE state = 'sent'"
            ).fetchall()
        except sqlite3.OperationalError:  # the table is not there yet
            return False
    return bool(found)
