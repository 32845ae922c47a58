"""Some faces of one person's photos, cloaked together: from files to changes of their pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audit.types import Cloak, Photo
from cloaker.attack import Goal, optimise
from cloaker.faces import Pixels
from cloaker.levels import row_of
from cloaker.networks.base import EmbeddingNetwork, Points
from cloaker.region import FaceRegion
from cloaker.scene import Scene

_TURN_PER_PX = 0.0125  # a landmark 80 pixels from the others, off by one: radians, and scale


@dataclass(frozen=True, slots=True)
class Task:
    """A face to be cloaked: where it is, each network's raw embedding of it, and its goal."""

    photo: Photo
    landmarks: Points
    own: tuple[Tensor, ...]
    seed: int
    goal: Goal


@dataclass(frozen=True, slots=True)
class Change:
    """A face's region, and its change on the working grid, 3 x height x width, after `steps`."""

    region: FaceRegion
    pixels: Tensor
    steps: int


def region_of(
    task: Task, pixels: Pixels, cloak: Cloak, networks: Sequence[EmbeddingNetwork]
) -> FaceRegion:
    """Return a face's region in its photo. Raises ValueError when it lies outside of it."""
    device = task.own[0].device
    crops = [network.crop for network in networks]
    whole = bool(cloak.parameters["whole_photo"])
    return FaceRegion(pixels, task.landmarks, crops, device, whole=whole)


def changes(
    tasks: Sequence[Task],
    regions: Sequence[FaceRegion],
    cloak: Cloak,
    networks: Sequence[EmbeddingNetwork],
    on_step: Callable[[int], None],
) -> list[Change]:
    """Cloak faces together; where memory is too small for that, half of them at a time."""
    try:
        return _together(tasks, regions, cloak, networks, on_step)
    except torch.OutOfMemoryError:
        if len(tasks) == 1:
            raise
    torch.cuda.empty_cache()
    middle = len(tasks) // 2
    return [
        change
        for part in (slice(middle), slice(middle, None))
        for change in changes(tasks[part], regions[part], cloak, networks, on_step)
    ]


def _together(
    tasks: Sequence[Task],
    regions: Sequence[FaceRegion],
    cloak: Cloak,
    networks: Sequence[EmbeddingNetwork],
    on_step: Callable[[int], None],
) -> list[Change]:
    parameters, steps = cloak.parameters, int(cloak.parameters["steps"])
    scene = Scene(regions, wobbles(tasks, float(parameters["wobble_px"]), steps))
    for i, network in enumerate(networks):
        own = [task.own[i] for task in tasks]
        scene.look(network, own, [task.goal.vectors[i] for task in tasks])
    clean, parts = scene.clean, scene.parts
    system = row_of(cloak.system).load()
    best = optimise(
        system(scene, parameters, [task.seed for task in tasks]),
        steps=steps,
        budget=float(parameters["budget"]),
        on_step=on_step,
    )
    moved = parts(system.finish(best.pictures - clean, parameters))
    return [
        Change(region, pixels, int(steps))
        for region, pixels, steps in zip(regions, moved, best.steps.tolist(), strict=True)
    ]


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
