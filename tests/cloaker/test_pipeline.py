"""Several batches at once: the same bytes as one after the other, and a clean end."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from audit.types import Cloak, Photo, Targets
from cloaker import batch as batches_at_work
from cloaker import cloaking, device, pipeline
from cloaker.batch import cloak_batch
from cloaker.cloaking import Cloaking, Keep, Kept, Work, cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.pipeline import cloak_here
from cloaker.recipe import Batch, Outcome, Recipe
from datasets.photos import pixels

MakePhotos = Callable[[int, int], list[Photo]]
Progress = Callable[[int, int], None]

PHOTOS, THREADS = 5, 2
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
    monkeypatch.setattr(device, "threads", lambda _name: THREADS)
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


def test_batches_are_at_work_at_once_and_never_more_than_there_are_threads(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, most = 0, 0
    met = threading.Condition()

    def waiting(recipe: Recipe, batch: Batch, on_step: Callable[[int], None]) -> Iterator[Outcome]:
        nonlocal at_work, most
        with met:
            at_work += 1
            most = max(most, at_work)
            met.notify_all()
            assert met.wait_for(lambda: most == THREADS, WAIT_S)
        yield from cloak_batch(recipe, batch, on_step)
        with met:
            at_work -= 1

    monkeypatch.setattr(pipeline, "cloak_batch", waiting)
    assert len(bench.cloak().cloaked) == PHOTOS
    assert most == THREADS


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


def test_a_photo_that_is_read_again_and_has_changed_is_refused_by_name(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_at_work, "_HELD_BYTES_MAX", 0)
    path = tmp_path / "holiday.png"
    path.write_bytes(bench.photos[0].path.read_bytes())
    bench.photos[0] = replace(bench.photos[0], path=path)

    def change(_done: int, _of: int) -> None:
        path.write_bytes(bench.photos[1].path.read_bytes())

    outcome = bench.cloak(on_progress=change)
    ((photo, why),) = outcome.failures
    assert photo == bench.photos[0]
    assert "holiday.png has changed" in why
    assert bench.files().keys() == {f"{one.sha256}.png" for one in bench.photos[1:]}


@pytest.mark.parametrize("stage", ["look", "optimised", "finished"])
def test_what_is_raised_in_a_stage_is_raised_once_the_batches_before_are_kept(
    stage: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    third, real = bench.photos[2].sha256, getattr(batches_at_work, stage)

    def third_fails(recipe: Recipe, batch: Any, *others: Any) -> Any:
        if third in str(batch):
            raise ZeroDivisionError
        return real(recipe, batch, *others)

    monkeypatch.setattr(batches_at_work, stage, third_fails)
    with pytest.raises(ZeroDivisionError):
        bench.cloak()
    assert {f"{photo.sha256}.png" for photo in bench.photos[:2]} <= bench.files().keys()
    assert f"{third}.png" not in bench.files()


def test_an_interruption_ends_all_threads_with_the_step_that_they_are_at(bench: Bench) -> None:
    def interrupt(done: int, _of: int) -> None:
        if done >= 3 + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.cloak(on_progress=interrupt)
    assert len(bench.files()) <= THREADS
    assert bench.photos[-1].sha256 not in bench.reads[PHOTOS + 1 :]


@pytest.mark.parametrize("stage", ["look", "optimised", "finished"])
def test_where_memory_is_too_small_beside_others_a_batch_is_done_alone(
    stage: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, real = threading.current_thread(), getattr(batches_at_work, stage)

    def too_large_for_a_thread(*arguments: Any) -> Any:
        if threading.current_thread() is not main:
            raise torch.OutOfMemoryError
        return real(*arguments)

    bench.cloak()
    files = bench.files()
    monkeypatch.setattr(batches_at_work, stage, too_large_for_a_thread)
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
    monkeypatch.setattr(device, "threads", lambda _name: 1)
    monkeypatch.setattr(batches_at_work, "_together", one_fits)
    assert len(bench.cloak().cloaked) == PHOTOS
    assert sizes == [3, 1, 2, 1, 1, 2, 1, 1]
    assert bench.files() == files
