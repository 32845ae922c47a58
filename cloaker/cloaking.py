"""People and files: from one person's photos to cloaked PNGs with their figures."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audit.errors import UserError
from audit.types import Cloak, CloakedPhoto, Photo, content_hash
from cloaker.batch import Batch, Change, Outcome, Recipe, Task, cloak_batch
from cloaker.cache import CLOAKS, EMBEDDINGS, Cache
from cloaker.embeddings import EmbeddingCache
from cloaker.known_faces import KnownFaces
from cloaker.levels import row_of
from cloaker.networks.base import EmbeddingNetwork
from cloaker.pasting import Carried
from cloaker.people import People
from cloaker.survey import Read

_CODE_VERSION = 8  # raised whenever the same inputs give other bytes
_BATCH = {"cpu": 16, "cuda": 64}
_FACES = ("largest", "all", "reference")

Progress = Callable[[int, int], None]
Work = Callable[[Recipe, Iterable[Batch], Callable[[int], None]], Iterator[Outcome]]
"""Cloaks batches, here or elsewhere, and yields each photo's outcome as soon as it is there."""


@dataclass(frozen=True, slots=True)
class Cloaking:
    """The outcome for one person: every photo is in one of the two, in the order given.

    A failure is a photo and the reason why it can't be cloaked.
    """

    cloaked: tuple[CloakedPhoto, ...]
    failures: tuple[tuple[Photo, str], ...]


def cloak_here(
    recipe: Recipe, batches: Iterable[Batch], on_step: Callable[[int], None]
) -> Iterator[Outcome]:
    """Cloak batches in this process, one after the other."""
    for batch in batches:
        yield from cloak_batch(recipe, batch, on_step)


def cloak_photos(  # noqa: PLR0913 - the one door to this room: all that a cloak depends on
    cloak: Cloak,
    networks: Sequence[EmbeddingNetwork],
    photos: Sequence[Photo],
    candidates: Mapping[str, Sequence[Photo]],
    *,
    only: Sequence[Photo] | None = None,
    read: Read,
    faces: KnownFaces,
    out: Path,
    cache: Path,
    carried: Callable[[Photo], Carried] | None = None,
    names: Mapping[str, str] | None = None,
    judges: Sequence[EmbeddingNetwork] = (),
    text: Mapping[str, str] | None = None,
    work: Work = cloak_here,
    on_progress: Progress = lambda _done, _of: None,
) -> Cloaking:
    """Cloak the faces of one person's photos into `out`, each written when it is finished.

    With `only`, some of the photos: each as it is cloaked among all of them.
    `networks`, `read`, `carried`, `judges` and `text` are those of `Recipe`; `candidates` are the
    people to cloak towards. `names` holds file names by photo hash, else they are <hash>.png. The
    cloak is computed on the networks' device, by `work`. What was cloaked alike before comes from
    the folder `cache`. `on_progress` hears how many steps are done, of how many, a photo's steps
    each counted. A photo that can't be cloaked is a failure and the rest goes on. Raises UserError
    for a system that isn't known, and when no candidate shows a face but one is needed.
    """
    _refuse_unknown_faces(cloak)
    store = Cache(cache / CLOAKS)
    recipe = Recipe(cloak, networks, judges, text or {}, read, carried)
    chosen = photos if only is None else only
    steps = _Steps(len(chosen), int(cloak.parameters["steps"]), on_progress)
    known = People(cloak, networks, faces, read, EmbeddingCache(cache / EMBEDDINGS))
    order = _Order(recipe, photos, candidates, out, names or {}, store, known, steps)
    done: dict[str, CloakedPhoto | str] = dict(order.reused(chosen))
    done.update(order.made([photo for photo in chosen if photo.sha256 not in done], work))
    outcomes = [(photo, done[photo.sha256]) for photo in chosen]
    return Cloaking(
        tuple(outcome for _, outcome in outcomes if isinstance(outcome, CloakedPhoto)),
        tuple((photo, outcome) for photo, outcome in outcomes if isinstance(outcome, str)),
    )


def _refuse_unknown_faces(cloak: Cloak) -> None:
    which = cloak.parameters["faces"]
    if which not in _FACES:
        raise UserError(f"faces={which} can't be", expected=f"faces= {', '.join(_FACES)}")


