"""People and files: from one person's photos to cloaked PNGs with their figures."""

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Required, TypedDict, Unpack

import numpy as np
import torch

from audit.types import Cloak, CloakedPhoto, Photo, content_hash
from cloaker.cache import CLOAKS, EMBEDDINGS, Cache
from cloaker.embeddings import EmbeddingCache
from cloaker.known_faces import KnownFaces
from cloaker.levels import row_of
from cloaker.networks.base import EmbeddingNetwork
from cloaker.pasting import Carried
from cloaker.people import People
from cloaker.pipeline import cloak_here
from cloaker.recipe import Batch, Change, Outcome, Recipe, Task
from cloaker.survey import Read

_CODE_VERSION = 12  # raised whenever the same inputs give other bytes
_BATCH = {"cpu": 8, "cuda": 64}
_BATCHES_MIN = 2  # of few photos too, so that two cores do them

Progress = Callable[[int, int], None]
Kept = tuple[str, CloakedPhoto | str]
"""A photo's hash, and the record of its file or why there is none."""
Keep = Callable[[Outcome], Kept]
Work = Callable[[Recipe, Iterable[Batch], Callable[[int], None], Keep], Generator[Kept, None, None]]
"""Cloaks batches, here or elsewhere, keeps each photo's outcome as soon as it is there, yields it."""


@dataclass(frozen=True, slots=True)
class Order:
    """One person's photos to be cloaked into the folder `out`, towards one of the `candidates`.

    With `only`, some of the photos: each as it is cloaked among all of them. `names` holds file
    names by photo hash, else they are <hash>.png.
    """

    photos: Sequence[Photo]
    candidates: Mapping[str, Sequence[Photo]]
    out: Path
    only: Sequence[Photo] | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def chosen(self) -> Sequence[Photo]:
        """Return the photos that are wanted."""
        return self.photos if self.only is None else self.only

    def file(self, photo: Photo) -> Path:
        """Return where a photo's cloaked file belongs."""
        return self.out / self.names.get(photo.sha256, f"{photo.sha256}.png")

    def named(self, record: CloakedPhoto, photo: Photo) -> CloakedPhoto:
        """Return the record of a photo that may have been cloaked for another order."""
        return replace(record, person=photo.person, file=self.file(photo).name)


@dataclass(frozen=True, slots=True)
class Cloaking:
    """The outcome for one person: every photo is in one of the two, in the order given.

    A failure is a photo and the reason why it can't be cloaked.
    """

    cloaked: tuple[CloakedPhoto, ...]
    failures: tuple[tuple[Photo, str], ...]


class Means(TypedDict, total=False):
    """What photos are cloaked with, whoever is on them.

    `read`, `carried`, `judges` and `text` are those of `Recipe`. What was cloaked alike before comes
    from the folder `cache`. `work` is `cloak_here` unless another machine is to do it. `on_progress`
    hears how many steps are done, of how many, a photo's steps each counted.
    """

    read: Required[Read]
    faces: Required[KnownFaces]
    cache: Required[Path]
    carried: Callable[[Photo], Carried] | None
    judges: Sequence[EmbeddingNetwork]
    text: Mapping[str, str] | None
    work: Work
    on_progress: Progress


def cloak_photos(
    cloak: Cloak,
    networks: Sequence[EmbeddingNetwork],
    photos: Sequence[Photo],
    candidates: Mapping[str, Sequence[Photo]],
    *,
    out: Path,
    only: Sequence[Photo] | None = None,
    names: Mapping[str, str] | None = None,
    **means: Unpack[Means],
) -> Cloaking:
    """Cloak one person's photos: see `Order` and `cloak_people`."""
    order = Order(photos, candidates, out, only, names or {})
    (cloaking,) = cloak_people(cloak, networks, [order], **means)
    return cloaking


def cloak_people(
    cloak: Cloak,
    networks: Sequence[EmbeddingNetwork],
    orders: Sequence[Order],
    **means: Unpack[Means],
) -> list[Cloaking]:
    """Cloak the faces of people's photos, each file written when it is finished.

    The cloak is computed on the networks' device. A photo that can't be cloaked is a failure and
    the rest goes on; none may be in two orders. Raises UserError for a system that isn't known, and
    when no candidate shows a face but one is needed.
    """
    judges, text = means.get("judges", ()), means.get("text") or {}
    recipe = Recipe(cloak, networks, judges, text, means["read"], means.get("carried"))
    photos = sum(len(order.chosen) for order in orders)
    on_progress = means.get("on_progress", lambda _done, _of: None)
    steps = _Steps(photos, int(cloak.parameters["steps"]), on_progress)
    embeddings = EmbeddingCache(means["cache"] / EMBEDDINGS)
    known = People(cloak, networks, means["faces"], recipe.pixels, embeddings)
    at_work = _AtWork(recipe, Cache(means["cache"] / CLOAKS), known, steps)
    return at_work.cloak(orders, means.get("work", cloak_here))


