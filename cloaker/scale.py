"""Cloaking on more than one machine: a Ray cluster does the batches, this process all else.

The driver finds faces, chooses targets, keeps the cache and writes the files. A batch is the one
that it is on one machine, and as many threads compute it as would here: hence the same bytes on
processors of the same kind. (With another number of threads some networks differ in the last
digit.)
"""

import importlib
import itertools
import math
import os
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from audit.errors import AuditError, Stopped, UserError
from cloaker.parcel import Parcel, cloak_parcel, packed
from cloaker.recipe import Batch, Outcome, Recipe
from cloaker.step_count import StepCount

if TYPE_CHECKING:
    from cloaker.cloaking import Work

Kept = TypeVar("Kept")

_TRIES = 3
"""How often a batch is begun again after its worker died; the batch may be what kills it."""
_READY_PER_WORKER = 1
"""Batches that lie ready beside the one at work, so that no worker waits for the next."""
_ANSWER_S = 5.0
"""How long a machine may take to answer at all."""
_ASK_EVERY_S = 1.0
_NOTE_EVERY_S = 0.5
"""How often a worker tells its steps: each word costs Ray's processes about two milliseconds."""
_WITHOUT_WORKERS_S = 60.0
"""How long a cluster may have no worker left: another machine may be on its way."""


@contextmanager
def cluster(address: str, device: str) -> Iterator["Work"]:
    """Connect to a Ray cluster (`auto`: the one that runs on this machine) to cloak on it.

    A worker has as many CPUs as torch has threads here, or one GPU where `device` is one. Raises
    UserError when Ray isn't installed, there is no such cluster, or no machine of it has so many.
    """
    ray = _ray()
    try:
        _answers(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"there is no Ray cluster at {address!r} ({error}).",
            expected="--ray auto for a cluster on this machine, or HOST:PORT",
            remedy="`ray start --head` here, then `ray start --address HOST:PORT` on the others",
        ) from None
    try:
        kind = torch.device(device).type
        threads = 1 if kind == "cuda" else torch.get_num_threads()
        workers = Workers(ray, kind, threads, _step_count(ray))
        workers.require_one()
        yield workers.cloak
    finally:
        ray.shutdown()


def _ray() -> Any:
    # Else Ray tries for a quarter of an hour to reach what is no cluster.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
    # Else, under `uv run`, Ray starts its workers with `uv run` too, in a copy of this folder.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UserError(
            "--ray needs Ray, which isn't installed.", remedy="install cloak-audit[ray]"
        ) from None


def _step_count(ray: Any) -> Any:
    """Start, on this machine, the process that hears how far the batches are."""
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    return ray.remote(num_cpus=0, scheduling_strategy=here)(StepCount).remote()