@dataclass(slots=True)
class _Steps:
    """Counts the steps of all photos, for the progress bar."""

    photos: int
    each: int
    tell: Progress
    finished: int = 0
    on_the_way: int = 0
    told: int = 0

    def take(self, faces: int) -> None:
        """Count one step of some faces of photos that aren't finished."""
        self.on_the_way += faces
        self._tell()

    def finish(self, faces: int) -> None:
        """Count a photo as finished, however many of its steps were taken."""
        self.finished += 1
        self.on_the_way = max(0, self.on_the_way - faces * self.each)
        self._tell()

    def _tell(self) -> None:
        total = self.photos * self.each
        now = min(self.finished * self.each + self.on_the_way, total)
        if now > self.told:
            self.told = now
            self.tell(now, total)


@dataclass(frozen=True, slots=True)
class _Order:
    """One call of `cloak_photos`."""

    recipe: Recipe
    photos: Sequence[Photo]
    candidates: Mapping[str, Sequence[Photo]]
    out: Path
    names: Mapping[str, str]
    cache: Cache
    people: People
    steps: _Steps

    def reused(self, photos: Sequence[Photo]) -> Iterator[tuple[str, CloakedPhoto]]:
        """Put the photos that were cloaked alike before into the folder; yield their records."""
        for photo in photos:
            if record := self.cache.get_photo(self._key(photo), self._file(photo)):
                self.steps.finish(faces=0)
                yield photo.sha256, self._named(record, photo)

    def made(self, photos: Sequence[Photo], work: Work) -> Iterator[tuple[str, CloakedPhoto | str]]:
        """Cloak photos batch by batch; yield each one's record, or why it has none.

        The last digit of a network's output depends on how many faces it is given. So a person's
        photos are always divided alike, and a batch of which any photo is wanted is done whole.
        """
        if not photos:
            return
        tasks, faceless = self.people.tasks(self.photos, self.photos, self.candidates)
        wanted = {photo.sha256: photo for photo in photos}
        for sha256 in wanted.keys() & faceless.keys():
            self.steps.finish(faces=0)
            yield sha256, faceless[sha256]
        size = _BATCH.get(self.people.device.type, _BATCH["cpu"])
        batches = [
            batch
            for batch in _batches(tasks, size)
            if any(faces[0].photo.sha256 in wanted for faces in batch)
        ]
        counts = {faces[0].photo.sha256: len(faces) for batch in batches for faces in batch}
        recalled = (list(map(self._recalled, batch)) for batch in batches)
        for sha256, made in work(self.recipe, recalled, self.steps.take):
            if sha256 not in wanted:
                continue
            photo = wanted[sha256]
            if isinstance(made, str):
                yield sha256, made
            else:
                self._keep(photo, made.changes)
                kept = self.cache.put_photo(
                    self._key(photo), made.record, made.png, self._file(photo)
                )
                yield sha256, self._named(kept, photo)
            self.steps.finish(counts[sha256])

    def _keep(self, photo: Photo, changes: Sequence[Change]) -> None:
        """Keep a photo's changes for the cloaks that differ in late parameters alone."""
        if changes:
            steps = np.array([change.steps for change in changes])
            pixels = [change.pixels.numpy() for change in changes]
            self.cache.put_arrays(self._optimised_key(photo), [steps, *pixels])

    def _recalled(self, faces: Sequence[Task]) -> Sequence[Task]:
        """Return a photo's faces, each with its change where those are kept."""
        kept = self.cache.get_arrays(self._optimised_key(faces[0].photo))
        if kept is None:
            return faces
        taken, *pixels = kept
        return [
            replace(task, change=Change(torch.from_numpy(change), steps))
            for task, change, steps in zip(faces, pixels, taken.tolist(), strict=True)
        ]

    def _named(self, record: CloakedPhoto, photo: Photo) -> CloakedPhoto:
        return replace(record, person=photo.person, file=self._file(photo).name)

    def _file(self, photo: Photo) -> Path:
        return self.out / self.names.get(photo.sha256, f"{photo.sha256}.png")

    def _key(self, photo: Photo) -> str:
        # Everything that shapes the file's bytes.
        return content_hash(
            {
                **self._shaping(photo, self.recipe.cloak),
                "text": dict(self.recipe.text),
                "carried": self.recipe.carried is not None,
            }
        )

    def _optimised_key(self, photo: Photo) -> str:
        cloak = self.recipe.cloak
        late = row_of(cloak.system).load().late
        early = {name: value for name, value in cloak.parameters.items() if name not in late}
        return content_hash(self._shaping(photo, replace(cloak, level="", parameters=early)))

    def _shaping(self, photo: Photo, cloak: Cloak) -> dict[str, Any]:
        return {
            "cloak": [_CODE_VERSION, cloak.id],
            "survey": self.people.settings,
            "photo": photo.sha256,
            "person": _hashes(self.photos),
            "candidates": {name: _hashes(people) for name, people in self.candidates.items()},
        }


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
