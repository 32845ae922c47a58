"""Cloaking in this process: the next batch is read and the last one written meanwhile.

Three batches are alive at most: the one that is optimised, in the calling thread, the one after it,
and the one before. Reading photos and writing PNGs need another processor or none beside a GPU, and
batches come and go in order, so that the bytes are those of one stage after the other.
"""

import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

from cloaker.batch import Batch, Looked, Optimised, Outcome, Recipe, finished, look, optimised

Kept = TypeVar("Kept")
Result = TypeVar("Result")


def cloak_here(
    recipe: Recipe,
    batches: Iterable[Batch],
    on_step: Callable[[int], None],
    keep: Callable[[Outcome], Kept],
) -> Generator[Kept, None, None]:
    """Cloak batches one after the other; yield what `keep` returns of each photo's outcome.

    `batches` is iterated in one other thread and `keep` called in a second one. Whatever is raised
    there is raised here, after the batches before are kept. When this is closed, or interrupted,
    both threads end with the photo that they are at.
    """

    def write(batch: Optimised) -> list[Kept]:
        return [keep(outcome) for outcome in finished(recipe, batch)]

    with _thread(recipe) as reader, _thread(recipe) as writer:
        ahead, written = _Ahead(recipe, batches, reader), _Apart(list[Kept], writer)
        try:
            while looked := ahead.next():
                made = optimised(recipe, looked, on_step)
                yield from written.result()
                written = _Apart(functools.partial(write, made), writer)
            yield from written.result()
        except Exception:
            written.wait()
            raise


@contextmanager
def _thread(recipe: Recipe) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, "audit-photos") as pool:
        try:
            yield pool
        finally:
            recipe.stop.set()


class _Apart(Generic[Result]):
    """Work that a thread does; or the caller, where memory is too small for both at once."""

    def __init__(self, work: Callable[[], Result], thread: ThreadPoolExecutor) -> None:
        self._work, self._future = work, thread.submit(work)

    def wait(self) -> None:
        """Wait until the thread is done with it."""
        wait([self._future])

    def result(self) -> Result:
        """Return what came of it."""
        try:
            return self._future.result()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return self._work()


class _Ahead:
    """Reads one batch ahead, in a thread."""

    def __init__(
        self, recipe: Recipe, batches: Iterable[Batch], thread: ThreadPoolExecutor
    ) -> None:
        self._recipe, self._batches, self._thread = recipe, iter(batches), thread
        self._batch: Batch | None = None
        self._begin()

    def next(self) -> Looked | None:
        """Return the next batch, None after the last, and begin with the one after it."""
        looked = self._looked.result()
        if looked:
            self._begin()
        return looked

    def _begin(self) -> None:
        self._batch = None
        self._looked = _Apart(self._look, self._thread)

    def _look(self) -> Looked | None:
        if self._batch is None:
            self._batch = next(self._batches, None)
        return None if self._batch is None else look(self._recipe, self._batch)
