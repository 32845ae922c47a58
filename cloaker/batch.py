"""Some photos of one person, cloaked together: from files to PNGs with their figures.

Nothing here knows of output folders or of the cache: a batch can be cloaked on another machine.
Of small photos the pixels are held meanwhile. Large ones are read again when their cloak is laid
into them: two of nine megapixels, held by each of two threads, would take 108 MB.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from audit.types import Cloak, CloakedPhoto, Photo
from cloaker import memory
from cloaker.attack import optimise
from cloaker.faces import Pixels
from cloaker.geometry import Similarity
from cloaker.levels import precision_of, row_of
from cloaker.networks.base import Crop, EmbeddingNetwork
from cloaker.pasting import CloakedFace, decode_png, encode_png, measure, picture_of
from cloaker.recipe import Batch, Change, Made, Outcome, Recipe, Task
from cloaker.region import FaceRegion
from cloaker.scene import Scene
from cloaker.survey import UNREADABLE, unreadable

_TURN_PER_PX = 0.0125  # a landmark 80 pixels from the others, off by one: radians, and scale
_HELD_BYTES_MAX = 16_000_000  # of a batch's decoded photos; the others are read twice


@dataclass(frozen=True, slots=True)
class Working:
    """What the optimisation needs of a region: its working grid, whatever the photo's size."""

    working: Tensor
    working_matrices: Mapping[Crop, Similarity]
    feathered: Tensor

    def mask(self) -> Tensor:
        """Return how much of a change reaches each working pixel."""
        return self.feathered


@dataclass(frozen=True, slots=True)
class Looked:
    """A batch whose photos were read: its faces, and what is wrong with the photos that failed.

    `pixels` are those of the first photos, by hash: as many as may be held until they are cloaked.
    """

    faces: Sequence[tuple[Task, Working]]
    failures: Sequence[Outcome]
    pixels: Mapping[str, Pixels]
    seconds: float


@dataclass(frozen=True, slots=True)
class Optimised:
    """A batch whose faces' changes are known; `seconds` is what that took for each face."""

    looked: Looked
    changes: Sequence[Change]
    seconds: float


def cloak_batch(
    recipe: Recipe, batch: Batch, on_step: Callable[[int], None] = lambda _: None
) -> Iterator[Outcome]:
    """Cloak photos together; yield each one's outcome. `on_step` hears of each step's faces."""
    yield from finished(recipe, optimised(recipe, look(recipe, batch), on_step))


def look(recipe: Recipe, batch: Batch) -> Looked:
    """Read the photos of a batch and cut out what the optimisation needs of them."""
    start = time.monotonic()
    faces: list[tuple[Task, Working]] = []
    failures: list[Outcome] = []
    held: dict[str, Pixels] = {}
    for tasks in batch:
        sha256 = tasks[0].photo.sha256
        try:
            pixels = recipe.pixels(tasks[0].photo)
            faces += _looked_at(recipe, tasks, pixels)
        except UNREADABLE as error:
            failures.append((sha256, unreadable(error)))
            continue
        if sum(one.nbytes for one in held.values()) + pixels.nbytes <= _HELD_BYTES_MAX:
            held[sha256] = pixels
    return Looked(faces, failures, held, time.monotonic() - start)


def optimised(recipe: Recipe, looked: Looked, on_step: Callable[[int], None]) -> Optimised:
    """Find the change of each face of a batch."""
    if not looked.faces:
        return Optimised(looked, (), 0.0)
    start = time.monotonic()
    tasks, workings = zip(*looked.faces, strict=True)
    made = [task.change for task in tasks if task.change]
    if len(made) < len(tasks):
        # All of them, since rounding differs with the number of faces.
        made = changes(tasks, workings, recipe.cloak, recipe.networks, on_step)
        made = [task.change or change for task, change in zip(tasks, made, strict=True)]
    took_s = looked.seconds + time.monotonic() - start
    return Optimised(looked, made, took_s / len(tasks))


def finished(recipe: Recipe, batch: Optimised) -> Iterator[Outcome]:
    """Yield what becomes of each photo of a batch: PNGs with their figures, failures first."""
    looked = batch.looked
    yield from looked.failures
    by_photo: dict[str, list[tuple[Task, Change]]] = {}
    for (task, _), change in zip(looked.faces, batch.changes, strict=True):
        by_photo.setdefault(task.photo.sha256, []).append((task, change))
    for sha256, changed in by_photo.items():
        try:
            yield (
                sha256,
                _finished(recipe, changed, looked.pixels.get(sha256), batch.seconds * len(changed)),
            )
        except UNREADABLE as error:
            yield sha256, unreadable(error)


def _looked_at(recipe: Recipe, tasks: Sequence[Task], pixels: Pixels) -> list[tuple[Task, Working]]:
    regions = (_region(recipe, task, pixels) for task in tasks)
    return [
        (task, Working(region.working, region.working_matrices, region.mask()))
        for task, region in zip(tasks, regions, strict=True)
    ]


def _region(recipe: Recipe, task: Task, pixels: Pixels) -> FaceRegion:
    """Return a face's region in its photo. Raises ValueError when it lies outside of it."""
    crops = [network.crop for network in recipe.networks]
    whole = bool(recipe.cloak.parameters["whole_photo"])
    return FaceRegion(pixels, task.landmarks, crops, task.own[0].device, whole=whole)


