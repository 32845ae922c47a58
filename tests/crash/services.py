"""The services that these tests make runs against, and what their emulators tell of them."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from providers import registry

BeginUntil = Callable[[Sequence[str], Callable[[], bool]], subprocess.Popen[str]]
KEYS = {
    "AZURE_FACE_KEY": "any",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_REGION": "eu-west-1",
    "FACEPP_API_KEY": "any",
    "FACEPP_API_SECRET": "any",
}


@dataclass(frozen=True, slots=True)
class Service:
    """A service and, where it has several, a kind of gallery there."""

    provider: str
    gallery: str | None = None

    def __str__(self) -> str:
        return f"{self.provider}-{self.gallery}" if self.gallery else self.provider

    def operation(self, *verbs: str) -> str:
        """Return the service's name of the first verb that it knows."""
        operations = registry.capabilities(self.provider, self.gallery).operations
        return next(operations[verb] for verb in verbs if verb in operations)

    def experiment(self, people: Path, endpoint: str, train: int) -> list[str]:
        """Return the options of an experiment but for its levels; `train`: photos to enrol."""
        return [
            *("--provider", self.provider, "--endpoint", endpoint, "--tier", "emulator"),
            *(("--gallery", self.gallery) if self.gallery else ()),
            *("--photos", str(people), "--person", "person-000", "--train", str(train)),
        ]

    def run(self, people: Path, endpoint: str, train: int, level: str = "none") -> list[str]:
        """Return the arguments of a run named "one"; level "none" is the control arm alone."""
        asked = self.experiment(people, endpoint, train)
        return ["run", *asked, "--level", level, "--yes", "--out", "one"]


AZURE = Service("azure")
FACES = Service("rekognition", "faces")
USERS = Service("rekognition", "users")
FACEPP = Service("facepp")
every_service = pytest.mark.parametrize("service", [AZURE, FACES, USERS, FACEPP], ids=str)


def clear(endpoint: str) -> None:
    """Empty an emulator's account and its log, and end its faults."""
    requests.post(f"{endpoint}/__emulator__/clear", timeout=10).raise_for_status()


def disturb(endpoint: str, **rule: Any) -> None:
    """Put one fault rule in force."""
    answer = requests.post(f"{endpoint}/__emulator__/faults", json={"rules": [rule]}, timeout=10)
    answer.raise_for_status()


def told(endpoint: str, what: str) -> list[dict[str, Any]]:
    """Return an emulator's "log" or "galleries"."""
    answer: list[dict[str, Any]] = requests.get(
        f"{endpoint}/__emulator__/{what}", timeout=10
    ).json()
    return answer


def faces(endpoint: str) -> list[int]:
    """Return how many faces each person of the one gallery has, ordered."""
    (gallery,) = told(endpoint, "galleries")
    return sorted(len(person["faces"]) for person in gallery["persons"])
