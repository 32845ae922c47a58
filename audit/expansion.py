"""From an experiment to its calls: every one of them, before the first is made.

Calls of a phase may be in flight at once; phases follow one another. Where a service can exchange
one person's faces, all arms share one gallery: the decoys are enrolled once, and each arm enrols
the protected people anew, has the gallery's content checked, probes, and takes them out again.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

from audit.calls import Call, copy_name
from audit.types import Arm, Game, Photo, Split, content_hash
from providers.base import Capabilities

GALLERY_PREFIX = "audit-"
"""Every gallery of ours at a service begins so: `audit purge --all` goes by it."""

SHARED = ""
"""The arm of calls that all arms share."""


@functools.cache
def gallery_name(run_id: str, number: int) -> str:
    """Return a gallery's name: recognisably ours, and legal at every service."""
    return f"{GALLERY_PREFIX}{content_hash(run_id)[:16]}-{number}"


def person_tag(run_id: str, person: str, arm: str) -> str:
    """Return the pseudonym under which a person is enrolled: no name leaves the machine."""
    return content_hash([run_id, person, arm])[:16]


@dataclass(frozen=True, slots=True)
class Service:
    """Whose calls are planned: the provider, what it can do, how probes are verified.

    `fresh` gives each arm a gallery of its own, also where one could be shared.
    """

    provider: str
    capabilities: Capabilities
    verify_photos: int = 1
    fresh: bool = False

    def shares(self, arms: Sequence[Arm]) -> bool:
        """Tell whether arms use one gallery.

        They do where there are several, people can be exchanged, and all have the same decoys.
        """
        can = self.capabilities.has("remove_person") or self.capabilities.has("remove_faces")
        alike = not any(arm.has_own_gallery for arm in arms)
        return can and alike and len(arms) > 1 and not self.fresh


@dataclass(frozen=True, slots=True)
class _Step:
    """A verb, in which arm, whom it concerns, which photos, which of several alike it is."""

    verb: str
    arm: str
    person: str = ""
    photos: tuple[str, ...] = ()
    repeat: int = 0
    gallery: int = 0


People = Sequence[tuple[str, Sequence[Photo]]]
Phase = list[_Step]


def expand(service: Service, run_id: str, arms: Sequence[Arm], split: Split) -> Iterator[Call]:
    """Yield every call of a run in order, those that the service does not know left out."""
    plan = _Plan(service.capabilities, service.verify_photos, split)
    operations = service.capabilities.operations
    phases = plan.shared(arms) if service.shares(arms) else plan.fresh(arms)
    numbers = count()
    for phase in chain(plan.access_check(), phases):
        known = [step for step in phase if step.verb in operations]
        number = next(numbers) if known else 0
        for step in known:
            yield Call(
                provider=service.provider,
                verb=step.verb,
                operation=operations[step.verb],
                arm=step.arm,
                gallery=gallery_name(run_id, step.gallery),
                person=step.person,
                photos=step.photos,
                repeat=step.repeat,
                phase=number,
            )


