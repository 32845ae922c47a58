"""What the ledger costs a run of many calls, beside what durable commits cost on this disk.

    python benchmarks/ledger_speed.py

The calls are planned, then carried out by threads that ask no service: each call is recorded as
sent and as done, durably. `ms a call` is wall time over calls. The bound is how many durable
commits a second plain SQLite makes, one after another, in the same run on the same disk.
"""

import argparse
import os
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from audit.calls import Call
from audit.ledger import Ledger

_UTC = "2026-01-01T00:00:00.000+00:00"
_BOUND_COMMITS = 2000


def main() -> None:
    """Print one line a figure."""
    arguments = _arguments()
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        bound = durable_commits_per_s(Path(folder) / "bound.db")
        print(f"bound: {bound:.0f} durable commits a second")
        with closing(Ledger(Path(folder) / "ledger.db")) as ledger:
            measure(ledger, arguments.calls, arguments.threads)
    print(f"load after: {os.getloadavg()[0]:.1f}")


def durable_commits_per_s(file: Path) -> float:
    """Return how many one-row transactions a second reach the disk, one after another."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE calls (seq INTEGER PRIMARY KEY, state TEXT)")
        began = time.perf_counter()
        for _ in range(_BOUND_COMMITS):
            database.execute("INSERT INTO calls (state) VALUES ('planned')")
        return _BOUND_COMMITS / (time.perf_counter() - began)


def measure(ledger: Ledger, calls: int, threads: int) -> None:
    """Plan, read and carry out so many calls, and print what each takes."""
    idle_mb = _peak_mb()
    began = time.perf_counter()
    ledger.add(planned(calls))
    print(f"planning: {time.perf_counter() - began:.2f} s for {calls} calls")
    began = time.perf_counter()
    rows = ledger.calls()
    print(f"reading: {time.perf_counter() - began:.2f} s")
    print(f"peak memory: {_peak_mb():.0f} MB, {idle_mb:.0f} MB of it before planning")
    took_s = carry_out(ledger, [row.seq for row in rows], threads)
    print(
        f"carrying out: {1000 * took_s / calls:.3f} ms a call,"
        f" {2 * calls / took_s:.0f} durable changes a second from {threads} threads"
    )
    assert ledger.states() == {"done": calls}
    assert ledger.attempts_made() == calls


def planned(calls: int) -> Iterator[Call]:
    """Yield enrolments of 20 photos a person, as a large run has them."""
    for number in range(calls):
        photo = sha256(str(number).encode()).hexdigest()
        yield Call(
            provider="azure",
            verb="enrol",
            operation="AddLargePersonGroupPersonFace",
            arm="fawkes-mid",
            gallery="audit-0123456789abcdef-0",
            person=f"person-{number // 20:05d}",
            photos=(photo,),
            phase=1,
        )


def carry_out(ledger: Ledger, numbers: Sequence[int], threads: int) -> float:
    """Record each call as sent and as done; return the seconds that it all takes."""

    def call(seq: int) -> None:
        ledger.sent(seq, _UTC)
        ledger.done(seq, _UTC, 200.0, {"face_id": f"face-{seq}", "note": ""})

    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as workers:
        list(workers.map(call, numbers))
    return time.perf_counter() - began


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--folder", help="where the ledger is written, such as another disk")
    return parser.parse_args()


if __name__ == "__main__":
    main()
