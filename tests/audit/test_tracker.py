"""`audit tracker train` on bundled people: it brings recognition back, of people whom it never saw."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.folders import cache_folder
from cloaker.networks import registry
from cloaker.trackers import installed
from tests.command_line import called

pytestmark = pytest.mark.usefixtures("without_figures")

Audit = Callable[..., subprocess.CompletedProcess[str]]

PEOPLE = [4] * 13
PROTECTED = ("person-000", "person-001", "person-002")
NAME = "conv-adaptive"


def run(*arguments: object) -> Any:
    return json.loads(called(*arguments))


def each(option: str, names: tuple[str, ...]) -> list[str]:
    return [part for name in names for part in (option, name)]


@pytest.fixture(scope="module")
def row(people: Path, own_cache: None) -> dict[str, Any]:
    del own_cache
    [row] = run(
        *("tracker", "train", "--kind", "adaptive", "--network", "bundled-conv", "--as", NAME),
        *("--photos", people, *each("--without", PROTECTED), "--system", "fawkes-1.0"),
        *("--set", "steps=15", "--recipe", "epochs=6", "--recipe", "learning_rate=3e-4"),
        *("--photos-each", "3"),
        *("--json", "--quiet"),
    )
    found: dict[str, Any] = row
    return found


def test_an_adaptive_network_brings_recognition_back(row: dict[str, Any], people: Path) -> None:
    rows = run(
        *("evaluate", people, "--out", people.parent / "out", *each("--person", PROTECTED)),
        *("--network", "bundled-conv", "--judge", NAME, "--system", "fawkes-1.0"),
        *("--set", "steps=15", "--json", "--quiet"),
    )
    protected = {
        (row["system"], row["judged_by"]): float(row["poison, centroid"].split()[0]) for row in rows
    }
    assert protected["none", "bundled-conv"] == protected["none", NAME] == 0
    assert protected["fawkes-1.0", "bundled-conv"] >= 80
    assert protected["fawkes-1.0", NAME] <= protected["fawkes-1.0", "bundled-conv"] - 25
    told = json.loads((people.parent / "out" / "evaluation.json").read_text())["manifest"]
    assert told["trackers"][NAME]["base"] == "bundled-conv"
    assert len(told["trackers"][NAME]["people"]) == row["people"] == 10
    assert told["trackers"][NAME]["photos"] == row["photos"] == 60
    assert told["weights"][NAME] == told["trackers"][NAME]["sha256"]


def test_a_protected_person_whom_it_knows_is_refused_by_name(
    row: dict[str, Any], people: Path, audit_here: Audit
) -> None:
    del row
    asked = ("--network", "bundled-conv", "--quiet")
    for command in (
        ("evaluate", people, "--out", "o", "--judge", NAME, *asked, "--person", "person-005"),
        ("plan", "--provider", "local", "--photos", people, "--recogniser", NAME, *asked,
         "--person", "person-005", "--train", "2"),
    ):  # fmt: skip
        done = audit_here(*command)
        assert done.returncode == 2, done.stderr
        assert f"{NAME} was trained on photos of person-005" in done.stderr
        assert "--without person-005" in done.stderr


def test_a_photo_that_it_knows_is_refused_under_another_name(
    row: dict[str, Any], people: Path, audit_here: Audit, tmp_path: Path
) -> None:
    del row
    for number, person in enumerate(("person-005", *PROTECTED)):
        (tmp_path / "set" / f"somebody-{number}").mkdir(parents=True)
        for photo in (people / person).iterdir():
            (tmp_path / "set" / f"somebody-{number}" / photo.name).symlink_to(photo)
    done = audit_here(
        *("evaluate", tmp_path / "set", "--out", "o", "--network", "bundled-conv", "--judge", NAME),
        *("--person", "somebody-0", "--quiet"),
    )
    assert done.returncode == 2
    assert f"{NAME} was trained on photos of somebody-0" in done.stderr


def test_it_recognises_in_a_run_and_its_manifest_tells_of_it(
    row: dict[str, Any], people: Path, audit_here: Audit, tmp_path: Path
) -> None:
    del row
    done = audit_here(
        *("run", "--provider", "local", "--recogniser", NAME, "--photos", people, "--quiet"),
        *("--person", PROTECTED[0], "--train", "2", "--level", "none", "--out", "tracked"),
        *("--runs", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "tracked" / "manifest.json").read_text())
    assert told["trackers"][NAME]["kind"] == "adaptive"
    assert told["trackers"][NAME]["cloaks"][0]["system"] == "fawkes-1.0"
    assert told["weights"][NAME] == told["trackers"][NAME]["sha256"]
    assert [arm["enrolled"] for arm in told["arms"]] == [2 + 4 * 12]


def test_real_photos_are_refused_to_what_knows_generated_people_only(
    row: dict[str, Any], people: Path, audit_here: Audit, tmp_path: Path
) -> None:
    from PIL import Image

    del row
    for person in PROTECTED:
        (tmp_path / "real" / person).mkdir(parents=True)
        for photo in (people / person).iterdir():
            Image.open(photo).convert("RGB").save(
                tmp_path / "real" / person / f"{photo.stem}.jpg", quality=90
            )  # no mark says any more that they were drawn
    done = audit_here("evaluate", tmp_path / "real", "--out", "o", "--network", NAME, "--quiet")
    assert done.returncode == 2
    assert f"{NAME} knows only the bundled generated faces" in done.stderr


def test_weights_that_changed_are_refused(row: dict[str, Any]) -> None:
    del row
    from audit.errors import UserError
    from cloaker import weights

    listed = {item.name: item for item in weights.list_weights()}
    assert listed[NAME].installed is weights.State.INSTALLED
    assert "adaptive on 10 people" in listed[NAME].what
    file = cache_folder() / "weights" / NAME / "tracker.safetensors"
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-4] + b"\0\0\0\0")
        with pytest.raises(UserError, match="has other bytes than when it was trained"):
            registry.load(NAME)
        state = {item.name: item.installed for item in weights.list_weights()}[NAME]
        assert state is weights.State.DAMAGED
    finally:
        file.write_bytes(content)
    tracker = installed.find(NAME)
    assert tracker is not None
    assert registry.load(NAME).weights_sha256 == tracker.sha256


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "adaptive"], "an adaptive tracker learns from cloaks"),
        (["--kind", "clever"], "there is no tracker of kind 'clever'"),
        (["--kind", "robust", "--system", "lowkey"], "sees no cloaked photo"),
        (["--kind", "robust", "--as", "bundled-mixer"], "there is a network bundled-mixer already"),
        (["--kind", "robust", "--as", "../up"], "can't be a network's name"),
        (["--kind", "robust", "--without", "nobody"], "called nobody"),
        (["--kind", "robust", "--recipe", "speed=1"], "no parameter 'speed'"),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_message(
    people: Path, audit_here: Audit, arguments: list[str], said: str
) -> None:
    done = audit_here(
        *("tracker", "train", "--network", "bundled-conv", "--photos", people, "--as", "x"),
        *("--quiet", *arguments),
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
