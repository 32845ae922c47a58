"""One gallery for all arms: its content checked before an arm is probed, people taken out after."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from audit.calls import CallRow, CallState
from audit.enrolment import Enrolment
from audit.execution import Answer, CallFailed, Executor
from providers.base import Failure, FailureKind


class Exchange:
    """The verbs that look into a gallery and take people out of it."""

    def __init__(self, executor: Executor, enrolment: Enrolment) -> None:
        self._executor = executor
        self._provider = executor.provider
        self._ledger = executor.ledger
        self._enrolment = enrolment
        self._pages: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self._ledger.calls(verb="list_gallery", state=CallState.DONE):
            if not row.call.person:
                self._pages[row.call.arm].append(row.result)
        self.steps: Mapping[str, Callable[[CallRow], None]] = {
            "list_gallery": self._check,
            "remove_person": self._remove_person,
            "remove_faces": self._remove_faces,
        }

    def _check(self, row: CallRow) -> None:
        """Read a page of the gallery; with the last one, compare it all with what was enrolled.

        A question about one person is one that a run asked before it died: nobody waits for it.
        """
        pages = self._pages[row.call.arm]
        if row.call.person or (pages and not pages[-1]["next"]):
            self._ledger.set_state(row.seq, CallState.SKIPPED)
            return
        self._read_page(row)
        if pages[-1]["next"] and row.call.repeat + 1 == self._planned_pages(row):
            self._check(self._ledger.append(row.call))

    def _read_page(self, row: CallRow) -> None:
        pages = self._pages[row.call.arm]

        def send() -> Answer:
            start = pages[-1]["next"] if pages else ""
            page = self._provider.list_gallery(row.call.gallery, start)
            faces = [face for person in page.people for face in person.face_ids]
            answer = {"face_ids": faces, "next": page.next}
            if not page.next:
                self._compare(row.call.arm, {*faces, *_faces(pages)})
            return answer

        answer = self._executor.perform(row, send)
        if answer is not None:
            pages.append(answer)

    def _planned_pages(self, row: CallRow) -> int:
        rows = self._ledger.calls(arm=row.call.arm, verb="list_gallery")
        return sum(not other.call.person for other in rows)

    def _compare(self, arm: str, held: set[str]) -> None:
        """Stop the run if a gallery is not what the plan says: its answers would mean nothing."""
        must, may = self._enrolment.expected(arm)
        missing, foreign = len(must - held), len(held - must - may)
        if missing or foreign:
            message = (
                f"the gallery lacks {missing} faces that this run enrolled and holds {foreign} "
                "that it did not"
            )
            raise CallFailed(Failure(FailureKind.QUOTA, "another content", message))

    def _remove_person(self, row: CallRow) -> None:
        call = row.call

        def send() -> Answer:
            person_id = self._enrolment.person_id(call.arm, call.person)
            self._provider.remove_person(call.gallery, person_id)
            return {}

        self._unless_gone(row, send)

    def _remove_faces(self, row: CallRow) -> None:
        call = row.call
        faces = self._enrolment.face_ids(call.arm, call.photos)
        if not faces:
            self._ledger.set_state(row.seq, CallState.SKIPPED)
            return

        def send() -> Answer:
            self._provider.remove_faces(call.gallery, faces)
            return {}

        self._unless_gone(row, send)

    def _unless_gone(self, row: CallRow, send: Callable[[], Answer]) -> None:
        """Remove something; what is gone already was removed by an earlier attempt."""
        with self._ledger.together():
            try:
                self._executor.perform(row, send)
            except CallFailed as failed:
                if failed.failure.kind is not FailureKind.ABSENT:
                    raise
                self._executor.settle(row, {})


def _faces(pages: list[Mapping[str, Any]]) -> set[str]:
    return {face for page in pages for face in page["face_ids"]}
