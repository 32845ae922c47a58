"""What a user gets wrong: one clear message each, with the contract's exit code."""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [6, 2, 2]


def refused(audit_here: Audit, *arguments: object, **environment: str) -> str:
    done = audit_here(*arguments, **environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("audit: ") or "\naudit: " in done.stderr
    return done.stderr


def run(audit_here: Audit, photos: Path, *more: object) -> str:
    return refused(audit_here, "run", "--provider", "azure", "--emulate", "--photos", photos, *more)


def test_a_folder_that_is_not_there(audit_here: Audit, tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in run(audit_here, tmp_path / "nowhere", "--person", "ann")


def test_an_empty_folder(audit_here: Audit, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()

    assert "photos" in run(audit_here, tmp_path / "photos", "--person", "ann")


def test_a_person_who_is_not_there_and_whose_name_is_nearly_right(
    audit_here: Audit, people: Path
) -> None:
    assert "person-000" in run(audit_here, people, "--person", "person-00")


def test_nobody_named(audit_here: Audit, people: Path) -> None:
    message = run(audit_here, people)

    assert "--person" in message
    assert "person-000, person-001, person-002" in message


def test_fewer_than_two_training_photos(audit_here: Audit, people: Path) -> None:
    assert "2" in run(audit_here, people, "--person", "person-000", "--train", "1")


def test_a_training_size_that_is_no_number(audit_here: Audit, people: Path) -> None:
    assert "'most'" in run(audit_here, people, "--person", "person-000", "--train", "most")


def test_an_unknown_level(audit_here: Audit, people: Path) -> None:
    message = run(audit_here, people, "--person", "person-000", "--level", "extreme")

    assert "extreme" in message
    assert "min, low, mid, high" in message


def test_an_unknown_device(audit_here: Audit, people: Path) -> None:
    message = run(audit_here, people, "--person", "person-000", "--device", "abacus")

    assert "abacus" in message
    assert "auto, cpu, cuda" in message


def test_an_unknown_provider(audit_here: Audit, people: Path) -> None:
    assert "clearview" in refused(audit_here, "run", "--provider", "clearview", "--photos", people)


def test_an_unknown_tier(audit_here: Audit, people: Path) -> None:
    message = run(audit_here, people, "--person", "person-000", "--tier", "gold")

    assert "F0, S0" in message


def test_real_photos_need_real_networks(audit_here: Audit, people: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for file in sorted(people.rglob("*.png")):
        copy = folder / file.parent.name / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(file).convert("RGB").save(copy)  # the mark of generated people is gone

    message = run(audit_here, folder, "--person", "person-000")

    assert "bundled-conv and bundled-mixer" in message
    assert "audit weights" in message


def test_weights_that_are_not_installed(audit_here: Audit, people: Path) -> None:
    message = run(audit_here, people, "--person", "person-000", "--network", "edgeface_xs")

    assert "audit weights add edgeface_xs" in message


def test_weights_that_do_not_exist(audit_here: Audit, people: Path) -> None:
    message = run(audit_here, people, "--person", "person-000", "--network", "edgeface_xl")

    assert "edgeface_xs" in message


def test_weights_with_the_wrong_checksum(audit_here: Audit, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"not these")

    message = refused(audit_here, "weights", "add", "edgeface_xs", file)

    assert "SHA-256" in message


def test_weights_that_cannot_be_read(audit_here: Audit, tmp_path: Path) -> None:
    message = refused(audit_here, "weights", "add", "edgeface_xs", tmp_path / "nothing.pt")

    assert "nothing.pt" in message


def test_a_port_in_use(audit_here: Audit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        message = refused(audit_here, "emulate", "--provider", "azure", "--port", str(port))

    assert str(port) in message


def test_a_run_that_does_not_exist(audit_here: Audit) -> None:
    assert "no run 'yesterday'" in refused(audit_here, "report", "yesterday")


def test_a_run_id_that_is_no_folder_name(audit_here: Audit, people: Path) -> None:
    message = run(audit_here, people, "--person", "person-000", "--out", "../elsewhere")

    assert "letters, digits" in message


def test_photos_are_not_uploaded_without_a_yes(audit_here: Audit, people: Path) -> None:
    message = refused(
        audit_here,
        *("run", "--provider", "azure", "--photos", people, "--person", "person-000"),
        AZURE_FACE_ENDPOINT="http://127.0.0.1:9",
        AZURE_FACE_KEY="planted-secret",
    )

    assert "--yes" in message
    assert "planted-secret" not in message


def test_keys_that_are_not_set(audit_here: Audit, people: Path) -> None:
    message = refused(
        audit_here,
        *("run", "--provider", "azure", "--photos", people, "--person", "person-000"),
        "--yes",
    )

    assert "AZURE_FACE_ENDPOINT and AZURE_FACE_KEY" in message


def test_cloaks_never_take_the_place_of_the_photos(audit_here: Audit, people: Path) -> None:
    before = {file: file.read_bytes() for file in people.rglob("*.png")}
    for photos in (people, people / "person-001"):
        message = refused(audit_here, "cloak", photos, "--level", "min", "--out", people)

        assert "holds the photos themselves" in message
    assert {file: file.read_bytes() for file in people.rglob("*.png")} == before
    assert not (people / "cloaks.jsonl").exists()


@pytest.mark.parametrize(
    "arguments",
    [("cloak", "PHOTOS", "--level", "min", "--out"), ("emulate", "--provider", "azure", "--state")],
    ids=["cloak", "emulate"],
)
@pytest.mark.parametrize("place", ["file", "file/folder", "/proc/folder"])
def test_a_folder_that_cannot_be_made(
    audit_here: Audit, people: Path, tmp_path: Path, arguments: tuple[str, ...], place: str
) -> None:
    (tmp_path / "file").write_text("in the way")

    message = refused(
        audit_here, *[people if word == "PHOTOS" else word for word in arguments], place
    )

    assert f"{place} can't be made" in message or f"{place}/person-000 can't be made" in message


@pytest.mark.parametrize("command", [("run", "--provider", "local", "--photos"), ("cloak",)])
def test_files_of_which_none_is_a_photo(
    audit_here: Audit, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "photos" / "änn ☂").mkdir(parents=True)
    (tmp_path / "photos" / "änn ☂" / "letter.jpg").write_text("no picture")
    more = ("--person", "änn ☂") if command[0] == "run" else ("--level", "min", "--out", "out")

    message = refused(audit_here, *command, "photos", *more)

    assert "änn ☂/letter.jpg: no JPEG" in message
    assert "audit photos check" in message


def test_a_wrong_key_of_an_arm_is_named(audit_here: Audit, tmp_path: Path) -> None:
    tmp_path.joinpath("my.toml").write_text('provider = "mock"\n[[arm]]\nlevl = "mid"\n')

    message = refused(audit_here, "run", "--experiment", "my.toml")

    assert "level is missing in [[arm]] 1" in message
    assert "unknown key 'levl' in [[arm]] 1" in message


def test_the_doctor_of_a_service_that_is_not_known(audit_here: Audit) -> None:
    assert "provider = 'clearview'" in refused(audit_here, "doctor", "--provider", "clearview")


def test_an_answer_cannot_come_before_it_is_asked_for(audit_here: Audit) -> None:
    done = audit_here("emulate", "--provider", "azure", "--latency-ms", "-4")

    assert done.returncode == 2
    assert "--latency-ms" in done.stderr


def test_an_interrupted_command_that_keeps_nothing_speaks_of_no_run(
    audit_here: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("audit.preparation.read_photos", interrupted)

    done = audit_here("photos", "check", "photos")

    assert (done.returncode, done.stderr) == (130, "audit: interrupted\n")