def _finished(
    recipe: Recipe,
    changed: Sequence[tuple[Task, Change]],
    pixels: Pixels | None,
    optimising_s: float,
) -> Made:
    """Lay the changes of a photo's faces into it, encode it and measure the decoded file."""
    start = time.monotonic()
    cloak, first = recipe.cloak, changed[0][0]
    source = _read_again(recipe, first.photo) if pixels is None else pixels
    faces = [CloakedFace(task.landmarks, _region(recipe, task, source)) for task, _ in changed]
    png = _png(recipe, source, faces, changed)
    figures = measure(source, decode_png(png), faces, recipe.networks, recipe.judges)
    record = CloakedPhoto(
        source_sha256=first.photo.sha256,
        cloaked_sha256=hashlib.sha256(png).hexdigest(),
        person=first.photo.person,
        file=f"{first.photo.sha256}.png",
        system=cloak.system,
        level=cloak.level,
        seed=cloak.seed,
        target=first.goal.target,
        steps=max(change.steps for _, change in changed),
        budget=float(cloak.parameters["budget"]),
        seconds=optimising_s + time.monotonic() - start,
        **asdict(figures),
    )
    late = row_of(cloak.system).load().late
    new = tuple(change for task, change in changed if late and not task.change)
    return Made(record, png, new)


def _read_again(recipe: Recipe, photo: Photo) -> Pixels:
    """Return the pixels of a photo that is too large to be held while its batch is optimised."""
    memory.give_back()
    return recipe.pixels(photo)


def _png(
    recipe: Recipe,
    source: Pixels,
    faces: Sequence[CloakedFace],
    changed: Sequence[tuple[Task, Change]],
) -> bytes:
    """Return a photo's file with the changes of its faces."""
    photo = changed[0][0].photo
    carried = recipe.carried(photo) if recipe.carried else None
    # No name for the pixels: they are freed as soon as the picture is made of them.
    picture = picture_of(source, _cloaked(recipe.cloak, source, faces, changed), carried)
    if source.nbytes > _HELD_BYTES_MAX:
        memory.give_back()
    return encode_png(picture, carried, recipe.text)


def _cloaked(
    cloak: Cloak,
    source: Pixels,
    faces: Sequence[CloakedFace],
    changed: Sequence[tuple[Task, Change]],
) -> Pixels:
    """Return a photo with the changes of its faces, each as far as the budget allows."""
    system, parameters = row_of(cloak.system).load(), cloak.parameters
    allowed = math.inf if parameters.get("legacy") else float(parameters["budget"])
    cloaked = source
    for face, (_, change) in zip(faces, changed, strict=True):
        clean = face.region.working
        laid = system.laid(change.pixels.to(clean), clean, parameters)
        cloaked = face.region.added(cloaked, face.region.changed(laid, allowed))
    return cloaked


def changes(
    tasks: Sequence[Task],
    faces: Sequence[Working],
    cloak: Cloak,
    networks: Sequence[EmbeddingNetwork],
    on_step: Callable[[int], None],
) -> list[Change]:
    """Cloak faces together; where memory is too small for that, half of them at a time."""
    try:
        return _together(tasks, faces, cloak, networks, on_step)
    except torch.OutOfMemoryError:
        if len(tasks) == 1:
            raise
    torch.cuda.empty_cache()
    middle = len(tasks) // 2
    return [
        change
        for part in (slice(middle), slice(middle, None))
        for change in changes(tasks[part], faces[part], cloak, networks, on_step)
    ]


def _together(
    tasks: Sequence[Task],
    faces: Sequence[Working],
    cloak: Cloak,
    networks: Sequence[EmbeddingNetwork],
    on_step: Callable[[int], None],
) -> list[Change]:
    parameters, steps = cloak.parameters, int(cloak.parameters["steps"])
    scene = Scene(faces, wobbles(tasks, float(parameters["wobble_px"]), steps))
    for i, network in enumerate(networks):
        own = [task.own[i] for task in tasks]
        goals = [task.goal.vectors[i] for task in tasks]
        scene.look(network, own, goals, precision_of(parameters))
    clean, parts = scene.clean, scene.parts
    system = row_of(cloak.system).load()
    best = optimise(
        system(scene, parameters, [task.seed for task in tasks]),
        steps=steps,
        budget=system.limit(parameters),
        on_step=on_step,
    )
    moved = best.pictures - clean
    pixels = [part.half().cpu() if system.late else part for part in parts(moved)]
    return list(map(Change, pixels, best.steps.tolist()))


def wobbles(tasks: Sequence[Task], size_px: float, steps: int) -> Tensor | None:
    """Return how far off each alignment of each step is, steps + 1 x N x 4 (see `Scene`).

    A face's wobbles depend on its seed, not on its batch mates.
    """
    if not size_px:
        return None
    spread = torch.tensor([_TURN_PER_PX, _TURN_PER_PX, 1, 1]) * size_px
    drawn = [
        torch.randn(steps + 1, 4, generator=torch.Generator().manual_seed(task.seed)) * spread
        for task in tasks
    ]
    return torch.stack(drawn, dim=1)
