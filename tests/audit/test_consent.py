"""Nothing leaves this machine before a person has read what goes where and said yes."""

import io
import os
import pty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import consent
from audit.errors import UserError
from audit.experiment import Experiment, resolve
from audit.preparation import Prepared
from audit.types import Photo, PhotoSet, Split


def photos(person: str, number: int) -> tuple[Photo, ...]:
    return tuple(Photo(f"{person}-{n}", person, Path(), 9, 9) for n in range(number))


PREPARED = Prepared(
    PhotoSet(Path(), ()),
    Split(
        seed=0,
        train={"ann": photos("ann", 4), "bob": photos("bob", 3)},
        probe={"ann": photos("ann", 2), "bob": photos("bob", 1)},
        decoy={"carl": photos("carl", 5), "dora": photos("dora", 5), "eve": photos("eve", 1)},
        target={"finn": photos("finn", 9)},
    ),
)
COUNTS = {
    "protected_people": 2,
    "training_photos": 7,
    "probe_photos": 3,
    "decoy_people": 3,
    "decoy_photos": 11,
}
STATEMENT = (
    "To Azure Face (endpoint face.example.com) will be sent: 7 photos to enrol and 3 to probe with "
    "of ann, bob, the originals as well as any cloaked ones, and 11 photos of 3 decoys. What is "
    "enrolled is stored there as face data until `audit purge` deletes it. All of these people "
    "must have agreed."
)


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.setenv("AZURE_FACE_KEY", "planted")
    monkeypatch.setenv("AZURE_FACE_ENDPOINT", "https://user:secret@face.example.com/")
    return resolve(None, {"provider": "azure"})


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Put a real terminal in the place of stdin, at which the given keys are pressed."""
    keyboard, screen = pty.openpty()
    with os.fdopen(keyboard, "wb", buffering=0) as keys, os.fdopen(screen) as stdin:

        def press(text: str) -> None:
            keys.write(text.encode())

        monkeypatch.setattr("sys.stdin", stdin)
        yield press


@pytest.mark.parametrize("values", [{"provider": "azure", "emulate": True}, {"provider": "local"}])
def test_nothing_is_asked_when_nothing_leaves(values: dict[str, Any]) -> None:
    assert consent.ask(resolve(None, values), PREPARED, yes=False) == {"needed": False}


def test_a_yes_in_advance_is_recorded_with_what_it_agrees_to(experiment: Experiment) -> None:
    agreed = consent.ask(experiment, PREPARED, yes=True)

    assert (agreed["needed"], agreed["by"]) == (True, "--yes")
    assert agreed["counts"] == COUNTS
    assert agreed["statement"] == STATEMENT
    assert agreed["given_utc"] > "2026"


@pytest.mark.parametrize("answer", ["yes\n", " YES \n"])
def test_a_yes_at_the_terminal_after_everything_is_told(
    experiment: Experiment,
    terminal: Callable[[str], None],
    answer: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal(answer)

    agreed = consent.ask(experiment, PREPARED, yes=False)

    assert agreed["by"] == "terminal"
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"{STATEMENT} \nSend them? (yes/no) "


@pytest.mark.parametrize("answer", ["no\n", "y\n", "\n", "\x04"])
def test_anything_but_yes_is_no(
    experiment: Experiment, terminal: Callable[[str], None], answer: str
) -> None:
    terminal(answer)

    with pytest.raises(UserError, match="without a yes"):
        consent.ask(experiment, PREPARED, yes=False)


def test_a_pipe_can_not_say_yes(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))

    with pytest.raises(UserError, match="without a yes"):
        consent.ask(experiment, PREPARED, yes=False)


@pytest.mark.parametrize(
    ("values", "environment", "where"),
    [
        ({"provider": "rekognition", "region": "eu-west-1"}, {}, "Amazon Rekognition (region eu-"),
        ({"provider": "rekognition"}, {}, "Amazon Rekognition will be sent"),
        (
            {"provider": "facepp"},
            {"FACEPP_API_KEY": "planted", "FACEPP_API_SECRET": "planted"},
            "Face++ will be sent",
        ),
        (
            {"provider": "facepp", "endpoint": "https://api-cn.example.com"},
            {"FACEPP_API_KEY": "planted", "FACEPP_API_SECRET": "planted"},
            "Face++ (endpoint api-cn.example.com)",
        ),
    ],
)
def test_the_place_is_told_as_far_as_it_is_set_and_no_key(
    values: dict[str, Any],
    environment: dict[str, str],
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    agreed = consent.ask(resolve(None, values), PREPARED, yes=True)

    assert agreed["statement"].startswith(f"To {where}")
    assert "planted" not in str(agreed)
