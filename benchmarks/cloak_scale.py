"""Many photos: whether memory stays flat and the rate steady, and what a second Ray worker gains.

    OMP_NUM_THREADS=1 python benchmarks/cloak_scale.py photos --photos 1000 --steps 5
    OMP_NUM_THREADS=1 python benchmarks/cloak_scale.py ray --photos 256 --repeats 1
    OMP_NUM_THREADS=1 python benchmarks/cloak_scale.py overlap --photos 64 --repeats 3

Photos are of drawn people, cloaked with a bundled network; their faces are found and embedded
before, as they are for every photo only once.

`photos` cloaks one person's photos in this process. It prints the memory and the rate of each tenth
of them, also in seconds of the processor, which others on the machine disturb less.

`ray` starts a cluster of one worker, then one of two, each pinned to a core of its own and, where
that is allowed, of a higher priority than what else runs here (Ray itself puts its workers last).
It prints the ratio of their rates with its spread, and the processor's seconds: of each worker, of
this process, and of Ray's own. On cores that others want too, two workers get a smaller share of
each than one gets of its own: then only the ratio of the processor's seconds says anything. The
workers have imported torch before. The same work by one and by two plain processes, each with its
half of the photos from the start, tells what the machine itself leaves of a ratio of two.

`overlap` compares as many batches at once as there are cores, each from its files to its files in a
thread of its own, with one batch after the other.
"""

import argparse
import hashlib
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.types import Cloak, Photo, Targets
from cloaker import scale
from cloaker.batch import cloak_batch
from cloaker.cloaking import Keep, Kept, Work, cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks import registry
from cloaker.pipeline import cloak_here
from cloaker.recipe import Batch, Recipe
from datasets import generated
from datasets.carried import carried
from datasets.photos import pixels

NETWORK = "bundled-conv"
SYSTEM = "fawkes-0.3"
CANDIDATES = 4
FACELESS_MAX = 0.1  # of drawn photos; seen: 0.04
WARMING_EVERY = 32  # photos: one of them brings its whole batch
IMPORT_S = 3  # of the processor: less than torch takes, more than an idle worker
OTHERS_READY_S = 300  # a process that died never is
STORE_BYTES = 200_000_000


def main() -> None:
    """Measure what is asked for."""
    arguments = _arguments()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "600")  # a busy machine is slow to start
    os.environ.setdefault("RAY_worker_niceness", "0")  # 15: whatever else runs here comes first
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.photos, arguments.level, arguments.steps)
        if arguments.what == "photos":
            _steady(bench)
        elif arguments.what == "ray":
            _ratio(bench, arguments.repeats, arguments.nice)
        else:
            _overlap(bench, arguments.repeats)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["photos", "ray", "overlap"])
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--level", default="min")
    parser.add_argument("--steps", type=int, help="fewer than the level's, to see an end of it")
    parser.add_argument("--nice", type=int, default=-5, help="of the workers")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


