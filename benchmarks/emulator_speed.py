"""Requests a second at each emulator with a real network, and how near that is to its bound.

    python benchmarks/emulator_speed.py

Eight keep-alive clients send generated photos, no two of them equal bytes. `enrol` adds faces;
`mixture` adds one face and identifies another in turn. `photos/s` counts the requests that carry a
photo, the percentiles are theirs too. The bound is what the bare recogniser does with such photos
in a process of its own, one thread a core, without HTTP, measured right before.
The clients run on the same cores as the emulator: on a machine of its own it is faster.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from emulator_clients import CLIENTS, Client, distinct, started

from audit import services
from audit.types import Recogniser
from datasets import generated

CLIENTS_AT_ONCE = 8
WANTED_PER_S = 50
_GALLERY = "benchmark"
_WARM_UP = 20

Work = Callable[[Client, str, Sequence[bytes]], None]


def main() -> None:
    """Print one table row an emulator, kind of work and repetition."""
    arguments = _arguments()
    if arguments.bare:
        print(bare_rate(arguments.network, read_photos(arguments.bare)))
        return
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}")
    titles = ("provider", "work", "requests/s", "photos/s", "of bound", "p50 ms", "p95 ms")
    print(("{:>12}" * len(titles)).format(*titles))
    with tempfile.TemporaryDirectory() as folder:
        generated.write_people(Path(folder), arguments.photos // 6, 6)
        remove_faceless(arguments.network, Path(folder))
        photos = read_photos(Path(folder))
        for _ in range(arguments.repeats):
            bare = [__file__, "--bare", folder, "--network", arguments.network]
            bound = float(subprocess.check_output([sys.executable, *bare], text=True))
            print(f"{'bound':>12}{'':24}{bound:12.1f}")
            for provider in arguments.provider:
                measure(provider, arguments.network, photos, bound)
    print(f"load after: {os.getloadavg()[0]:.1f}")


def read_photos(folder: Path) -> list[bytes]:
    """Return the bytes of all photos below a folder."""
    return [path.read_bytes() for path in sorted(folder.rglob("*.png"))]


def remove_faceless(network: str, folder: Path) -> None:
    """Delete the few photos in which the detector does not find just one face."""
    recogniser = _recogniser(network)
    for path in folder.rglob("*.png"):
        if len(recogniser(path.read_bytes())) != 1:
            path.unlink()


def bare_rate(network: str, photos: Sequence[bytes]) -> float:
    """Return how many photos a second the recogniser alone looks at, one thread a core."""
    recogniser = _recogniser(network)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(recogniser, distinct(photos, 0, _WARM_UP)))
        began = time.perf_counter()
        list(pool.map(recogniser, distinct(photos, _WARM_UP, len(photos))))
        return len(photos) / (time.perf_counter() - began)


def _recogniser(network: str) -> Recogniser:
    torch.set_num_threads(1)
    return services.recogniser(network, "cpu")


def measure(provider: str, network: str, photos: Sequence[bytes], bound: float) -> None:
    """Start an emulator, let the clients work, and print a row for each kind of work."""
    emulator = ("-m", "audit", "emulate", "--provider", provider, "--network", network)
    with started(*emulator) as (url, _):
        first = CLIENTS[provider](url)
        first.create(_GALLERY)
        enrol(first, first.add_person(_GALLERY, "warm-up"), distinct(photos, 0, _WARM_UP))
        first.train(_GALLERY)
        kinds: dict[str, Work] = {"enrol": enrol, "mixture": mix}
        for number, (name, work) in enumerate(kinds.items()):
            sent = distinct(photos, _WARM_UP + number * len(photos), len(photos))
            clients = [CLIENTS[provider](url) for _ in range(CLIENTS_AT_ONCE)]
            seconds = in_threads(clients, sent, work)
            requests = sum(client.requests for client in clients) / seconds
            latencies = 1e3 * np.concatenate([client.seconds for client in clients])
            looks = len(latencies) / seconds
            p50, p95 = np.quantile(latencies, [0.5, 0.95])
            verdict = "" if looks >= WANTED_PER_S else f"  below {WANTED_PER_S}"
            print(
                f"{provider:>12}{name:>12}{requests:12.1f}{looks:12.1f}{looks / bound:12.2f}"
                f"{p50:12.0f}{p95:12.0f}{verdict}"
            )


def in_threads(clients: Sequence[Client], photos: Sequence[bytes], work: Work) -> float:
    """Share photos out among clients, each in a thread with a person; return the seconds."""
    people = [client.add_person(_GALLERY, f"p{number}") for number, client in enumerate(clients)]
    for client in clients:
        client.requests = 0
    with ThreadPoolExecutor(len(clients)) as pool:
        began = time.perf_counter()
        jobs = [
            pool.submit(work, client, person, photos[number :: len(clients)])
            for number, (client, person) in enumerate(zip(clients, people, strict=True))
        ]
        for job in jobs:
            job.result()
        return time.perf_counter() - began


def enrol(client: Client, person: str, photos: Sequence[bytes]) -> None:
    """Add a face for every photo."""
    for photo in photos:
        client.enrol(_GALLERY, person, photo)


def mix(client: Client, person: str, photos: Sequence[bytes]) -> None:
    """Add the face of every other photo, and identify that of those between."""
    for number, photo in enumerate(photos):
        if number % 2:
            client.identify(_GALLERY, photo)
        else:
            client.enrol(_GALLERY, person, photo)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--network", default="bundled-conv")
    parser.add_argument("--photos", type=int, default=360)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bare", type=Path, help="only print the bound for a folder of photos")
    return parser.parse_args()


if __name__ == "__main__":
    main()
