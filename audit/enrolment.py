"""Filling galleries: people, their faces, training; and how a lost answer is recovered.

What the service may have done without telling is asked for, never guessed: nobody is enrolled
twice. Where the service itself stores the same enrolment once, it is simply sent again.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from audit.calls import Call, CallRow, CallState
from audit.execution import Answer, CallFailed, Executor
from audit.expansion import SHARED, person_tag
from audit.sending import Sender
from providers.base import EXPIRED, Failure, FailureKind, RemotePerson, TrainingState


class Enrolment:
    """The verbs that fill a gallery, and what they have put there so far."""

    def __init__(self, executor: Executor, sender: Sender, run_id: str) -> None:
        self._executor = executor
        self._provider = executor.provider
        self._ledger = executor.ledger
        self._sender = sender
        self._run_id = run_id
        self._people: dict[tuple[str, str], str] = {}
        self._faces: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        self._person_of: dict[str, str] = {}
        self._refused = set[tuple[str, str]]()
        for verb in ("add_person", "enrol", "attach"):
            for row in self._ledger.calls(verb=verb, state=CallState.DONE):
                self._note(row, row.result)
        self.steps: Mapping[str, Callable[[CallRow], None]] = {
            "create_gallery": self._create_gallery,
            "add_person": self._add_person,
            "enrol": self._enrol,
            "attach": self._attach,
            "label": self._label,
            "train": self._train,
            "training_state": self._await_training,
        }

    def person_id(self, arm: str, person: str) -> str:
        """Return under which id a person is enrolled in an arm, or for all arms."""
        where = self._arm_of(arm, person)
        if self._provider.capabilities.has("add_person"):
            return self._people[where, person]
        return person_tag(self._run_id, person, where)

    def faces_of(self, arm: str, person: str) -> dict[str, str]:
        """Return the face ids of everything that is enrolled of a person, in order, by photo."""
        where = self._arm_of(arm, person)
        return {
            photo: face
            for photo, face in self._faces[where, person].items()
            if (where, photo) not in self._refused
        }

    def face_ids(self, arm: str, photos: Sequence[str]) -> list[str]:
        """Return the face ids of those of some photos that are enrolled in an arm."""
        known = (self._face(arm, photo) for photo in photos)
        return [face for face in known if face]

    def expected(self, arm: str) -> tuple[set[str], set[str]]:
        """Return which faces must be in an arm's gallery, and which may be there besides.

        Those refused when they were attached may be, since services differ in that.
        """
        must, may = set[str](), set[str]()
        for (where, _), faces in list(self._faces.items()):
            if where in (arm, SHARED):
                for photo, face in faces.items():
                    (may if (where, photo) in self._refused else must).add(face)
        return must, may

    def _arm_of(self, arm: str, person: str) -> str:
        """Return where a person's faces are: in the arm itself, or enrolled for all arms."""
        return SHARED if self._faces.get((SHARED, person)) else arm

    def _face(self, arm: str, photo: str) -> str | None:
        person = self._person_of.get(photo, "")
        return self._faces[arm, person].get(photo)

    def _note(self, row: CallRow, answer: Answer) -> None:
        """Remember what an answer says about the gallery."""
        call = row.call
        if call.verb == "add_person":
            self._people[call.arm, call.person] = answer["person_id"]
        elif call.verb == "enrol":
            self._faces[call.arm, call.person][call.photos[0]] = answer["face_id"]
            self._person_of[call.photos[0]] = call.person
        elif call.verb == "attach":
            self._refused |= {(call.arm, photo) for photo in answer["refused"]}

    def _perform(
        self,
        row: CallRow,
        send: Callable[[], Answer],
        find: Callable[[], Answer | None] = lambda: None,
    ) -> None:
        answer = self._executor.perform(row, send, find)
        if answer is not None:
            self._note(row, answer)

    def _create_gallery(self, row: CallRow) -> None:
        gallery = row.call.gallery

        def send() -> Answer:
            self._provider.create_gallery(gallery)
            return {}

        self._unless_there(row, send, {})
        self._ledger.set_gallery(gallery, "created")

    def _add_person(self, row: CallRow) -> None:
        call = row.call
        tag = person_tag(self._run_id, call.person, call.arm)

        def send() -> Answer:
            return {"person_id": self._provider.add_person(call.gallery, tag)}

        def find() -> Answer | None:
            held = next((person for person in self._everyone(row) if person.tag == tag), None)
            return {"person_id": held.id} if held else None

        if self._provider.capabilities.lists_people:
            self._unless_there(row, send, {"person_id": tag}, find)
        else:  # a person without faces can't be seen there, but is refused if there already
            self._unless_there(row, send, {"person_id": tag})

    def _unless_there(
        self,
        row: CallRow,
        send: Callable[[], Answer],
        there: Answer,
        find: Callable[[], Answer | None] = lambda: None,
    ) -> None:
        """Create something; `there` is the answer when it exists already under our own id."""
        with self._ledger.together():
            try:
                self._perform(row, send, find)
            except CallFailed as failed:
                if failed.failure.kind is not FailureKind.CONFLICT:
                    raise
                self._executor.settle(row, there)
                self._note(row, there)

    def _enrol(self, row: CallRow) -> None:
        call = row.call
        (photo,) = call.photos
        person_id = self.person_id(call.arm, call.person)

        def send() -> Answer:
            data = self._sender.photo(call.arm, photo)
            face = self._provider.enrol(call.gallery, person_id, data, photo)
            return {"face_id": face.id, "note": face.note}

        def find() -> Answer | None:
            known = set(self._faces[call.arm, call.person].values())
            unclaimed = self._faces_held(row, person_id) - known
            return {"face_id": unclaimed.pop(), "note": ""} if unclaimed else None

        if self._provider.capabilities.enrolment_is_idempotent:
            self._perform(row, send)
        else:
            self._perform(row, send, find)

    def _everyone(self, row: CallRow) -> list[RemotePerson]:
        """Ask the service whom it holds; each question is a call of its own in the ledger."""
        people: list[RemotePerson] = []
        start = ""

        def send() -> Answer:
            nonlocal start
            page = self._provider.list_gallery(row.call.gallery, start)
            people.extend(page.people)
            start = page.next
            return {"people": len(page.people), "next": page.next}

        while True:
            self._executor.perform(self._extra(row.call, "list_gallery", ()), send)
            if not start:
                return people

    def _faces_held(self, row: CallRow, person_id: str) -> set[str]:
        held: set[str] = set()

        def send() -> Answer:
            held.update(self._provider.list_faces(row.call.gallery, person_id))
            return {"faces": len(held)}

        self._executor.perform(self._extra(row.call, "list_faces", ()), send)
        return held

    def _extra(self, call: Call, verb: str, photos: tuple[str, ...]) -> CallRow:
        operation = self._provider.capabilities.operations[verb]
        return self._ledger.append(
            replace(call, verb=verb, operation=operation, photos=photos, repeat=0)
        )

    def _attach(self, row: CallRow) -> None:
        """Attach a batch; faces whose ids have expired are enrolled again."""
        expired = self._attach_once(row)
        for photo in expired:
            again = replace(row.call, person=self._person_of[photo])
            self._enrol(self._extra(again, "enrol", (photo,)))
        if expired and self._attach_once(row):
            raise CallFailed(Failure(FailureKind.ABSENT, EXPIRED, "a face id expired at once"))

    def _attach_once(self, row: CallRow) -> list[str]:
        """Attach what is enrolled of a batch; return the photos whose face ids have expired."""
        call = row.call
        faces = {face: photo for photo in call.photos if (face := self._face(call.arm, photo))}
        person_id = self.person_id(call.arm, call.person) if call.person else ""
        expired: list[str] = []
        if not faces:
            self._ledger.set_state(row.seq, CallState.SKIPPED)
            return expired

        def send() -> Answer:
            refused = self._provider.attach(call.gallery, person_id, list(faces))
            expired.extend(faces[face] for face in refused if refused[face] == EXPIRED)
            if expired:
                raise CallFailed(Failure(FailureKind.ABSENT, EXPIRED, "a face id has expired"))
            return {"refused": {faces[face]: reason for face, reason in refused.items()}}

        try:
            self._perform(row, send)
        except CallFailed:
            if not expired:
                raise
        return expired

    def _label(self, row: CallRow) -> None:
        call = row.call
        face = self.faces_of(call.arm, call.person).get(call.photos[0])
        if face is None:
            self._ledger.set_state(row.seq, CallState.SKIPPED)
            return

        def send() -> Answer:
            self._provider.label(call.gallery, face, self.person_id(call.arm, call.person))
            return {}

        self._perform(row, send)

    def _train(self, row: CallRow) -> None:
        def send() -> Answer:
            self._provider.train(row.call.gallery)
            return {}

        self._perform(row, send)

    def _await_training(self, row: CallRow) -> None:
        def send() -> Answer:
            state = self._provider.training_state(row.call.gallery)
            if state is TrainingState.RUNNING:
                raise CallFailed(Failure(FailureKind.BUSY, "training", "training still runs"))
            if state is TrainingState.FAILED:
                raise CallFailed(Failure(FailureKind.QUOTA, "training", "training has failed"))
            return {"state": state}

        self._perform(row, send)