class Bench:
    """One drawn person to be cloaked, of whom each photo shows a face, and people to cloak towards.

    A photo without a face would shift all batches behind it, and a half of the photos would not be
    a half of the batches.
    """

    def __init__(self, folder: Path, photos: int, level: str, steps: int | None) -> None:
        self._folder, self._level = folder, level
        self._settings = [f"steps={steps}"] if steps else []
        counts = [math.ceil(photos / (1 - FACELESS_MAX)), *[1] * CANDIDATES]
        generated.write_people(folder / "people", len(counts), counts.__getitem__)
        self.people: dict[str, list[Photo]] = {}
        for path in sorted((folder / "people").rglob("*.png")):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            photo = Photo(sha256, path.parent.name, path, 0, 0)
            self.people.setdefault(photo.person, []).append(photo)
        own = next(iter(self.people))
        finder = KnownFaces(folder / "faces")
        shown = [photo for photo in self.people[own] if finder.find(photo.sha256, pixels(photo))]
        self.photos = self.people[own] = shown[:photos]

    def cloak(
        self,
        work: Work = cloak_here,
        only: Sequence[Photo] | None = None,
        on_progress: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> float:
        """Cloak photos of the first person, all known but their cloaks; return the seconds."""
        own, *others = self.people
        network = registry.load(NETWORK)
        cloak = Cloak(
            SYSTEM,
            self._level,
            resolve(SYSTEM, self._level, self._settings),
            {NETWORK: network.weights_sha256},
            Targets.SAME,
            0,
        )
        cache = Path(tempfile.mkdtemp(dir=self._folder))
        known = self._folder / "embeddings"
        known.mkdir(exist_ok=True)
        (cache / "embeddings").symlink_to(known)
        started = time.perf_counter()
        cloak_photos(
            cloak,
            [network],
            self.people[own],
            {other: self.people[other] for other in others},
            only=only,
            read=pixels,
            carried=carried,
            faces=KnownFaces(self._folder / "faces"),
            out=cache / "out",
            cache=cache,
            work=work,
            on_progress=on_progress,
        )
        return time.perf_counter() - started


def _steady(bench: Bench) -> None:
    photos, number = len(bench.photos) / 10, 0
    started, used = time.perf_counter(), time.process_time()

    def note(done: int, of: int) -> None:
        nonlocal number, started, used
        while done >= of * (number + 1) / 10:
            number, at, cpu = number + 1, time.perf_counter(), time.process_time()
            rate, each_s = 60 * photos / (at - started), (cpu - used) / photos
            print(f"{number:6} {_memory_mb():6} {rate:11.1f} {each_s:12.3f}", flush=True)
            started, used = at, cpu

    bench.cloak(only=bench.photos[:1])
    print(f"{10 * photos:.0f} photos, memory before {_memory_mb()} MB")
    print(f"{'tenth':>6} {'MB':>6} {'photos/min':>11} {'CPU s/photo':>12}", flush=True)
    started, used = time.perf_counter(), time.process_time()
    bench.cloak(on_progress=note)


def _memory_mb() -> int:
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


def _overlap(bench: Bench, repeats: int) -> None:
    bench.cloak(only=bench.photos[:1])
    took: dict[str, list[tuple[float, float]]] = {"one after the other": [], "at once": []}
    for _ in range(repeats):
        for name, work in (("one after the other", _one_by_one), ("at once", cloak_here)):
            used = time.process_time()
            wall_s = bench.cloak(work)
            took[name].append((wall_s, time.process_time() - used))
    for name, runs in took.items():
        wall, cpu = (
            ", ".join(f"{each:.1f}" for each in column) for column in zip(*runs, strict=True)
        )
        print(f"{name}: {wall} s, {cpu} s of the processor")
    for title, column in (("time", 0), ("processor", 1)):
        pairs = zip(*took.values(), strict=True)
        print(f"{title}: {_spread([plain[column] / both[column] for plain, both in pairs])}")


def _one_by_one(
    recipe: Recipe, batches: Iterable[Batch], on_step: Callable[[int], None], keep: Keep
) -> Generator[Kept, None, None]:
    for batch in batches:
        yield from map(keep, cloak_batch(recipe, batch, on_step))


def _ratio(bench: Bench, repeats: int, nice: int) -> None:
    bench.cloak(only=bench.photos[:1])
    clock, processor, plain = list[float](), list[tuple[float, float]](), list[float]()
    for _ in range(repeats):
        alone_s, both_s = (_without_ray(bench, processes) for processes in (1, 2))
        plain.append(alone_s / both_s)
        one, two = (_measured(bench, workers, nice) for workers in (1, 2))
        clock.append(one.seconds / two.seconds)
        work_s, with_ray_s = (two.on_two_cores_s(ray=ray) for ray in (False, True))
        processor.append((sum(one.workers_s) / work_s, sum(one.workers_s) / with_ray_s))
    print(f"ratio by the clock {_spread(clock)}; of plain processes {_spread(plain)}")
    for title, ratios in zip(("", ", Ray's own too"), zip(*processor, strict=True), strict=True):
        print(f"ratio that the processor's seconds leave to two cores{title}: {_spread(ratios)}")


@dataclass(frozen=True, slots=True)
class Measured:
    """How long all photos took, and the processor's seconds of who worked on them."""

    seconds: float
    workers_s: Sequence[float]
    driver_s: float
    ray_s: float

    def on_two_cores_s(self, *, ray: bool) -> float:
        """Return how long it takes on two cores on which nothing else runs."""
        return (sum(self.workers_s) + self.driver_s + ray * self.ray_s) / 2


def _measured(bench: Bench, workers: int, nice: int) -> Measured:
    """Cloak all photos on a cluster of so many workers, once each of them has done a batch."""
    with _cluster(workers) as address, scale.cluster(address, "cpu") as work:
        while len(ready := _ready()) < workers:
            bench.cloak(work, only=bench.photos[::WARMING_EVERY])
        for core, worker in zip(sorted(os.sched_getaffinity(0)), ready, strict=False):
            _pin(worker, core, nice)
        before, used = _processor_s(), time.process_time()
        seconds = bench.cloak(work)
        driver_s, after = time.process_time() - used, _processor_s()
    spent = {process: spent_s - before.get(process, 0) for process, spent_s in after.items()}
    workers_s = [spent[worker] for worker in ready]
    ray_s = sum(spent.values()) - sum(workers_s)
    each = " + ".join(f"{each:.1f}" for each in workers_s)
    print(
        f"{workers} workers: {60 * len(bench.photos) / seconds:.0f} photos/min; of the "
        f"processor in {seconds:.1f} s: {each} s, this process {driver_s:.1f} s, Ray {ray_s:.1f} s",
        flush=True,
    )
    return Measured(seconds, workers_s, driver_s, ray_s)


def _without_ray(bench: Bench, processes: int) -> float:
    """Return how long all photos take so many processes, each of which knows its part of them."""
    context = multiprocessing.get_context("spawn")
    ready, seconds = context.Barrier(processes), context.SimpleQueue()
    each = len(bench.photos) // processes
    started = [
        context.Process(target=_part, args=(bench, core * each, each, core, ready, seconds))
        for core in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        sys.exit("a plain process ended before its photos were cloaked: see above")
    slowest_s: float = max(seconds.get() for _ in started)
    print(f"{processes} plain processes: {slowest_s:.1f} s", flush=True)
    return slowest_s


def _part(bench: Bench, first: int, photos: int, core: int, ready: Any, seconds: Any) -> None:
    """Cloak some of the photos on a core, once the other processes are as far."""
    _pin(os.getpid(), sorted(os.sched_getaffinity(0))[core], 0)
    bench.cloak(_one_by_one, only=bench.photos[first : first + 1])
    ready.wait(OTHERS_READY_S)
    seconds.put(bench.cloak(_one_by_one, only=bench.photos[first : first + photos]))


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


@contextmanager
def _cluster(workers: int) -> Iterator[str]:
    from ray.cluster_utils import Cluster

    size = {"num_cpus": workers, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster: Any = Cluster(initialize_head=True, head_node_args=size)
    yield cluster.address
    cluster.shutdown()


def _ready() -> list[int]:
    """Return the workers that have done a batch, and so have imported torch."""
    return sorted(
        process
        for process, spent_s in _processor_s().items()
        if spent_s > IMPORT_S
        and _command_line(process).startswith((b"ray::IDLE", b"ray::_cloaked"))
    )


def _pin(process: int, core: int, nice: int) -> None:
    """Let a process run on one core, before others that want it."""
    for task in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, int(task.name), nice)


def _processor_s() -> dict[int, float]:
    """Return the processor's seconds that each process below this one has used."""
    spent: dict[int, float] = {}
    waiting = [os.getpid()]
    while waiting:
        process = waiting.pop()
        with suppress(OSError):  # it has just ended
            for task in Path(f"/proc/{process}/task").glob("*/children"):
                waiting += map(int, task.read_text().split())
            if process != os.getpid():
                stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                spent[process] = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


if __name__ == "__main__":
    main()
