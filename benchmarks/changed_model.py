"""The service changed its model: one experiment on real photos, run twice and compared.

    python benchmarks/changed_model.py FACES WEIGHTS [--lfw-decoys N]

As real_photos.py, at Azure's emulator. In the first run the network behind the emulator is the one
that the photos are cloaked on; the second is `audit rerun` of it with another. Services change
their models like this without a word, and both the clean probes and the cloak's effect move at
once. Prints the sentences and tables of `audit compare`, and its page (`AUDIT_RUNS`).
"""

import csv
import tempfile
import time
from pathlib import Path

from real_photos import FILES, audit, gather, parse

LEVELS = ("min", "low")
TRAIN = "30"  # of the study's 70: cloaking is what takes the time
TABLES = ("changes", "runs")


def main() -> None:
    """Run, rerun, compare and print."""
    arguments = parse()
    runs = f"changed-{arguments.network}", f"changed-{arguments.judge}"
    for name in {arguments.network, arguments.judge}:
        audit("weights", "add", name, str(arguments.weights / FILES[name]))
    with tempfile.TemporaryDirectory() as folder:
        photos = gather(arguments, Path(folder))
        timed(
            *("run", "--provider", "azure", "--emulate", "--photos", str(photos)),
            *("--person", arguments.person, "--train", TRAIN, "--probes", "31"),
            *(word for level in LEVELS for word in ("--level", level)),
            *("--network", arguments.network, "--recogniser", arguments.network),
            *("--out", runs[0]),
        )
        timed("rerun", runs[0], "--recogniser", arguments.judge, "--out", runs[1])
    shown = timed("compare", *runs)
    print(shown)
    for name in TABLES:
        print_table(Path(shown.splitlines()[-1]).parent / "tables" / f"{name}.csv")


def timed(command: str, *arguments: str) -> str:
    """Run a command of ours, tell its time, and return what it printed."""
    started = time.perf_counter()
    done = audit(command, *arguments)
    print(f"audit {command}: {time.perf_counter() - started:.0f} s", flush=True)
    return done


def print_table(file: Path) -> None:
    """Print a CSV file as a Markdown table."""
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text))
    print(f"\n{file.stem}\n")
    for number, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if number == 0:
            print("|" + " --- |" * len(row))


if __name__ == "__main__":
    main()
