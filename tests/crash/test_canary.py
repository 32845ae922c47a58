"""A planted key and a planted photo are looked for in everything a run leaves or says."""

import base64
import json
import signal
import stat
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from tests.crash.services import AZURE, FACEPP, USERS, BeginUntil, Service, disturb, told
from tests.providers.accounts import ADAPTERS

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [4, 2, 2]
TRAIN = 2
KEY = "planted-key-5d1b09e7"
WRONG_KEY = "planted-wrong-key-77c2"
PIXELS = b"planted-in-the-pixels-e41c"
METADATA = b"planted-in-the-metadata-90af"
SECRETS = {
    "azure": ("AZURE_FACE_KEY",),
    "rekognition": ("AWS_SECRET_ACCESS_KEY",),
    "facepp": ("FACEPP_API_KEY", "FACEPP_API_SECRET"),
}
WITH_PICTURES = {"cloaked", "examples"}
"""The folders that hold photos by design."""


every_service = pytest.mark.parametrize("service", [AZURE, USERS, FACEPP], ids=str)


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
def people(people: Path) -> Path:
    """Return photos that all hold the canaries."""
    for photo in people.rglob("*.png"):
        plant(photo)
        assert all(canary in photo.read_bytes() for canary in (PIXELS, METADATA))
    return people


@pytest.fixture(scope="module")
def accepted_keys() -> frozenset[str]:
    return frozenset({KEY})


@pytest.fixture
def endpoint(service: Service, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Plant the key, also as the id of Amazon's key: no secret, it names the account."""
    for name in (*SECRETS[service.provider], "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, KEY)
    return endpoint


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
    log = json.dumps(told(endpoint, "log"))
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
    service: Service, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    done = audit_here(*service.run(people, endpoint, TRAIN))
    others = [audit_here(*command) for command in (["export", "one"], ["purge", "one"], ["status"])]

    assert [ended.returncode for ended in (done, *others)] == [0, 0, 0, 0], done.stderr
    check(tmp_path, endpoint, *(ended.stdout + ended.stderr for ended in (done, *others)))


@pytest.mark.parametrize("service", [AZURE], ids=str)
def test_a_run_with_cloaks_holds_photos_only_where_it_says(
    service: Service, audit_here: Audit, tmp_path: Path, people: Path, endpoint: str
) -> None:
    done = audit_here(*service.run(people, endpoint, TRAIN, level="min"))

    assert done.returncode == 0, done.stderr
    check(tmp_path, endpoint, done.stdout + done.stderr)


@every_service
@pytest.mark.parametrize("kind", ["500", "lost_response", "half_body"])
@pytest.mark.usefixtures("no_waiting")
def test_a_storm_of_failures(
    service: Service,
    kind: str,
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    endpoint: str,
) -> None:
    disturb(endpoint, operation="*", kind=kind)

    stopped = audit_here(*service.run(people, endpoint, TRAIN))

    assert stopped.returncode == 3
    check(tmp_path, endpoint, stopped.stdout + stopped.stderr)


@every_service
def test_a_wrong_key(
    service: Service,
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (*SECRETS[service.provider], "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, WRONG_KEY)

    refused = audit_here(*service.run(people, endpoint, TRAIN))

    assert refused.returncode == 4
    check(tmp_path, endpoint, refused.stdout + refused.stderr)


@every_service
def test_a_defect_whose_text_holds_the_key(
    service: Service,
    audit_here: Audit,
    tmp_path: Path,
    people: Path,
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> NoReturn:
        raise AssertionError(f"no header can hold {KEY!r}")

    adapter, _ = ADAPTERS[service.provider]
    monkeypatch.setattr(adapter, "create_gallery", fail)

    failed = audit_here(*service.run(people, endpoint, TRAIN))

    assert failed.returncode == 1
    assert "no header can hold" in failed.stderr
    check(tmp_path, endpoint, failed.stdout + failed.stderr)


@every_service
def test_a_killed_run(
    service: Service,
    begin_until: BeginUntil,
    count_calls: Callable[..., int],
    tmp_path: Path,
    people: Path,
    endpoint: str,
) -> None:
    disturb(endpoint, operation="*", kind="hang")
    process = begin_until(
        service.run(people, endpoint, TRAIN), lambda: count_calls(state="sent") > 0
    )
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()

    check(tmp_path, endpoint, said)
