"""People and files: from one person's photos to cloaked PNGs with their figures."""

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from audit.types import Cloak, CloakedPhoto, Photo, content_hash
from cloaker.batch import Change, Task, changes, region_of
from cloaker.cache import Cache
from cloaker.known_faces import KnownFaces
from cloaker.networks.base import EmbeddingNetwork
from cloaker.pasting import decode_png, encode_png, measure
from cloaker.people import People
from cloaker.region import FaceRegion
from cloaker.survey import UNREADABLE, Read, unreadable

_CODE_VERSION = 3  # raised whenever the same inputs give other pixels
_BATCH = {"cpu": 16, "cuda": 64}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Cloaking:
    """The outcome for one person: every photo is in one of the two, in the order given.

    A failure is a photo and the reason why it can't be cloaked.
    """

    cloaked: tuple[CloakedPhoto, ...]
    failures: tuple[tuple[Photo, str], ...]


def cloak_photos(  # noqa: PLR0913 - the one door to this room: all that a cloak depends on
    cloak: Cloak,
    networks: Sequence[EmbeddingNetwork],
    photos: Sequence[Photo],
    candidates: Mapping[str, Sequence[Photo]],
    *,
    read: Read,
    faces: KnownFaces,
    out: Path,
    cache: Path,
    text: Mapping[str, str] | None = None,
    on_progress: Progress = lambda _done, _of: None,
) -> Cloaking:
    """Cloak the faces of one person's photos into `out`, as <source's sha256>.png.

    `networks` are those of the cloak, in order; `candidates` are the people to cloak towards;
    `read` returns a photo's upright RGB pixels, uint8 height x width x 3; `text` goes into the
    PNGs. The cloak is computed on the networks' device. What was cloaked alike before comes from
    the folder `cache`. `on_progress` hears how many steps are done, of how many, a photo's steps
    each counted. A photo that can't be cloaked is a failure and the rest goes on. Raises UserError
    for a system that isn't known, and when no candidate shows a face but one is needed.
    """
    store = Cache(cache)
    steps = _Steps(len(photos), int(cloak.parameters["steps"]), on_progress)
    known = People(cloak, networks, faces, read, store)
    order = _Order(cloak, networks, photos, candidates, read, out, store, known, text or {}, steps)
    done: dict[str, CloakedPhoto | str] = dict(order.reused())
    done.update(order.made([photo for photo in photos if photo.sha256 not in done]))
    outcomes = [(photo, done[photo.sha256]) for photo in photos]
    return Cloaking(
        tuple(outcome for _, outcome in outcomes if isinstance(outcome, CloakedPhoto)),
        tuple((photo, outcome) for photo, outcome in outcomes if isinstance(outcome, str)),
    )


@dataclass(slots=True)
class _Steps:
    """Counts the steps of all photos, for the progress bar."""

    photos: int
    each: int
    tell: Progress
    done: int = 0

    def add(self, steps: int) -> None:
        self.done += steps
        total = self.photos * self.each
        self.tell(min(self.done, total), total)