def _answers(address: str) -> None:
    """Raise OSError or ValueError for an address where nobody answers."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("that is no HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()


@dataclass(frozen=True, slots=True)
class Workers:
    """A cluster's workers, each with one GPU, or with as many CPUs as `threads`.

    `step_count` is the process that they tell their steps to, by the number of the batch: no two
    batches have the same of `numbers`, since a worker may still tell of one that was given up.
    """

    ray: Any
    device: str
    threads: int
    step_count: Any
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def _needed(self) -> tuple[str, int]:
        return ("GPU", 1) if self.device == "cuda" else ("CPU", self.threads)

    def count(self) -> int:
        """Return how many batches the machines that live can do at once."""
        kind, needed = self._needed
        alive = (node["Resources"] for node in self.ray.nodes() if node["Alive"])
        return sum(int(has.get(kind, 0)) // needed for has in alive)

    def require_one(self) -> None:
        """Raise UserError where no machine is large enough: a batch would wait forever."""
        if self.count():
            return
        kind, needed = self._needed
        raise UserError(
            f"no machine of the Ray cluster has {needed} {kind}.",
            expected="as many CPUs as torch has threads here, or one GPU with --device cuda",
            remedy="OMP_NUM_THREADS=1 before `audit cloak` makes do with one CPU for a batch",
        )

    def cloak(
        self,
        recipe: Recipe,
        batches: Iterable[Batch],
        on_step: Callable[[int], None],
        keep: Callable[[Outcome], Kept],
    ) -> Generator[Kept, None, None]:
        """Cloak batches on the cluster; yield what `keep` returns of each photo that is back."""
        kind, needed = self._needed
        task = self.ray.remote(max_retries=_TRIES, **{f"num_{kind.lower()}s": needed})(_cloaked)
        each = int(recipe.cloak.parameters["steps"])
        steps = _Steps(self.ray, self.step_count, each, on_step)
        waiting = zip(self.numbers, batches, strict=False)
        on_the_way: dict[Any, tuple[int, Batch]] = {}
        patience = _Patience()
        while True:
            workers = patience.heed(self.count())
            room = max(1, workers * (1 + _READY_PER_WORKER)) - len(on_the_way)
            for number, batch in itertools.islice(waiting, max(0, room)):
                parcel, unread = packed(recipe, self.device, self.threads, batch)
                yield from map(keep, unread)
                on_the_way[task.remote(parcel, number, self.step_count)] = number, batch
            if not on_the_way:
                return
            back, _ = self.ray.wait(list(on_the_way), timeout=_ASK_EVERY_S)
            steps.tell()
            for result in back:
                outcomes = _received(self.ray, result)
                steps.finish(*on_the_way.pop(result))
                yield from map(keep, outcomes)


def _cloaked(parcel: Parcel, number: int, count: Any) -> list[Outcome]:
    """Cloak a batch on a worker, which tells now and then how many steps it has taken."""
    taken, told_s = 0, -math.inf

    def on_step(faces: int) -> None:
        nonlocal taken, told_s
        taken += faces
        if (now_s := time.monotonic()) - told_s >= _NOTE_EVERY_S:
            told_s = now_s
            count.note.remote(number, taken)

    return cloak_parcel(parcel, on_step)


@dataclass(slots=True)
class _Patience:
    """Waits for the machines of a cluster that has none left."""

    seen_s: float = field(default_factory=time.monotonic)

    def heed(self, workers: int) -> int:
        """Return the number of workers. Raises Stopped when there were none for long."""
        now_s = time.monotonic()
        if workers:
            self.seen_s = now_s
        elif now_s - self.seen_s > _WITHOUT_WORKERS_S:
            raise _lost("no worker of the Ray cluster is left")
        return workers


class _Steps:
    """Tells the steps that workers take as if they were taken here."""

    def __init__(self, ray: Any, count: Any, each: int, tell: Callable[[int], None]) -> None:
        self._ray, self._count, self._each, self._tell = ray, count, each, tell
        self._asked = count.taken.remote()
        self._told: dict[int, int] = {}

    def tell(self) -> None:
        """Tell what is new; a batch that was begun again has fewer steps than before."""
        if not self._ray.wait([self._asked], timeout=0)[0]:
            return
        for number, taken in self._ray.get(self._asked).items():
            self._tell_to(number, taken)
        self._asked = self._count.taken.remote()

    def finish(self, number: int, batch: Batch) -> None:
        """Tell what is left of a batch's steps: it is back."""
        self._tell_to(number, self._each * sum(map(len, batch)))
        self._told[number] = -1

    def _tell_to(self, number: int, taken: int) -> None:
        told = self._told.get(number, 0)
        if told >= 0:
            self._told[number] = taken
            self._tell(taken - told)


def _received(ray: Any, result: Any) -> list[Outcome]:
    try:
        outcomes: list[Outcome] = ray.get(result)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AuditError):
            raise error.cause from None
        if isinstance(error.cause, ImportError):
            raise UserError(
                f"a machine of the Ray cluster lacks what this one has ({error.cause}).",
                expected="the same version of cloak-audit on each machine",
                remedy="install it there, in the environment in which `ray start` is called",
            ) from None
        raise
    except ray.exceptions.RayError as error:
        raise _lost(
            f"a batch was lost {1 + _TRIES} times on the Ray cluster ({type(error).__name__})"
        ) from None
    return outcomes


def _lost(what: str) -> Stopped:
    return Stopped(
        f"{what}.", remedy="see the cluster's memory and logs; the same command goes on from here"
    )
