"""Reading ahead and writing behind: the same bytes, few batches at once, and a clean end."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from audit.types import Cloak, Photo, Targets
from cloaker import batch as batches_at_work
from cloaker import cloaking, pipeline
from cloaker.batch import (
    Batch,
    Looked,
    Optimised,
    Outcome,
    Recipe,
    cloak_batch,
    finished,
    look,
    optimised,
)
from cloaker.cloaking import Cloaking, Keep, Kept, Work, cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.pipeline import cloak_here
from datasets.photos import pixels

MakePhotos = Callable[[int, int], list[Photo]]
Progress = Callable[[int, int], None]

PHOTOS = 5
WAIT_S = 60


@dataclass
class Bench:
    """One person's photos, one a batch, each cloaking with a cache of its own."""

    network: EmbeddingNetwork
    photos: list[Photo]
    candidates: dict[str, list[Photo]]
    folder: Path
    runs: int = 0
    reads: list[str] = field(default_factory=list)

    def cloak(
        self, work: Work = cloak_here, on_progress: Progress = lambda _done, _of: None
    ) -> Cloaking:
        self.runs += 1
        row = resolve("fawkes-0.3", "min", ["steps=3"])
        return cloak_photos(
            Cloak("fawkes-0.3", "min", row, {self.network.name: ""}, Targets.SAME, 0),
            [self.network],
            self.photos,
            self.candidates,
            read=self.read,
            faces=KnownFaces(self.folder / "faces"),
            out=self.out,
            cache=self.folder / f"cache-{self.runs}",
            work=work,
            on_progress=on_progress,
        )

    def read(self, photo: Photo) -> Any:
        self.reads.append(photo.sha256)
        return pixels(photo)

    @property
    def out(self) -> Path:
        return self.folder / f"out-{self.runs}"

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.glob("*.png")}


@pytest.fixture
def bench(
    network: EmbeddingNetwork,
    draw_photos: MakePhotos,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    monkeypatch.setattr(cloaking, "_BATCH", {"cpu": 1})
    yield Bench(network, draw_photos(0, PHOTOS), {"other": draw_photos(1, 1)}, tmp_path)
    left = [one.name for one in threading.enumerate() if one.name.startswith("audit-photos")]
    assert left == []


def one_after_the_other(
    recipe: Recipe, batches: Iterable[Batch], on_step: Callable[[int], None], keep: Keep
) -> Generator[Kept, None, None]:
    for batch in batches:
        yield from map(keep, cloak_batch(recipe, batch, on_step))


def test_the_bytes_and_their_order_are_those_of_one_stage_after_the_other(bench: Bench) -> None:
    told: list[int] = []
    plain = bench.cloak(one_after_the_other)
    files = bench.files()
    overlapped = bench.cloak(on_progress=lambda done, _of: told.append(done))
    assert bench.files() == files
    assert [one.cloaked_sha256 for one in overlapped.cloaked] == [
        one.cloaked_sha256 for one in plain.cloaked
    ]
    assert len(files) == PHOTOS
    assert told == sorted(set(told))
    assert told[-1] == 3 * PHOTOS


def test_a_batch_is_read_and_one_is_written_while_one_is_optimised_and_never_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, writes, alive_most = 0, 0, 0
    met = threading.Condition()

    def counted_look(recipe: Recipe, batch: Batch) -> Looked:
        nonlocal looks, alive_most
        with met:
            looks += 1
            alive_most = max(alive_most, looks - writes)
            met.notify_all()
        return look(recipe, batch)

    def counted_finished(recipe: Recipe, batch: Optimised) -> Iterator[Outcome]:
        nonlocal writes
        yield from finished(recipe, batch)
        with met:
            writes += 1
            met.notify_all()

    number = 0

    def waiting(recipe: Recipe, looked: Looked, on_step: Callable[[int], None]) -> Optimised:
        nonlocal number
        number += 1
        with met:  # the next one is read, and the last one written, before this one goes on
            assert met.wait_for(
                lambda: looks >= min(number + 1, PHOTOS) and writes >= number - 1, WAIT_S
            )
        return optimised(recipe, looked, on_step)

    monkeypatch.setattr(pipeline, "look", counted_look)
    monkeypatch.setattr(pipeline, "finished", counted_finished)
    monkeypatch.setattr(pipeline, "optimised", waiting)
    assert len(bench.cloak().cloaked) == PHOTOS
    assert number == looks == writes == PHOTOS
    assert alive_most <= 3


def test_what_is_held_in_memory_is_not_read_again(bench: Bench) -> None:
    bench.cloak()
    photo = bench.photos[0].sha256
    assert bench.reads.count(photo) == 2  # to look for faces, and to cloak them


def test_what_memory_does_not_hold_is_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.cloak()
    files = bench.files()
    monkeypatch.setattr(batches_at_work, "_HELD_BYTES_MAX", 0)
    bench.reads.clear()
    bench.cloak()
    assert bench.reads.count(bench.photos[0].sha256) == 3
    assert bench.files() == files


@pytest.mark.parametrize("stage", ["look", "optimised", "finished"])
def test_what_is_raised_in_a_stage_is_raised_once_the_batches_before_are_kept(
    stage: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = 0, getattr(pipeline, stage)

    def third_fails(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ZeroDivisionError
        return real(*arguments)

    monkeypatch.setattr(pipeline, stage, third_fails)
    with pytest.raises(ZeroDivisionError):
        bench.cloak()
    assert bench.files().keys() == {f"{photo.sha256}.png" for photo in bench.photos[:2]}


def test_an_interruption_ends_both_threads_with_the_photo_that_they_are_at(bench: Bench) -> None:
    def interrupt(done: int, _of: int) -> None:
        if done >= 3 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.cloak(on_progress=interrupt)
    assert len(bench.files()) <= 1
    assert bench.photos[-1].sha256 not in bench.reads[PHOTOS + 1 :]


@pytest.mark.parametrize("stage", ["look", "finished"])
def test_where_memory_is_too_small_beside_the_optimisation_it_is_done_after_it(
    stage: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, real = threading.current_thread(), getattr(pipeline, stage)

    def too_large_for_a_thread(*arguments: Any) -> Any:
        if threading.current_thread() is not main:
            raise torch.OutOfMemoryError
        return real(*arguments)

    bench.cloak()
    files = bench.files()
    monkeypatch.setattr(pipeline, stage, too_large_for_a_thread)
    assert len(bench.cloak().cloaked) == PHOTOS
    assert bench.files() == files


def test_a_batch_that_is_too_large_is_halved(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.cloak()
    files, real, sizes = bench.files(), batches_at_work._together, list[int]()

    def one_fits(tasks: Any, *others: Any) -> Any:
        sizes.append(len(tasks))
        if len(tasks) > 1:
            raise torch.OutOfMemoryError
        return real(tasks, *others)

    monkeypatch.setattr(cloaking, "_BATCH", {"cpu": 4})
    monkeypatch.setattr(batches_at_work, "_together", one_fits)
    assert len(bench.cloak().cloaked) == PHOTOS
    assert sizes == [4, 2, 1, 1, 2, 1, 1, 1]
    assert bench.files() == files
