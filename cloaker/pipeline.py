"""Cloaking in this process: as many batches at once as keep the device busy, each in a thread.

A thread reads a batch, optimises it and writes it, and on the CPU computes on one core. So a second
core does a second batch, and not a half of each small operation of a step: threads that share those
mostly wait for each other, and their number would decide a cloak's last digits. On a GPU one batch
is read or written while another one is optimised.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from cloaker import device, memory
from cloaker.batch import cloak_batch
from cloaker.recipe import Batch, Outcome, Recipe, Unneeded

Kept = TypeVar("Kept")
_READY = 1
"""Batches that lie ready beside those at work, so that no thread waits for the next."""


def cloak_here(
    recipe: Recipe,
    batches: Iterable[Batch],
    on_step: Callable[[int], None],
    keep: Callable[[Outcome], Kept],
) -> Generator[Kept, None, None]:
    """Cloak batches, several at once; yield what `keep` returns of each photo's outcome, in order.

    `on_step` and `keep` are called in the threads. Whatever is raised there is raised here, after
    the batches before are kept. When this is closed, or interrupted, the threads end with the step
    or photo that they are at.
    """

    def step(faces: int) -> None:
        if recipe.stop.is_set():
            raise Unneeded
        on_step(faces)

    def work(batch: Batch) -> list[Kept]:
        return [keep(outcome) for outcome in cloak_batch(recipe, batch, step)]

    threads = device.threads(recipe.device)
    with ThreadPoolExecutor(threads, "audit-photos") as pool:
        at_work: deque[tuple[Batch, Future[list[Kept]]]] = deque()
        try:
            for batch in batches:
                at_work.append((batch, pool.submit(work, batch)))
                if len(at_work) == threads + _READY:
                    yield from _done(at_work, work)
            while at_work:
                yield from _done(at_work, work)
        finally:
            recipe.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            memory.give_back()


def _done(
    at_work: deque[tuple[Batch, Future[list[Kept]]]], work: Callable[[Batch], list[Kept]]
) -> list[Kept]:
    """Return what became of the first batch; where memory was too small, it is done alone."""
    batch, future = at_work.popleft()
    try:
        return future.result()
    except torch.OutOfMemoryError:
        wait([other for _, other in at_work])
        torch.cuda.empty_cache()
        return work(batch)