@dataclass(frozen=True, slots=True)
class _Order:
    """One call of `cloak_photos`."""

    cloak: Cloak
    networks: Sequence[EmbeddingNetwork]
    photos: Sequence[Photo]
    candidates: Mapping[str, Sequence[Photo]]
    read: Read
    out: Path
    cache: Cache
    people: People
    text: Mapping[str, str]
    steps: _Steps

    def reused(self) -> Iterator[tuple[str, CloakedPhoto]]:
        """Put the photos that were cloaked alike before into the folder; yield their records."""
        for photo in self.photos:
            record = self.cache.get_photo(self._key(photo), self._file(photo))
            if record:
                yield photo.sha256, replace(record, person=photo.person)

    def made(self, photos: Sequence[Photo]) -> Iterator[tuple[str, CloakedPhoto | str]]:
        """Cloak photos batch by batch; yield each one's record, or why it has none."""
        self.steps.add((len(self.photos) - len(photos)) * self.steps.each)
        tasks, faceless = self.people.tasks(photos, self.photos, self.candidates)
        for sha256, reason in faceless.items():
            self.steps.add(self.steps.each)
            yield sha256, reason
        size = _BATCH.get(self.people.device.type, _BATCH["cpu"])
        for some in _batches(tasks, size):
            yield from self._batch(some)

    def _batch(self, photos: Sequence[Sequence[Task]]) -> Iterator[tuple[str, CloakedPhoto | str]]:
        """Cloak some photos, each given as its faces."""
        start = time.monotonic()
        ready: list[tuple[Task, FaceRegion]] = []
        for tasks in photos:
            try:
                pixels = self.read(tasks[0].photo)
                ready.extend(
                    (task, region_of(task, pixels, self.cloak, self.networks)) for task in tasks
                )
            except UNREADABLE as error:
                self.steps.add(self.steps.each)
                yield tasks[0].photo.sha256, unreadable(error)
        if not ready:
            return
        tasks, regions = zip(*ready, strict=True)
        made = changes(tasks, regions, self.cloak, self.networks, self.steps.add)
        if saved := sum(self.steps.each - change.steps for change in made):
            self.steps.add(saved)
        share_s = (time.monotonic() - start) / len(ready)
        by_photo: dict[str, list[tuple[Task, Change]]] = {}
        for task, change in zip(tasks, made, strict=True):
            by_photo.setdefault(task.photo.sha256, []).append((task, change))
        for sha256, faces in by_photo.items():
            yield sha256, self._saved(faces, share_s * len(faces))

    def _saved(
        self, faces: Sequence[tuple[Task, Change]], optimising_s: float
    ) -> CloakedPhoto | str:
        start = time.monotonic()
        first, photo = faces[0][0], faces[0][0].photo
        regions = [face.region for _, face in faces]
        try:
            source = self.read(photo)
        except UNREADABLE as error:
            return unreadable(error)
        budget = float(self.cloak.parameters["budget"])
        cloaked = source
        for _, face in faces:
            cloaked = face.region.put(cloaked, face.region.changed(face.pixels, budget))
        png = encode_png(cloaked, self.text)
        record = CloakedPhoto(
            source_sha256=photo.sha256,
            cloaked_sha256=hashlib.sha256(png).hexdigest(),
            person=photo.person,
            file=self._file(photo).name,
            system=self.cloak.system,
            level=self.cloak.level,
            seed=self.cloak.seed,
            target=first.goal.target,
            steps=max(face.steps for _, face in faces),
            budget=budget,
            seconds=optimising_s + time.monotonic() - start,
            **asdict(measure(source, decode_png(png), regions, self.networks)),
        )
        counted = self.cache.put_photo(self._key(photo), record, png, self._file(photo))
        return replace(counted, person=photo.person)

    def _file(self, photo: Photo) -> Path:
        return self.out / f"{photo.sha256}.png"

    def _key(self, photo: Photo) -> str:
        # Everything that shapes the file's bytes.
        return content_hash(
            {
                "cloak": [_CODE_VERSION, self.cloak.id],
                "survey": self.people.settings,
                "photo": photo.sha256,
                "person": _hashes(self.photos),
                "candidates": {name: _hashes(people) for name, people in self.candidates.items()},
                "text": dict(self.text),
            }
        )


def _batches(tasks: Sequence[Task], size: int) -> Iterator[list[list[Task]]]:
    """Yield photos, each as its faces, so many faces at a time; a photo's stay together."""
    batch: list[list[Task]] = []
    for _, faces in itertools.groupby(tasks, key=lambda task: task.photo.sha256):
        photo = list(faces)
        if batch and sum(map(len, batch)) + len(photo) > size:
            yield batch
            batch = []
        batch.append(photo)
    if batch:
        yield batch


def _hashes(photos: Sequence[Photo]) -> list[str]:
    return sorted(photo.sha256 for photo in photos)
