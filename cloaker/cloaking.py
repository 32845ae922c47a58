"""People and files: from one person's photos to cloaked PNGs with their figures."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from audit.errors import UserError
from audit.types import Cloak, CloakedPhoto, Photo, Targets, content_hash
from cloaker.attack import optimise
from cloaker.cache import Cache
from cloaker.fawkes import Fawkes03, aim
from cloaker.known_faces import KnownFaces
from cloaker.networks.base import EmbeddingNetwork
from cloaker.pasting import decode_png, encode_png, measure
from cloaker.region import FaceRegion, Regions
from cloaker.survey import UNREADABLE, Located, Read, Surveyor, unreadable
from cloaker.targets import farthest

_CODE_VERSION = 2  # raised whenever the same inputs give other pixels
_BATCH = {"cpu": 16, "cuda": 64}
_TURN_PER_PX = 0.0125  # a landmark 80 pixels from the others, off by one: radians, and scale

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
    network: EmbeddingNetwork,
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
    """Cloak the largest face of each photo of one person into `out`, as <source's sha256>.png.

    `candidates` are the people to cloak towards; `read` returns a photo's upright RGB pixels,
    uint8 height x width x 3; `text` goes into the PNGs. The cloak is computed on the network's
    device. What was cloaked alike before comes from the folder `cache`. `on_progress` hears how
    many steps are done, of how many, a photo's steps each counted. A photo that can't be cloaked
    is a failure and the rest goes on. Raises UserError for a system that isn't known, and
    when no candidate shows a face.
    """
    if cloak.system != "fawkes-0.3":
        raise UserError(f"unknown cloaking system {cloak.system!r}", expected="fawkes-0.3")
    store = Cache(cache)
    surveyor = Surveyor(network, faces, read, store)
    steps = _Steps(len(photos), int(cloak.parameters["steps"]), on_progress)
    order = _Order(
        cloak, network, photos, candidates, read, out, store, surveyor, text or {}, steps
    )
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
        self.tell(self.done, self.photos * self.each)


@dataclass(frozen=True, slots=True)
class _Task:
    """A photo to be cloaked: its face, and the person and the embedding to push it to."""

    photo: Photo
    face: Located
    target: str
    aim: Tensor


@dataclass(frozen=True, slots=True)
class _Order:
    """One call of `cloak_photos`."""

    cloak: Cloak
    network: EmbeddingNetwork
    photos: Sequence[Photo]
    candidates: Mapping[str, Sequence[Photo]]
    read: Read
    out: Path
    cache: Cache
    surveyor: Surveyor
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
        faces = self.surveyor.survey(photos)
        self.steps.add((len(self.photos) - len(photos)) * self.steps.each)
        located = []
        for photo in photos:
            face = faces[photo.sha256]
            if isinstance(face, Located):
                located.append((photo, face))
            else:
                self.steps.add(self.steps.each)
                yield photo.sha256, face
        if not located:
            return
        tasks = self._aimed(located)
        size = _BATCH.get(self.surveyor.device.type, _BATCH["cpu"])
        for start in range(0, len(tasks), size):
            yield from self._batch(tasks[start : start + size])

    def _aimed(self, located: Sequence[tuple[Photo, Located]]) -> list[_Task]:
        everyone = {name: self._embeddings(people) for name, people in self.candidates.items()}
        candidates = {name: faces for name, faces in everyone.items() if len(faces)}
        if self.cloak.targets is Targets.SAME:
            own = self._embeddings(self.photos)
            target = farthest(own, candidates)
            means = own.mean(dim=0), candidates[target].mean(dim=0)
            return [
                _Task(photo, face, target, aim(face.embedding, *means)) for photo, face in located
            ]
        return [self._aimed_alone(photo, face, candidates) for photo, face in located]

    def _aimed_alone(self, photo: Photo, face: Located, candidates: Mapping[str, Tensor]) -> _Task:
        own = face.embedding
        target = farthest(own[None], candidates)
        return _Task(photo, face, target, aim(own, own, candidates[target].mean(dim=0)))

    def _embeddings(self, photos: Sequence[Photo]) -> Tensor:
        faces = self.surveyor.survey(photos).values()
        found = [face.embedding for face in faces if isinstance(face, Located)]
        return torch.stack(found) if found else torch.empty(0)

    def _batch(self, tasks: Sequence[_Task]) -> Iterator[tuple[str, CloakedPhoto | str]]:
        start = time.monotonic()
        ready: list[tuple[_Task, FaceRegion]] = []
        for task in tasks:
            try:
                ready.append((task, self._region(task)))
            except UNREADABLE as error:
                self.steps.add(self.steps.each)
                yield task.photo.sha256, unreadable(error)
        if not ready:
            return
        changes = self._changes(*zip(*ready, strict=True))
        share_s = (time.monotonic() - start) / len(ready)
        for (task, region), change in zip(ready, changes, strict=True):
            yield task.photo.sha256, self._saved(task, region, change, share_s)

    def _region(self, task: _Task) -> FaceRegion:
        pixels = self.read(task.photo)
        return FaceRegion(pixels, task.face.matrix, self.network.crop, self.surveyor.device)

    def _changes(self, tasks: Sequence[_Task], faces: Sequence[FaceRegion]) -> list[Tensor]:
        """Return the change of each face's working region, 3 x height x width."""
        parameters = self.cloak.parameters
        regions = Regions(faces, self.network.crop)
        aims = torch.stack([task.aim for task in tasks])
        wobbles = iter(self._wobbles(tasks).to(regions.clean))
        best = optimise(
            Fawkes03(regions.clean, aims, regions.mask, parameters),
            lambda pictures: self.network(regions.crops(pictures, next(wobbles))),
            regions.clean,
            budget=float(parameters["budget"]),
            steps=self.steps.each,
            visibility=regions.visibility,
            on_step=lambda: self.steps.add(len(faces)),
        )
        return regions.parts(best.faces - regions.clean)

    def _wobbles(self, tasks: Sequence[_Task]) -> Tensor:
        """Return how far off each alignment of each step is, steps + 1 x N x 4 (see `Regions`).

        A photo's wobbles depend on the seed and the photo, not on its batch mates.
        """
        size_px = float(self.cloak.parameters["wobble_px"])
        spread = torch.tensor([_TURN_PER_PX, _TURN_PER_PX, 1, 1]) * size_px
        drawn = []
        for task in tasks:
            seed = int(content_hash([self.cloak.seed, task.photo.sha256])[:12], 16)
            generator = torch.Generator().manual_seed(seed)
            drawn.append(torch.randn(self.steps.each + 1, 4, generator=generator) * spread)
        return torch.stack(drawn, dim=1)

    def _saved(
        self, task: _Task, face: FaceRegion, change: Tensor, optimising_s: float
    ) -> CloakedPhoto | str:
        start = time.monotonic()
        try:
            source = self.read(task.photo)
        except UNREADABLE as error:
            return unreadable(error)
        budget = float(self.cloak.parameters["budget"])
        png = encode_png(face.put(source, face.changed(change, budget)), self.text)
        record = CloakedPhoto(
            source_sha256=task.photo.sha256,
            cloaked_sha256=hashlib.sha256(png).hexdigest(),
            person=task.photo.person,
            file=self._file(task.photo).name,
            system=self.cloak.system,
            level=self.cloak.level,
            seed=self.cloak.seed,
            target=task.target,
            steps=int(self.cloak.parameters["steps"]),
            budget=budget,
            seconds=optimising_s + time.monotonic() - start,
            **asdict(measure(source, decode_png(png), face, self.network)),
        )
        self.cache.put_photo(self._key(task.photo), record, png)
        self.cache.get_photo(self._key(task.photo), self._file(task.photo))
        return record

    def _file(self, photo: Photo) -> Path:
        return self.out / f"{photo.sha256}.png"

    def _key(self, photo: Photo) -> str:
        # Everything that shapes the file's bytes.
        return content_hash(
            {
                "cloak": [_CODE_VERSION, self.cloak.id],
                "survey": self.surveyor.settings,
                "photo": photo.sha256,
                "person": _hashes(self.photos),
                "candidates": {name: _hashes(people) for name, people in self.candidates.items()},
                "text": dict(self.text),
            }
        )


def _hashes(photos: Sequence[Photo]) -> list[str]:
    return sorted(photo.sha256 for photo in photos)
