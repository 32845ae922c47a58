"""Many photos: whether memory stays flat and the rate steady, and what a second Ray worker gains.

    OMP_NUM_THREADS=1 python benchmarks/cloak_scale.py photos --photos 1000
    OMP_NUM_THREADS=1 python benchmarks/cloak_scale.py ray --photos 256 --repeats 3

Photos are of drawn people, cloaked with a bundled network. `photos` cloaks one person's photos in
this process. It prints the memory and the rate of each tenth of them, also in seconds of the
processor, which others on the machine disturb less. `ray` starts a
cluster of one machine with one CPU, then of two, and prints the ratio of their rates with its
spread; the photos' faces are found before, as they are for every photo only once.
"""

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.types import Cloak, Photo, Targets
from cloaker import scale
from cloaker.cloaking import Work, cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks import registry
from cloaker.pipeline import cloak_here
from datasets import generated
from datasets.carried import carried
from datasets.photos import pixels

NETWORK = "bundled-conv"
SYSTEM = "fawkes-0.3"
CANDIDATES = 4


def main() -> None:
    """Measure what is asked for."""
    arguments = _arguments()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.photos, arguments.level)
        if arguments.what == "photos":
            _steady(bench)
        else:
            _ratio(bench, arguments.repeats)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["photos", "ray"])
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--level", default="min")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


class Bench:
    """One drawn person to be cloaked, and people to cloak towards."""

    def __init__(self, folder: Path, photos: int, level: str) -> None:
        self._folder, self._level, self._runs = folder, level, 0
        counts = [photos, *[1] * CANDIDATES]
        generated.write_people(folder / "people", len(counts), counts.__getitem__)
        self.people: dict[str, list[Photo]] = {}
        for path in sorted((folder / "people").rglob("*.png")):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            photo = Photo(sha256, path.parent.name, path, 0, 0)
            self.people.setdefault(photo.person, []).append(photo)

    def cloak(self, work: Work, on_progress: Callable[[int, int], None]) -> None:
        """Cloak all photos of the first person with an empty cache."""
        self._runs += 1
        own, *others = self.people
        network = registry.load(NETWORK)
        cloak_photos(
            Cloak(
                SYSTEM,
                self._level,
                resolve(SYSTEM, self._level),
                {NETWORK: network.weights_sha256},
                Targets.SAME,
                0,
            ),
            [network],
            self.people[own],
            {other: self.people[other] for other in others},
            read=pixels,
            carried=carried,
            faces=KnownFaces(self._folder / "faces"),
            out=self._folder / f"out-{self._runs}",
            cache=self._folder / f"cache-{self._runs}",
            work=work,
            on_progress=on_progress,
        )

    def find_faces(self) -> None:
        """Look for the faces of all photos."""
        faces = KnownFaces(self._folder / "faces")
        for photos in self.people.values():
            for photo in photos:
                faces.find(photo.sha256, pixels(photo))


def _steady(bench: Bench) -> None:
    tenths: list[tuple[float, float, int]] = []

    def note(done: int, of: int) -> None:
        if done >= of * (len(tenths) + 1) / 10:
            tenths.append((time.perf_counter(), time.process_time(), _memory_mb()))

    bench.find_faces()
    started, used = time.perf_counter(), time.process_time()
    before_mb = _memory_mb()
    bench.cloak(cloak_here, note)
    photos = len(next(iter(bench.people.values()))) / 10
    print(f"{10 * photos:.0f} photos, memory before {before_mb} MB")
    print(f"{'tenth':>6} {'MB':>6} {'photos/min':>11} {'CPU s/photo':>12}")
    for number, (at, cpu, memory_mb) in enumerate(tenths, start=1):
        rate, each_s = 60 * photos / (at - started), (cpu - used) / photos
        print(f"{number:6} {memory_mb:6} {rate:11.1f} {each_s:12.3f}")
        started, used = at, cpu


def _memory_mb() -> int:
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


def _ratio(bench: Bench, repeats: int) -> None:
    bench.find_faces()
    took_s: dict[int, list[float]] = {1: [], 2: []}
    for machines in [1, 2] * repeats:
        with _cluster(machines) as address, scale.cluster(address, "cpu") as work:
            bench.cloak(work, lambda _done, _of: None)  # workers import torch
            started = time.perf_counter()
            bench.cloak(work, lambda _done, _of: None)
            took_s[machines].append(time.perf_counter() - started)
    photos = len(next(iter(bench.people.values())))
    for machines, seconds in took_s.items():
        rates = ", ".join(f"{60 * photos / each:.0f}" for each in seconds)
        print(f"{machines} workers: {rates} photos/min")
    ratios = [one / two for one, two in zip(took_s[1], took_s[2], strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


@contextmanager
def _cluster(machines: int) -> Iterator[str]:
    from ray.cluster_utils import Cluster

    size: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 200_000_000}
    cluster: Any = Cluster(initialize_head=True, head_node_args=size | {"include_dashboard": False})
    for _ in range(machines - 1):
        cluster.add_node(**size)
    yield cluster.address
    cluster.shutdown()


if __name__ == "__main__":
    main()
