"""Memory of each emulator, and the time to identify, while 20,000 faces are enrolled.

    python benchmarks/emulator_memory.py

By default a stand-in for the recogniser, which makes up a face for every file's bytes, answers at
once, so that 20,000 faces take minutes: all faces differ, as those of 20,000 photos do, and what
the emulator keeps of them does not depend on the recogniser. `--network NAME` takes a real one.
`bytes of embeddings` is the least that must be held: the faces' float32 values, once.
`after identify` includes the matrices that searching needs. `identify ms` is the median of the
second and later ones, the first one after a training is `first ms`.
"""

import argparse
import hashlib
import io
import os
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
from emulator_clients import CLIENTS, Client, distinct, started
from PIL import Image

from audit.types import RecognisedFace
from datasets import generated
from providers.emulators.calibration import calibration
from providers.emulators.server import serve

CLIENTS_AT_ONCE = 4
FACES_PER_PERSON = 10
_IDENTIFIED = 6
_VALUES = 128


class StandIn:
    """One face a file, whose embedding depends on the bytes alone."""

    name = "bundled-conv"

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        """Return a face of 100 x 100 pixels."""
        seed = int.from_bytes(hashlib.sha256(image).digest()[:8], "big")
        values = np.random.default_rng(seed).standard_normal(_VALUES)
        embedding = tuple((values / np.linalg.norm(values)).tolist())
        points = ((95.0, 100.0), (145.0, 100.0), (120.0, 125.0), (100.0, 150.0), (140.0, 150.0))
        return (RecognisedFace(75, 60, 160, 160, 0.999, embedding, points),)


def main() -> None:
    """Print one table an emulator."""
    arguments = _arguments()
    if arguments.serve:
        serve(arguments.serve, StandIn(), calibration(StandIn.name))
        return
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}")
    for provider in arguments.provider:
        measure(provider, arguments.network, arguments.faces)
    print(f"load after: {os.getloadavg()[0]:.1f}")


def measure(provider: str, network: str | None, counts: Sequence[int]) -> None:
    """Enrol up to each number of faces and print a row."""
    command = [__file__, "--serve", provider]
    if network:
        command = ["-m", "audit", "emulate", "--provider", provider, "--network", network]
    photos = _photos()
    with started(*command) as (url, process):
        clients = [CLIENTS[provider](url) for _ in range(CLIENTS_AT_ONCE)]
        print(f"\n{provider}: {resident_mib(process):.0f} MiB before the first face")
        titles = ("faces", "enrolled/s", "MiB", "after identify", "embeddings", "identify ms")
        print(("{:>15}" * len(titles)).format(*titles), f"{'first ms':>10}")
        for before, count in pairwise([0, *counts]):
            began = time.perf_counter()
            for gallery, first, last in _parts(clients[0].gallery_faces_max, before, count):
                if first % clients[0].gallery_faces_max == 0:
                    clients[0].create(gallery)
                enrol(clients, gallery, photos, first, last)
            rate = (count - before) / (time.perf_counter() - began)
            enrolled_mib = resident_mib(process)
            clients[0].train(gallery)
            first_s, then_s = identify(clients[0], gallery, photos, count)
            print(
                f"{count:15}{rate:15.0f}{enrolled_mib:15.0f}{resident_mib(process):15.0f}"
                f"{count * _VALUES * 4 / 2**20:15.1f}{1e3 * then_s:15.1f} {1e3 * first_s:10.0f}"
            )


def enrol(
    clients: Sequence[Client], gallery: str, photos: Sequence[bytes], first: int, last: int
) -> None:
    """Enrol the faces numbered first..last - 1, each person's at a time."""

    def one(number: int, client: Client) -> None:
        for start in range(first + number * FACES_PER_PERSON, last, step):
            person = client.add_person(gallery, f"person-{start}")
            count = min(FACES_PER_PERSON, last - start)
            for photo in distinct(photos, start, count):
                client.enrol(gallery, person, photo)

    step = len(clients) * FACES_PER_PERSON
    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(one, range(len(clients)), clients))


def identify(
    client: Client, gallery: str, photos: Sequence[bytes], seed: int
) -> tuple[float, float]:
    """Return the seconds of the first identification and the median of the others."""
    seconds = []
    for photo in distinct(photos, 10_000_000 + seed, _IDENTIFIED):
        began = time.perf_counter()
        assert client.identify(gallery, photo)
        seconds.append(time.perf_counter() - began)
    return seconds[0], statistics.median(seconds[1:])


def resident_mib(process: int) -> float:
    """Return the resident memory of a process (Linux)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _parts(size: int, first: int, last: int) -> Iterator[tuple[str, int, int]]:
    """Split faces first..last - 1 into galleries of a size; yield name, first and last."""
    while first < last:
        gallery = first // size
        end = min(last, (gallery + 1) * size)
        yield f"gallery-{gallery}", first, end
        first = end


def _photos() -> list[bytes]:
    picture = generated.render(generated.person(0), 0)
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=3)
    return [stream.getvalue()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--faces", type=int, nargs="+", default=[1000, 5000, 10_000, 20_000])
    parser.add_argument("--network", help="a real recogniser behind the emulator")
    parser.add_argument("--serve", choices=CLIENTS, help="only serve, with the stand-in")
    return parser.parse_args()


if __name__ == "__main__":
    main()