class _Plan:
    """The phases of a run."""

    def __init__(self, capabilities: Capabilities, verify_photos: int, split: Split) -> None:
        self._capabilities = capabilities
        self._verifications = verify_photos if capabilities.compares_faces else 1
        self._protected: People = list(split.train.items())
        self._decoys: People = list(split.decoy.items())
        self._probes = [photo for photos in split.probe.values() for photo in photos]

    def access_check(self) -> Iterator[Phase]:
        """Yield a first call that is refused to those whom the service has not approved."""
        if self._capabilities.gate_probe:
            yield [self._detection(self._probes[0], SHARED)]

    def fresh(self, arms: Sequence[Arm]) -> Iterator[Phase]:
        """Yield the phases of runs that give each arm a gallery of its own."""
        for number, arm in enumerate(arms):
            phases = chain(
                [[_Step("create_gallery", arm.name)]],
                self._enrolment(_with_copies([*self._protected, *self._decoys], arm), arm.name),
                self._training(arm.name),
                [[self._detection(photo, arm.name) for photo in self._probes]],
                self._questions(arm.name),
            )
            for phase in phases:
                yield [_in_gallery(step, number) for step in phase]

    def shared(self, arms: Sequence[Arm]) -> Iterator[Phase]:
        """Yield the phases of a run whose arms share a gallery.

        Probes are the same in all arms, unless they are what is cloaked.
        """
        evading = arms[0].game is Game.EVADE
        everyone = [*self._protected, *self._decoys]
        yield [_Step("create_gallery", SHARED)]
        yield from self._enrolment(everyone if evading else self._decoys, SHARED)
        if evading:
            yield from self._training(SHARED)
            yield from self._content_check(SHARED)
        else:
            checked = 1 if self._capabilities.gate_probe else 0
            yield [self._detection(photo, SHARED) for photo in self._probes[checked:]]
        for arm in arms:
            if evading:
                yield [self._detection(photo, arm.name) for photo in self._probes]
                yield from self._questions(arm.name)
            else:
                yield from self._enrolment(self._protected, arm.name)
                yield from self._training(arm.name)
                yield from self._content_check(arm.name)
                yield from self._questions(arm.name)
                if arm is not arms[-1]:
                    yield from self._removal(arm.name)

    def _enrolment(self, people: People, arm: str) -> Iterator[Phase]:
        """Yield people, faces, and what joins the faces to gallery and people."""
        photos = [photo for _, own in people for photo in own]
        yield [_Step("add_person", arm, person) for person, _ in people]
        yield [_Step("enrol", arm, photo.person, (photo.sha256,)) for photo in photos]
        yield [
            _Step("attach", arm, person, tuple(photo.sha256 for photo in batch))
            for person, batch in self._batches(people)
        ]
        yield [_Step("label", arm, photo.person, (photo.sha256,)) for photo in photos]

    def _batches(self, people: People) -> Iterator[tuple[str, Sequence[Photo]]]:
        size = self._capabilities.attach_batch
        everyone = [photo for _, own in people for photo in own]
        for person, photos in people if self._capabilities.attaches_by_person else [("", everyone)]:
            for start in range(0, len(photos), size):
                yield person, photos[start : start + size]

    def _training(self, arm: str) -> Iterator[Phase]:
        yield [_Step("train", arm)]
        yield [_Step("training_state", arm)]

    def _content_check(self, arm: str) -> Iterator[Phase]:
        """Yield the pages of the gallery's listing: each tells where the next one starts."""
        people = [*self._protected, *self._decoys]
        size = self._capabilities.list_page
        if self._capabilities.lists_people:
            pages = len(people) // size + 1  # a full page does not tell that it is the last one
        else:
            pages = -(-sum(len(own) for _, own in people) // size)
        for page in range(pages):
            yield [_Step("list_gallery", arm, repeat=page)]

    def _questions(self, arm: str) -> Iterator[Phase]:
        size = self._capabilities.identify_batch
        names = [photo.sha256 for photo in self._probes]
        yield [
            _Step("identify", arm, photos=tuple(names[start : start + size]))
            for start in range(0, len(names), size)
        ]
        yield [
            _Step("identify_photo", arm, photo.person, (photo.sha256,)) for photo in self._probes
        ]
        yield [
            _Step("verify", arm, photo.person, (photo.sha256,), number)
            for photo in self._probes
            for number in range(self._verifications)
        ]

    def _removal(self, arm: str) -> Iterator[Phase]:
        """Yield what takes the protected people out again."""
        yield [_Step("remove_person", arm, person) for person, _ in self._protected]
        size = self._capabilities.remove_batch
        names = [photo.sha256 for _, own in self._protected for photo in own]
        yield [
            _Step("remove_faces", arm, photos=tuple(names[start : start + size]))
            for start in range(0, len(names), size)
        ]

    def _detection(self, photo: Photo, arm: str) -> _Step:
        return _Step("detect", arm, photo.person, (photo.sha256,))


def _with_copies(people: People, arm: Arm) -> People:
    """Return everybody with the copies of their photos that the arm's tracker enrols too."""
    from datasets import transforms

    numbers = range(1 + transforms.copies(arm.transforms))
    return [
        (
            person,
            [replace(p, sha256=copy_name(p.sha256, n)) for p in own for n in numbers],
        )
        for person, own in people
    ]


def _in_gallery(step: _Step, number: int) -> _Step:
    return _Step(step.verb, step.arm, step.person, step.photos, step.repeat, number)
