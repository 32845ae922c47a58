"""The networks that were trained on this machine: who is in them, and what a manifest tells."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from audit.errors import UserError
from audit.types import Split

if TYPE_CHECKING:
    from cloaker.trackers.installed import Tracker
    from providers.emulators.calibration import Calibration

Row = dict[str, Any]
_SHOWN = 3


def refuse_known_people(networks: Sequence[str], split: Split, say: Callable[[str], None]) -> None:
    """Raise UserError if a trained network was trained on a protected person, or a photo of hers.

    Decoys whom it knows are told to `say`: a tracker may know them, and knows them better then.
    """
    protected = {**split.train, **split.probe}
    photos = {
        photo.sha256: who
        for group in (split.train, split.probe)
        for who, some in group.items()
        for photo in some
    }
    for tracker in _with_bases(networks):
        trained = {normalize("NFC", who) for who in tracker.people}
        by_photo = {who for sha256, who in photos.items() if sha256 in tracker.known_photos}
        if known := sorted((trained & set(protected)) | by_photo):
            raise UserError(
                f"{tracker.name} was trained on photos of {', '.join(known)}: it would recognise "
                "whom it knows, cloaked or not.",
                expected="protected people whom no tracker was trained on",
                remedy=f"train it again with --without {known[0]}, or protect somebody else",
            )
        if others := sorted(trained & set(split.decoy)):
            more = ", ..." if len(others) > _SHOWN else ""
            shown = ", ".join(others[:_SHOWN]) + more
            say(f"{tracker.name} was trained on {len(others)} of the decoys: {shown}")


def told(networks: Sequence[str]) -> dict[str, Row]:
    """Return what a manifest has of the trained networks among these, and of their bases."""
    return {tracker.name: tracker.told for tracker in _with_bases(networks)}


def calibration_of(network: str) -> "Calibration":
    """Return a network's curve from cosine to score. Raises UserError if there is none."""
    from cloaker.trackers import installed
    from providers.emulators.calibration import Calibration, calibration

    tracker = installed.find(network)
    return Calibration(**tracker.calibration) if tracker else calibration(network)


def root_of(network: str) -> str:
    """Return the network that one was trained from in the end; itself if it wasn't trained here."""
    return [network, *(tracker.base for tracker in _with_bases([network]))][-1]


def _with_bases(networks: Sequence[str]) -> Iterator["Tracker"]:
    """Yield the trained networks among these, each followed by those that it was trained from."""
    from cloaker.trackers import installed

    for name in dict.fromkeys(networks):
        tracker = installed.find(name)
        while tracker:
            yield tracker
            tracker = installed.find(tracker.base)
