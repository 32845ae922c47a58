"""A service of one's own: Dice, which sees no faces and lets the photo's bytes throw the dice."""

import shutil
from pathlib import Path
from random import Random

from audit.types import Candidate
from providers.base import Capabilities, EnrolledFace, Failure, FailureKind, Provider
from providers.capabilities import parse

DICE = parse({
    "service": "Dice", "default_tier": "free", "priced_on": "2026-11-21",
    "tiers": {"free": {"rates": [{"calls": 50, "per_s": 1}], "usd_per_call": 0.0}},
    "settings": {"folder": ["DICE_FOLDER"]},  # the constructor's argument: its environment variable
    "operations": {"create_gallery": "Create", "enrol": "Enrol", "identify_photo": "Roll",
                   "list_galleries": "List", "delete_gallery": "Delete"},
    "image_bytes_max": 10_000_000, "image_side_max_px": 10_000, "image_formats": ["JPEG", "PNG"],
    "face_side_min_px": 1, "score_scale": [0.0, 1.0], "candidates_max": 1000,
    "faces_per_person_max": 1000, "enrolment_is_idempotent": True,
})  # fmt: skip


class DiceProvider(Provider):
    service_model, account = "dice-1", "dice"  # what reports show; whose calls are paced together

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)  # gallery / person / tag of a photo

    @classmethod
    def describe(cls, gallery: str | None = None) -> Capabilities:  # noqa: ARG003 - has one kind
        return DICE

    def create_gallery(self, gallery: str) -> None:
        (self._folder / gallery).mkdir()

    def enrol(self, gallery: str, person_id: str, photo: bytes, tag: str) -> EnrolledFace:  # noqa: ARG002 - never looks
        (self._folder / gallery / person_id).mkdir(exist_ok=True)
        (self._folder / gallery / person_id / tag).touch()
        return EnrolledFace(tag)

    def identify_photo(
        self, gallery: str, photo: bytes, threshold: float, candidates: int
    ) -> list[Candidate]:
        ids = [person.name for person in (self._folder / gallery).iterdir()]
        rolls = sorted(((Random(who.encode() + photo).random(), who) for who in ids), reverse=True)
        return [Candidate(who, roll, roll) for roll, who in rolls[:candidates] if roll >= threshold]

    def list_galleries(self) -> list[str]:
        return [gallery.name for gallery in self._folder.iterdir()]

    def delete_gallery(self, gallery: str) -> None:
        shutil.rmtree(self._folder / gallery)

    def classify(self, error: Exception) -> Failure:
        code = type(error).__name__
        kinds = {"FileExistsError": FailureKind.CONFLICT, "FileNotFoundError": FailureKind.ABSENT}
        return Failure(kinds.get(code, FailureKind.FATAL), code, str(error))
