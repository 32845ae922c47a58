"""A batch on its way to another machine, and what is done with it there.

The photos travel as bytes and come back as PNGs, so that nothing but the package and the weights
has to be on the other machines.
"""

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from audit.errors import UserError
from audit.types import Cloak, Photo
from cloaker.batch import cloak_batch
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.recipe import Batch, Outcome, Recipe, Task
from cloaker.survey import Read, unreadable

if TYPE_CHECKING:
    from cloaker.pasting import Carried


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch on its way: networks by name with their weights' SHA-256, the photos as bytes.

    `threads` is how many of them compute it.
    """

    cloak: Cloak
    networks: Mapping[str, str]
    judges: Mapping[str, str]
    device: str
    threads: int
    text: Mapping[str, str]
    read: Read
    carried: "Callable[[Photo], Carried] | None"
    batch: Batch
    files: Mapping[str, bytes]


def packed(recipe: Recipe, device: str, threads: int, batch: Batch) -> tuple[Parcel, list[Outcome]]:
    """Return a batch as a parcel, and the outcomes of photos whose files can't be read."""
    files: dict[str, bytes] = {}
    unread: list[Outcome] = []
    for faces in batch:
        photo = faces[0].photo
        try:
            files[photo.sha256] = photo.path.read_bytes()
        except OSError as error:
            unread.append((photo.sha256, unreadable(error)))
    readable = [
        [_at(task, task.photo.path, "cpu") for task in faces]
        for faces in batch
        if faces[0].photo.sha256 in files
    ]
    parcel = Parcel(
        cloak=recipe.cloak,
        networks=_named(recipe.networks),
        judges=_named(recipe.judges),
        device=device,
        threads=threads,
        text=recipe.text,
        read=recipe.read,
        carried=recipe.carried,
        batch=readable,
        files=files,
    )
    return parcel, unread


def cloak_parcel(parcel: Parcel, on_step: Callable[[int], None] = lambda _: None) -> list[Outcome]:
    """Cloak a batch where it has been sent to. Raises UserError when its networks aren't there."""
    torch.set_num_threads(parcel.threads)
    with tempfile.TemporaryDirectory() as folder:
        batch = [
            [_at(task, Path(folder, task.photo.sha256), parcel.device) for task in faces]
            for faces in parcel.batch
        ]
        for faces in batch:
            faces[0].photo.path.write_bytes(parcel.files[faces[0].photo.sha256])
        networks, judges = (
            [loaded(name, sha256, parcel.device) for name, sha256 in some.items()]
            for some in (parcel.networks, parcel.judges)
        )
        recipe = Recipe(parcel.cloak, networks, judges, parcel.text, parcel.read, parcel.carried)
        return list(cloak_batch(recipe, batch, on_step))


def _at(task: Task, path: Path, device: str) -> Task:
    """Return a task with its photo's file at a path and its tensors on a device."""
    own, vectors = (
        tuple(tensor.to(device) for tensor in tensors) for tensors in (task.own, task.goal.vectors)
    )
    goal, photo = replace(task.goal, vectors=vectors), replace(task.photo, path=path)
    return replace(task, photo=photo, own=own, goal=goal)


def _named(networks: Sequence[EmbeddingNetwork]) -> dict[str, str]:
    return {network.name: network.weights_sha256 for network in networks}


@functools.cache  # a worker does many batches
def loaded(name: str, sha256: str, device: str) -> EmbeddingNetwork:
    """Return a network of this machine. Raises UserError when its weights are other ones."""
    network = registry.load(name, device)
    if network.weights_sha256 != sha256:
        raise UserError(
            f"a machine of the Ray cluster has other weights of {name}.",
            expected=f"SHA-256 {sha256}",
            remedy=f"`audit weights add {name} FILE` there, with the same file as here",
        )
    return network
