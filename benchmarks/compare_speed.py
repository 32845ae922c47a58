"""How long the comparison of 200 runs takes, beside the reading of their observations alone.

    python benchmarks/compare_speed.py [RUNS] [PROBES]

Makes run folders of four services, five arms each, in which scores drift, and compares all of them
in a process of its own, as a user would. The bound is a process that only imports the libraries,
and pandas reading the same observations.csv files and no more.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.types import Observation, Outcome, content_hash

SERVICES = {"azure": "Azure Face", "rekognition": "Amazon Rekognition", "facepp": "Face++"}
ARMS = {"control": 0.95, "fawkes-0.3-min": 0.92, "fawkes-0.3-mid": 0.88, "fawkes-0.3-high": 0.79,
        "lowkey-high": 0.6}  # fmt: skip
PHOTOS = 340


def main() -> None:
    """Make the runs, compare them, and print the times."""
    runs, probes = (int(word) for word in [*sys.argv[1:], *("200", "31")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as folder:
        places = [write(Path(folder), number, probes) for number in range(runs)]
        importing_s = timed("-c", "import reports.compare_page")
        started = time.perf_counter()
        for place in places:
            pd.read_csv(place / "observations.csv")
        bound_s = importing_s + time.perf_counter() - started
        command = ("-m", "audit", "compare", "--quiet", "--runs", folder)
        comparing_s = timed(*command, *(place.name for place in places))
    print(f"{runs} runs of {len(ARMS)} arms and {probes} probes: compared in {comparing_s:.1f} s")
    print(f"imports ({importing_s:.1f} s) and reading observations alone: {bound_s:.1f} s")
    print(f"ratio: {comparing_s / bound_s:.1f}")


def timed(*arguments: str) -> float:
    """Run Python in a process of its own, with its byte code kept, and return the seconds."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, env=environment)
    return time.perf_counter() - started


def write(folder: Path, number: int, probes: int) -> Path:
    """Write one run folder as far as a comparison reads it."""
    provider = list(SERVICES)[number % len(SERVICES)]
    run = folder / f"run-{number:03}"
    (run / "cloaked").mkdir(parents=True)
    (run / "experiment.toml").write_text(f'provider = "{provider}"\n')
    (run / "manifest.json").write_text(json.dumps(manifest(number, provider, run.name)))
    photos = [photo(place, probes) for place in range(PHOTOS)]
    (run / "photos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in photos))
    (run / "cloaked" / "cloaks.jsonl").write_text("")
    with (run / "observations.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Observation)])
        writer.writeheader()
        writer.writerows(observations(number, provider, run.name, probes))
    return run


def manifest(number: int, provider: str, run_id: str) -> dict[str, object]:
    """Return a manifest of a run that began so many weeks after the first."""
    began = pd.Timestamp("2024-01-01T10:00:00Z") + pd.Timedelta(weeks=number)
    return {
        "run_id": run_id,
        "exit_state": "done",
        "started_utc": began.isoformat(),
        "service": {
            "provider": provider,
            "name": SERVICES[provider],
            "service_model": f"v{number // 60}",
        },
        "counts": {"train": 70, "probe": 31, "decoy_people": 40},
        "arms": [
            {"arm": arm, "game": "poison", "enrolled": 70, "enrol_rejected": 0, **kind(arm)}
            for arm in ARMS
        ],
    }


def kind(arm: str) -> dict[str, Any]:
    """Return what an arm of this name is."""
    system, _, level = arm.rpartition("-")
    if arm == "control":
        return {"system": "none", "level": "none", "targets": None, "cloaked_fraction": 0.0}
    return {"system": system, "level": level, "targets": "same", "cloaked_fraction": 1.0}


def photo(place: int, probes: int) -> dict[str, object]:
    """Return one row of photos.jsonl; the first photos are the probes."""
    role = "probe" if place < probes else "decoy"
    sha256 = content_hash(place)
    return {"sha256": sha256, "person": "ann", "path": f"ann/{place}.jpg", "role": role,
            "rejected": False, "reason": "", "detail": "", "width": 9, "height": 9}  # fmt: skip


def observations(number: int, provider: str, run_id: str, probes: int) -> list[dict[str, object]]:
    """Return every probe's answer in every arm: scores drift, and some are hidden."""
    draw = np.random.default_rng(number)
    rows = []
    for arm, mean in ARMS.items():
        scores = np.clip(draw.normal(mean - 0.001 * number / 3, 0.03, probes), 0, 1)
        for place, score in enumerate(scores.round(5).tolist()):
            is_hidden = score < 0.55
            row = Observation(
                run_id=run_id, utc="2024-01-01T10:00:00Z", provider=provider, service_model="",
                game="poison", arm=arm, probe_sha256=content_hash(place), true_person="ann",
                outcome=Outcome.NO_MATCH if score < 0.6 else Outcome.MATCH, threshold=0.0,
                true_score=None if is_hidden else score, censored=is_hidden, **kind(arm),
            )  # fmt: skip
            rows.append(asdict(row) | {"censored": str(is_hidden).lower()})
    return rows


if __name__ == "__main__":
    main()