@dataclass(slots=True)
class _Steps:
    """Counts the steps of all photos, for the progress bar. Threads may share it."""

    photos: int
    each: int
    tell: Progress
    finished: int = 0
    on_the_way: int = 0
    told: int = 0
    lock: Lock = field(default_factory=Lock)

    def take(self, faces: int) -> None:
        """Count one step of some faces of photos that aren't finished."""
        with self.lock:
            self.on_the_way += faces
            self._tell()

    def finish(self, faces: int) -> None:
        """Count a photo as finished, however many of its steps were taken."""
        with self.lock:
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
class _AtWork:
    """One call of `cloak_photos`. What is known of photos is by hash."""

    recipe: Recipe
    cache: Cache
    people: People
    steps: _Steps
    wanted: dict[str, tuple[Order, Photo]] = field(default_factory=dict)
    faces: dict[str, int] = field(default_factory=dict)
    faceless: dict[str, str] = field(default_factory=dict)

    def cloak(self, orders: Sequence[Order], work: Work) -> list[Cloaking]:
        """Cloak what no folder or cache holds yet; return what became of each order."""
        done: dict[str, CloakedPhoto | str] = {}
        for order in orders:
            done.update(self._reused(order))
            missing = (photo for photo in order.chosen if photo.sha256 not in done)
            self.wanted.update({photo.sha256: (order, photo) for photo in missing})
        batches = itertools.chain.from_iterable(map(self._batches, orders))
        with closing(work(self.recipe, batches, self.steps.take, self._kept)) as all_kept:
            for sha256, kept in all_kept:
                if sha256 in self.wanted:
                    self.steps.finish(self.faces[sha256])
                    done[sha256] = kept
        for sha256, why in self.faceless.items():
            self.steps.finish(faces=0)
            done[sha256] = why
        return [_cloaking(order, done) for order in orders]

    def _reused(self, order: Order) -> Iterator[Kept]:
        """Put the photos that were cloaked alike before into the folder; yield their records."""
        for photo in order.chosen:
            if record := self.cache.get_photo(self._key(order, photo), order.file(photo)):
                self.steps.finish(faces=0)
                yield photo.sha256, order.named(record, photo)

    def _batches(self, order: Order) -> Iterator[Batch]:
        """Look for the faces of a person's photos; yield the photos that are wanted, in batches.

        The last digit of a network's output depends on how many faces it is given. So a person's
        photos are always divided alike, and a batch of which any photo is wanted is done whole.
        """
        wanted = {photo.sha256 for photo in order.chosen} & self.wanted.keys()
        if not wanted:
            return
        tasks, faceless = self.people.tasks(order.photos, order.photos, order.candidates)
        self.faceless.update({sha: why for sha, why in faceless.items() if sha in wanted})
        most = _BATCH.get(self.people.device.type, _BATCH["cpu"])
        for batch in _batches(tasks, min(most, math.ceil(len(tasks) / _BATCHES_MIN))):
            if wanted & {faces[0].photo.sha256 for faces in batch}:
                self.faces.update({faces[0].photo.sha256: len(faces) for faces in batch})
                yield [self._recalled(order, faces) for faces in batch]

    def _kept(self, outcome: Outcome) -> Kept:
        """Keep a photo that was cloaked, if it is wanted."""
        sha256, made = outcome
        if isinstance(made, str) or sha256 not in self.wanted:
            return sha256, made if isinstance(made, str) else made.record
        order, photo = self.wanted[sha256]
        if made.changes:  # for the cloaks that differ in late parameters alone
            steps = np.array([change.steps for change in made.changes])
            pixels = [change.pixels.numpy() for change in made.changes]
            self.cache.put_arrays(self._optimised_key(order, photo), [steps, *pixels])
        key, file = self._key(order, photo), order.file(photo)
        return sha256, order.named(self.cache.put_photo(key, made.record, made.png, file), photo)

    def _recalled(self, order: Order, faces: Sequence[Task]) -> Sequence[Task]:
        """Return a photo's faces, each with its change where those are kept."""
        kept = self.cache.get_arrays(self._optimised_key(order, faces[0].photo))
        if kept is None:
            return faces
        taken, *pixels = kept
        return [
            replace(task, change=Change(torch.from_numpy(change), steps))
            for task, change, steps in zip(faces, pixels, taken.tolist(), strict=True)
        ]

    def _key(self, order: Order, photo: Photo) -> str:
        # Everything that shapes the file's bytes.
        return content_hash(
            {
                **self._shaping(order, photo, self.recipe.cloak),
                "text": dict(self.recipe.text),
                "carried": self.recipe.carried is not None,
            }
        )

    def _optimised_key(self, order: Order, photo: Photo) -> str:
        cloak = self.recipe.cloak
        late = row_of(cloak.system).load().late
        early = {name: value for name, value in cloak.parameters.items() if name not in late}
        return content_hash(self._shaping(order, photo, replace(cloak, level="", parameters=early)))

    def _shaping(self, order: Order, photo: Photo, cloak: Cloak) -> dict[str, Any]:
        return {
            "cloak": [_CODE_VERSION, cloak.id],
            "survey": self.people.settings,
            "photo": photo.sha256,
            "person": _hashes(order.photos),
            "candidates": {name: _hashes(people) for name, people in order.candidates.items()},
        }


def _cloaking(order: Order, done: Mapping[str, CloakedPhoto | str]) -> Cloaking:
    outcomes = [(photo, done[photo.sha256]) for photo in order.chosen]
    return Cloaking(
        tuple(outcome for _, outcome in outcomes if isinstance(outcome, CloakedPhoto)),
        tuple((photo, outcome) for photo, outcome in outcomes if isinstance(outcome, str)),
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
