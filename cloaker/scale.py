"""Cloaking on more than one machine: a Ray cluster does the batches, this process all else.

The driver finds faces, chooses targets, keeps the cache and writes the files. A batch travels with
its photos' bytes and comes back as PNGs, so that nothing but the package and the weights has to be
on the other machines. A batch is the one that it is on one machine, and one thread computes it:
hence the same bytes. (With several threads some networks differ in the last digit.)
"""

import functools
import importlib
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import AuditError, Stopped, UserError
from audit.types import Cloak, Photo
from cloaker.batch import Batch, Outcome, Recipe, Task, cloak_batch
from cloaker.device import compute_in_caller_threads
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.survey import Read, unreadable

if TYPE_CHECKING:
    from cloaker.cloaking import Work
    from cloaker.pasting import Carried

_TRIES = 3
"""How often a batch is begun again after its worker died; the batch may be what kills it."""
_READY_PER_WORKER = 1
"""Batches that lie ready beside the one at work, so that no worker waits for the next."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch on its way: networks by name with their weights' SHA-256, the photos as bytes."""

    cloak: Cloak
    networks: Mapping[str, str]
    judges: Mapping[str, str]
    device: str
    text: Mapping[str, str]
    read: Read
    carried: "Callable[[Photo], Carried] | None"
    batch: Batch
    files: Mapping[str, bytes]


@contextmanager
def cluster(address: str, device: str) -> Iterator["Work"]:
    """Connect to a Ray cluster (`auto`: the one that runs on this machine) to cloak on it.

    A worker has one CPU, or one GPU where `device` is one. Raises UserError when Ray isn't
    installed or there is no such cluster.
    """
    ray = _ray()
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"there is no Ray cluster at {address!r} ({error}).",
            expected="--ray auto for a cluster on this machine, or HOST:PORT",
            remedy="`ray start --head` here, then `ray start --address HOST:PORT` on the others",
        ) from None
    try:
        yield functools.partial(_spread, ray, device.partition(":")[0])
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UserError(
            "--ray needs Ray, which isn't installed.", remedy="install cloak-audit[ray]"
        ) from None


def _spread(
    ray: Any,
    device: str,
    recipe: Recipe,
    batches: Iterable[Batch],
    _on_step: Callable[[int], None],
) -> Iterator[Outcome]:
    """Cloak batches on the cluster; yield each one's outcomes as soon as it is back."""
    kind = {"cuda": "GPU"}.get(device, "CPU")
    task = ray.remote(max_retries=_TRIES, **{f"num_{kind.lower()}s": 1})(cloak_parcel)
    waiting, on_the_way = iter(batches), list[Any]()
    while True:
        workers = int(ray.cluster_resources().get(kind, 1))
        room = max(1, workers * (1 + _READY_PER_WORKER) - len(on_the_way))
        for batch in itertools.islice(waiting, room):
            parcel, unread = _packed(recipe, device, batch)
            yield from unread
            on_the_way.append(task.remote(parcel))
        if not on_the_way:
            return
        (back,), on_the_way = ray.wait(on_the_way)
        yield from _received(ray, back)


def _packed(recipe: Recipe, device: str, batch: Batch) -> tuple[Parcel, list[Outcome]]:
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
        text=recipe.text,
        read=recipe.read,
        carried=recipe.carried,
        batch=readable,
        files=files,
    )
    return parcel, unread


def _received(ray: Any, result: Any) -> list[Outcome]:
    try:
        outcomes: list[Outcome] = ray.get(result)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AuditError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise Stopped(
            f"a batch was lost {1 + _TRIES} times on the Ray cluster ({type(error).__name__}).",
            remedy="see the cluster's memory and logs; the same command goes on from here",
        ) from None
    return outcomes


def cloak_parcel(parcel: Parcel) -> list[Outcome]:
    """Cloak a batch where it has been sent to. Raises UserError when its networks aren't there."""
    compute_in_caller_threads()
    with tempfile.TemporaryDirectory() as folder:
        batch = [
            [_at(task, Path(folder, task.photo.sha256), parcel.device) for task in faces]
            for faces in parcel.batch
        ]
        for faces in batch:
            faces[0].photo.path.write_bytes(parcel.files[faces[0].photo.sha256])
        networks, judges = (
            [_loaded(name, sha256, parcel.device) for name, sha256 in some.items()]
            for some in (parcel.networks, parcel.judges)
        )
        recipe = Recipe(parcel.cloak, networks, judges, parcel.text, parcel.read, parcel.carried)
        return list(cloak_batch(recipe, batch))


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
def _loaded(name: str, sha256: str, device: str) -> EmbeddingNetwork:
    network = registry.load(name, device)
    if network.weights_sha256 != sha256:
        raise UserError(
            f"a machine of the Ray cluster has other weights of {name}.",
            expected=f"SHA-256 {sha256}",
            remedy=f"`audit weights add {name} FILE` there, with the same file as here",
        )
    return network
