"""Asking the service who is in a probe: detect, identify, verify."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from audit.calls import CallRow, CallState
from audit.enrolment import Enrolment
from audit.execution import Answer, CallFailed, Executor
from audit.expansion import SHARED
from audit.sending import Sender
from audit.types import Candidate
from providers.base import FailureKind


@dataclass(frozen=True, slots=True)
class Question:
    """What identification asks for: people of at least `threshold` (0..1), so many at most."""

    threshold: float
    candidates: int


class Probing:
    """The verbs that take a probe."""

    def __init__(
        self, executor: Executor, sender: Sender, enrolment: Enrolment, question: Question
    ) -> None:
        self._executor = executor
        self._provider = executor.provider
        self._ledger = executor.ledger
        self._sender = sender
        self._enrolment = enrolment
        self._question = question
        self._face_ids: dict[tuple[str, str], str] = {
            (row.call.arm, row.call.photos[0]): row.result["face_id"]
            for row in self._ledger.calls(verb="detect", state=CallState.DONE)
        }
        self.steps: Mapping[str, Callable[[CallRow], None]] = {
            "detect": self._detect,
            "identify": self._identify,
            "identify_photo": self._identify_photo,
            "verify": self._verify,
        }

    def _detect(self, row: CallRow) -> None:
        (photo,) = row.call.photos

        def send() -> Answer:
            return {"face_id": self._provider.detect(self._sender.photo(row.call.arm, photo))}

        answer = self._executor.perform(row, send)
        if answer:
            self._face_ids[row.call.arm, photo] = answer["face_id"]

    def _identify(self, row: CallRow) -> None:
        call = row.call
        photos = [photo for photo in call.photos if self._face_id(call.arm, photo)]

        def send() -> Answer:
            answers = self._provider.identify(
                call.gallery,
                [self._face_id(call.arm, photo) for photo in photos],
                self._question.threshold,
                self._question.candidates,
            )
            return {
                photo: [_kept(candidate) for candidate in answer]
                for photo, answer in zip(photos, answers, strict=True)
            }

        self._with_fresh_faces(row, photos, send)

    def _identify_photo(self, row: CallRow) -> None:
        call = row.call
        (photo,) = call.photos

        def send() -> Answer:
            candidates = self._provider.identify_photo(
                call.gallery,
                self._sender.photo(call.arm, photo),
                self._question.threshold,
                self._question.candidates,
            )
            return {photo: [_kept(candidate) for candidate in candidates]}

        self._executor.perform(row, send)

    def _face_id(self, arm: str, photo: str) -> str:
        """Return the face id of a probe: the arm's own, the one for all arms, or "" for none."""
        return self._face_ids.get((arm, photo)) or self._face_ids.get((SHARED, photo), "")

    def _verify(self, row: CallRow) -> None:
        """Verify a probe against its person, or against the so-manieth enrolled face of hers."""
        call = row.call
        photos = [photo for photo in call.photos if self._face_id(call.arm, photo)]
        against = self._verified_against(row)
        if against is None:
            self._skip(row)
            return
        enrolled_photo, enrolled_id = against

        def send() -> Answer:
            face_id = self._face_id(call.arm, photos[0])
            score = self._provider.verify(call.gallery, face_id, enrolled_id)
            return asdict(score) | {"enrolled_photo": enrolled_photo}

        self._with_fresh_faces(row, photos, send)

    def _verified_against(self, row: CallRow) -> tuple[str, str] | None:
        call = row.call
        if not self._provider.capabilities.compares_faces:
            return "", self._enrolment.person_id(call.arm, call.person)
        faces = self._enrolment.faces_of(call.arm, call.person)
        return next(islice(faces.items(), call.repeat, None), None)

    def _with_fresh_faces(
        self, row: CallRow, photos: list[str], send: Callable[[], Answer]
    ) -> None:
        """Make a call whose short-lived face ids may have expired; then detect them again."""
        if not photos:
            self._skip(row)
            return
        try:
            self._executor.perform(row, send)
        except CallFailed as failed:
            if failed.failure.kind is not FailureKind.ABSENT:
                raise
            operation = self._provider.capabilities.operations["detect"]
            for photo in photos:
                again = replace(
                    row.call, verb="detect", operation=operation, photos=(photo,), repeat=0
                )
                self._detect(self._ledger.append(again))
            self._executor.perform(row, send)

    def _skip(self, row: CallRow) -> None:
        self._ledger.set_state(row.seq, CallState.SKIPPED)


def _kept(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate for the ledger; `dataclasses.asdict` costs more than all else here."""
    return {
        "person_id": candidate.person_id,
        "score": candidate.score,
        "native_score": candidate.native_score,
        "thresholds": dict(candidate.thresholds),
    }
