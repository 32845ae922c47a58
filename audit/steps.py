"""What each verb of the plan does, and how a lost answer to it is recovered.

A step sends what the plan says, with the ids that the service gave to earlier steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from audit.execution import Answer, CallFailed, Executor
from audit.ledger import CallRow, CallState
from audit.types import Candidate, content_hash
from providers.base import Failure, FailureKind, RemoteItem, TrainingState

Item = TypeVar("Item")


class PhotoBytes(Protocol):
    """The bytes to upload for a photo in an arm: the cloaked file's or the original's."""

    def __call__(self, arm: str, sha256: str) -> bytes:
        """Return file bytes that are within the service's limits."""
        ...


class Steps:
    """Carries out the planned calls of one run."""

    def __init__(
        self,
        executor: Executor,
        photo_bytes: PhotoBytes,
        *,
        run_id: str,
        threshold: float,
        candidates: int,
    ) -> None:
        self._executor = executor
        self._provider = executor.provider
        self._ledger = executor.ledger
        self._bytes = photo_bytes
        self._run_id = run_id
        self._threshold = threshold
        self._candidates = candidates
        self._person_ids = self._answers("add_person", "person_id", lambda row: row.call.person)
        self._face_ids = self._answers("detect", "face_id", lambda row: row.call.photos[0])
        self._steps: Mapping[str, Callable[[CallRow], None]] = {
            "create_gallery": self._create_gallery,
            "add_person": self._add_person,
            "enrol": self._enrol,
            "train": self._train,
            "training_state": self._await_training,
            "detect": self._detect,
            "identify": self._identify,
            "verify": self._verify,
            "list_people": self._skip,
            "list_faces": self._skip,
        }

    def carry_out(self, row: CallRow) -> None:
        """Make one planned call, or skip it where an earlier answer made it pointless."""
        self._steps[row.call.verb](row)

    def person_tag(self, person: str) -> str:
        """Return the pseudonym under which a person is enrolled: no name leaves the machine."""
        return content_hash([self._run_id, person])[:16]

    def _answers(
        self, verb: str, key: str, subject: Callable[[CallRow], str]
    ) -> dict[tuple[str, str], str]:
        rows = self._ledger.calls(verb=verb, state=CallState.DONE)
        return {(row.call.arm, subject(row)): row.result[key] for row in rows}

    def _create_gallery(self, row: CallRow) -> None:
        gallery = row.call.gallery

        def send() -> Answer:
            self._provider.create_gallery(gallery)
            return {}

        try:
            self._executor.perform(row, send)
        except CallFailed as failed:
            if failed.failure.kind is not FailureKind.CONFLICT:
                raise
            self._ledger.set_state(row.seq, CallState.DONE)
        self._ledger.set_gallery(gallery, "created")

    def _add_person(self, row: CallRow) -> None:
        call = row.call
        tag = self.person_tag(call.person)

        def send() -> Answer:
            return {"person_id": self._provider.add_person(call.gallery, tag)}

        def find() -> Answer | None:
            people: Sequence[RemoteItem] = self._ask(
                row, "list_people", lambda: self._provider.list_people(call.gallery)
            )
            held = next((item for item in people if item.tag == tag), None)
            return {"person_id": held.id} if held else None

        answer = self._executor.perform(row, send, find)
        if answer:
            self._person_ids[call.arm, call.person] = answer["person_id"]

    def _enrol(self, row: CallRow) -> None:
        call = row.call
        (photo,) = call.photos
        person_id = self._person_ids[call.arm, call.person]

        def send() -> Answer:
            data = self._bytes(call.arm, photo)
            return {"face_id": self._provider.enrol(call.gallery, person_id, data, photo)}

        def find() -> Answer | None:
            faces: Sequence[str] = self._ask(
                row, "list_faces", lambda: self._provider.list_faces(call.gallery, person_id)
            )
            unclaimed = set(faces) - self._enrolled_faces(call.arm, call.person)
            return {"face_id": unclaimed.pop()} if unclaimed else None

        self._executor.perform(row, send, find)

    def _enrolled_faces(self, arm: str, person: str) -> set[str]:
        """Return the faces of a person whose enrolment was answered."""
        rows = self._ledger.calls(arm=arm, verb="enrol", state=CallState.DONE)
        return {row.result["face_id"] for row in rows if row.call.person == person}

    def _ask(self, row: CallRow, verb: str, ask: Callable[[], Sequence[Item]]) -> list[Item]:
        """Ask the service what it holds; the question is a call of its own in the ledger."""
        operation = self._provider.capabilities.operations[verb]
        extra = self._ledger.append(
            replace(row.call, verb=verb, operation=operation, photos=(), repeat=0)
        )
        items: list[Item] = []

        def send() -> Answer:
            items.extend(ask())
            return {"items": len(items)}

        self._executor.perform(extra, send)
        return items

    def _train(self, row: CallRow) -> None:
        def send() -> Answer:
            self._provider.train(row.call.gallery)
            return {}

        self._executor.perform(row, send)

    def _await_training(self, row: CallRow) -> None:
        def send() -> Answer:
            state = self._provider.training_state(row.call.gallery)
            if state is TrainingState.RUNNING:
                raise CallFailed(Failure(FailureKind.BUSY, "training", "training still runs"))
            if state is TrainingState.FAILED:
                raise CallFailed(Failure(FailureKind.QUOTA, "training", "training has failed"))
            return {"state": state}

        self._executor.perform(row, send)

    def _detect(self, row: CallRow) -> None:
        (photo,) = row.call.photos

        def send() -> Answer:
            return {"face_id": self._provider.detect(self._bytes(row.call.arm, photo))}

        answer = self._executor.perform(row, send)
        if answer:
            self._face_ids[row.call.arm, photo] = answer["face_id"]

    def _identify(self, row: CallRow) -> None:
        call = row.call
        photos = [photo for photo in call.photos if (call.arm, photo) in self._face_ids]
        if not photos:
            self._skip(row)
            return

        def send() -> Answer:
            answers = self._provider.identify(
                call.gallery,
                [self._face_ids[call.arm, photo] for photo in photos],
                self._threshold,
                self._candidates,
            )
            return {
                photo: [_candidate(candidate) for candidate in answer]
                for photo, answer in zip(photos, answers, strict=True)
            }

        self._with_fresh_faces(row, photos, send)

    def _verify(self, row: CallRow) -> None:
        call = row.call
        (photo,) = call.photos
        if (call.arm, photo) not in self._face_ids:
            self._skip(row)
            return

        def send() -> Answer:
            person_id = self._person_ids[call.arm, call.person]
            face_id = self._face_ids[call.arm, photo]
            return _candidate(self._provider.verify(call.gallery, face_id, person_id))

        self._with_fresh_faces(row, [photo], send)

    def _with_fresh_faces(
        self, row: CallRow, photos: list[str], send: Callable[[], Answer]
    ) -> None:
        """Make a call whose short-lived face ids may have expired; then detect them again."""
        try:
            self._executor.perform(row, send)
        except CallFailed as failed:
            if failed.failure.kind is not FailureKind.ABSENT:
                raise
            operation = self._provider.capabilities.operations["detect"]
            for photo in photos:
                again = replace(row.call, verb="detect", operation=operation, photos=(photo,))
                self._detect(self._ledger.append(again))
            self._executor.perform(row, send)

    def _skip(self, row: CallRow) -> None:
        self._ledger.set_state(row.seq, CallState.SKIPPED)


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "person_id": candidate.person_id,
        "score": candidate.score,
        "native_score": candidate.native_score,
    }
