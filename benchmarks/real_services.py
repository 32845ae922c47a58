"""The same experiment on real photos at every service's emulator and at local recognisers.

    python benchmarks/real_services.py FACES WEIGHTS

As real_photos.py, with the same network behind all emulators and the local recogniser: what
differs between the rows is how each service enrols, asks and answers. The photos are cloaked once.
Prints one table of all runs.
"""

import csv
import json
import tempfile
import time
from pathlib import Path

from real_photos import FILES, audit, gather, parse

SERVICES = {
    "azure": ("--provider", "azure", "--emulate"),
    "rekognition faces": ("--provider", "rekognition", "--emulate", "--gallery", "faces"),
    "rekognition users": ("--provider", "rekognition", "--emulate", "--gallery", "users"),
    "facepp": ("--provider", "facepp", "--emulate"),
    "local nearest": ("--provider", "local"),
    "local centroid": ("--provider", "local", "--matching", "centroid"),
    "local linear": ("--provider", "local", "--matching", "linear"),
}
COLUMNS = (
    "arm",
    "identified",
    "protection_success_rate",
    "ci_low",
    "ci_high",
    "mean_score",
    "median_score",
    "min_score",
    "max_score",
    "censored",
    "no_face",
    "refused",
    "errors",
    "enrolled",
    "enrol_rejected",
)


def main() -> None:
    """Run the experiment at each service and print the table."""
    arguments = parse()
    print("| service | " + " | ".join(COLUMNS) + " | verified | uploads changed | calls | s |")
    print("|" + "---|" * (len(COLUMNS) + 5))
    with tempfile.TemporaryDirectory() as folder:
        photos = gather(arguments, Path(folder))
        for name in {arguments.network, arguments.judge}:
            audit("weights", "add", name, str(arguments.weights / FILES[name]))
        for service, options in SERVICES.items():
            started = time.perf_counter()
            done = audit(
                *("run", *options, "--photos", str(photos), "--person", arguments.person),
                *("--train", "70", "--probes", "31", "--level", "mid", "--level", "high"),
                *("--network", arguments.network, "--recogniser", arguments.judge),
                *("--out", f"services-{service.replace(' ', '-')}"),
            )
            print_rows(service, Path(done.splitlines()[-1]), time.perf_counter() - started)


def print_rows(service: str, run: Path, seconds: float) -> None:
    """Print a row for each arm; `verified` counts the scores that did not come from identify."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    observations = read(run / "observations.csv")
    changed = [row["arm"] for row in read(run / "changed_uploads.csv")]
    for row in read(run / "report" / "tables" / "summary.csv"):
        own = [seen for seen in observations if seen["arm"] == row["arm"]]
        verified = sum(seen["true_score_source"] == "verify" for seen in own)
        values = [row[column] for column in COLUMNS]
        extra = [verified, changed.count(row["arm"]), manifest["calls"]["sent"], round(seconds)]
        print("| " + " | ".join(map(str, [service, *values, *extra])) + " |", flush=True)


def read(file: Path) -> list[dict[str, str]]:
    """Return a CSV file's rows."""
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


if __name__ == "__main__":
    main()
