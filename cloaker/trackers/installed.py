"""Trained networks among the user's weights: `$AUDIT_CACHE/weights/NAME/tracker.{json,safetensors}`.

The side file tells what a network was made from, and of whom. Importing this imports no torch.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from audit.errors import UserError
from audit.types import content_hash
from cloaker.cache import write_whole

_FOLDER, _SIDE, _WEIGHTS = "weights", "tracker.json", "tracker.safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Tracker:
    """A trained network: from which one, how, and on whose photos (`photos`: their SHA-256).

    `base_sha256` and `sha256` are of the weights before and after; `cloaks` are what the photos
    were cloaked with; `scores` what the training came to; `calibration` is slope and offset of the
    logistic curve from cosine to score.
    """

    name: str
    kind: str
    base: str
    base_sha256: str
    sha256: str
    parameters: Mapping[str, float]
    seed: int
    people: Sequence[str]
    photos: Sequence[str]
    cloaks: Sequence[Mapping[str, Any]]
    scores: Mapping[str, Any]
    calibration: Mapping[str, float]

    @property
    def told(self) -> dict[str, Any]:
        """Return what a manifest has of it: all but the photos, which are counted and hashed."""
        return asdict(self) | {
            "photos": len(self.photos),
            "photos_sha256": content_hash(sorted(self.photos)),
        }

    @property
    def what(self) -> str:
        """Return what it is, in a few words."""
        return f"{self.base}, {self.kind} on {len(self.people)} people of this machine"

    @cached_property
    def known_photos(self) -> frozenset[str]:
        """Return the hashes of the photos that it was trained on."""
        return frozenset(self.photos)


def names() -> tuple[str, ...]:
    """Return the trained networks of this user, in order."""
    return tuple(sorted(path.parent.name for path in _root().glob(f"*/{_SIDE}")))


def find(name: str) -> Tracker | None:
    """Return a trained network's side file, None if none is called so. Raises UserError if broken."""
    path = _root() / name / _SIDE
    try:
        kept = json.loads(path.read_bytes())
        return Tracker(**kept)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise _broken(name, f"{_SIDE}: {error}") from None


def refuse_taken(name: str, taken: Sequence[str]) -> None:
    """Raise UserError for a name that can't be a new network's; `taken` are those that come along."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} can't be a network's name.",
            expected="letters, digits, '.', '_' and '-', 80 at most, a letter or digit first",
        )
    if name in taken or (_root() / name).exists():
        raise UserError(
            f"there is a network {name} already.",
            remedy="choose another name: runs tell networks apart by them"
            + ("" if name in taken else f"; or delete {_root() / name}"),
        )


def content(tracker: Tracker) -> bytes:
    """Return a trained network's weights, verified. Raises UserError if they aren't those."""
    path = _root() / tracker.name / _WEIGHTS
    try:
        found = path.read_bytes()
    except OSError as error:
        raise _broken(tracker.name, f"{_WEIGHTS}: {error.strerror}") from None
    if hashlib.sha256(found).hexdigest() != tracker.sha256:
        raise _broken(tracker.name, f"{_WEIGHTS} has other bytes than when it was trained")
    return found


def install(tracker: Tracker, weights: bytes) -> None:
    """Keep a trained network, readable by its owner alone: who is in it stands beside it."""
    folder = _root() / tracker.name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(folder / _WEIGHTS, weights)
        # Last: without it the network isn't there.
        write_whole(folder / _SIDE, (json.dumps(asdict(tracker), indent=2) + "\n").encode())
    except OSError as error:
        raise UserError(
            f"the network {tracker.name} can't be kept: {error.strerror}: {error.filename}",
            remedy="set AUDIT_CACHE to another folder, or free space there",
        ) from error


def _root() -> Path:
    root = Path(os.environ.get("AUDIT_CACHE") or "~/.cache/cloak-audit").expanduser()
    return root / _FOLDER


def _broken(name: str, detail: str) -> UserError:
    return UserError(
        f"the trained network {name} can't be used: {detail}",
        expected=f"{_SIDE} and {_WEIGHTS} in {_root() / name} as `audit tracker train` left them",
        remedy=f"delete {_root() / name} and train it again",
    )
