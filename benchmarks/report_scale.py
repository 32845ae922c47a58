"""Time and memory of the report of a run with a million observations, beside pandas' own reading.

    python benchmarks/report_scale.py [--probes 50000] [--arms 20] [--people 500] [--keep FOLDER]

The run folder is made up: every probe of every person is asked in every arm, a tenth of the
scores are hidden, and enrolment, cloaks, photos and the ledger's calls are as many as such a run
has. Each measurement is a process of its own: `report` is `audit report`, `export` is `audit
export` as parquet, and the bound is `pandas.read_csv` of observations.csv alone. Peak memory is
that of the process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audit.ledger import Ledger
from audit.types import CloakedPhoto, Observation

_START = pd.Timestamp("2026-01-01T00:00:00Z")
_TRAIN, _DECOYS, _DECOY_PHOTOS = 20, 1000, 5
_BOUND = "import sys, pandas; pandas.read_csv(sys.argv[1])"
_AUDIT = "from audit.cli import main; main()"


def main() -> None:
    """Print one line a measurement."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        run = (arguments.keep or Path(temporary)) / "large"
        if not run.exists():
            write_run(run, arguments.arms, arguments.probes, arguments.people)
        rows = arguments.arms * arguments.probes
        print(f"{rows} observations, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        bound_s = measured("bound: pandas.read_csv", _BOUND, str(run / "observations.csv"))
        report_s = measured("report", _AUDIT, "report", str(run))
        print(f"report / bound: {report_s / bound_s:.1f}")
        out = Path(temporary) / "export"
        measured("export", _AUDIT, "export", str(run), "--format", "parquet", "--to", str(out))
        size_mb = (run / "report" / "index.html").stat().st_size / 1e6
        print(f"page: {size_mb:.1f} MB; load after: {os.getloadavg()[0]:.1f}")


def measured(name: str, program: str, *arguments: str) -> float:
    """Run a program, print its wall time, CPU time and peak memory, and return the wall time."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    took_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name} failed")
    cpu_s = usage.ru_utime + usage.ru_stime
    print(f"{name}: {took_s:.1f} s ({cpu_s:.1f} s of CPU), {usage.ru_maxrss / 1024:.0f} MB at most")
    return took_s


def write_run(run: Path, arms: int, probes: int, people: int) -> None:
    """Write a run folder with `arms` x `probes` observations of `people` protected people."""
    run.mkdir(parents=True)
    (run / "experiment.toml").write_text('provider = "azure"\n')
    described = [_arm(number, people) for number in range(arms)]
    (run / "manifest.json").write_text(json.dumps(_manifest(described, probes, people)))
    _write_observations(run, described, probes, people)
    _write_photos(run, probes, people)
    _write_enrolment(run, described, people)
    _write_cloaks(run, described[1:], people)
    _write_ledger(run, described, probes)


def _arm(number: int, people: int) -> dict[str, Any]:
    name = f"fawkes-0.3-v{number}" if number else "control"
    return {
        "arm": name,
        "game": "poison",
        "system": "fawkes-0.3" if number else "none",
        "level": f"v{number}" if number else "none",
        "targets": "same" if number else None,
        "cloaked_fraction": 1.0 if number else 0.0,
        "enrolled": people * _TRAIN,
        "enrol_rejected": people,
    }


def _manifest(arms: Sequence[Mapping[str, Any]], probes: int, people: int) -> dict[str, Any]:
    return {
        "run_id": "large",
        "started_utc": _START.isoformat(),
        "exit_state": "done",
        "service": {"provider": "azure", "name": "Azure Face", "service_model": "recognition_04"},
        "counts": {"people": people, "probe": probes, "decoy_people": _DECOYS},
        "arms": list(arms),
    }


def _hashes(kind: str, count: int) -> np.ndarray:
    return np.array([sha256(f"{kind} {number}".encode()).hexdigest() for number in range(count)])


def _person(numbers: np.ndarray) -> np.ndarray:
    return np.char.add("person ", numbers.astype(str))


def _utc(seconds: np.ndarray) -> pd.Series:
    moments = pd.Series(_START + pd.to_timedelta(seconds, unit="s"))
    return moments.dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "+00:00"


def _write_observations(
    run: Path, arms: Sequence[Mapping[str, Any]], probes: int, people: int
) -> None:
    draw = np.random.default_rng(5)
    hashes, who = _hashes("probe", probes), _person(np.arange(probes) % people)
    named = [field.name for field in fields(Observation)]
    for number, arm in enumerate(arms):
        score = np.clip(draw.normal(0.95 - 0.03 * number, 0.08, probes), 0, 1).round(5)
        outcome = np.where(score > 0.6, "match", np.where(score > 0.4, "other_person", "no_match"))
        outcome[draw.random(probes) < 0.01] = "no_face"
        answered = outcome != "no_face"
        hidden = answered & (draw.random(probes) < 0.1)
        verified = draw.random(probes) < 0.2
        top = np.where(outcome == "match", who, _person((np.arange(probes) * 7) % _DECOYS))
        named_any = np.isin(outcome, ["match", "other_person"])
        shown = answered & ~hidden
        frame = pd.DataFrame(
            {
                "run_id": "large",
                "utc": _utc(number * probes * 0.1 + 0.1 * np.arange(probes)),
                "provider": "azure",
                "service_model": "recognition_04",
                **{key: arm[key] for key in ("game", "arm", "system", "level")},
                "targets": arm["targets"],
                "cloaked_fraction": arm["cloaked_fraction"],
                "probe_sha256": hashes,
                "true_person": who,
                "outcome": outcome,
                "top_person": pd.Series(top).where(named_any),
                "top_score": pd.Series(np.maximum(score, 0.5)).where(named_any),
                "rank": pd.Series(np.where(outcome == "match", 1, 2)).where(shown).astype("Int64"),
                "true_score": pd.Series(score).where(shown),
                "true_score_source": pd.Series(np.where(verified, "verify", "identify")).where(
                    shown
                ),
                "censored": np.where(hidden, "true", "false"),
                "threshold": 0.0,
                "native_score": pd.Series(score).where(shown),
                "latency_ms": draw.gamma(5, 30, probes).round(3),
                "attempts": 1 + (draw.random(probes) < 0.02),
                "service_thresholds": None,
            }
        )
        where = run / "observations.csv"
        frame[named].to_csv(where, mode="a", header=not number, index=False)


def _write_photos(run: Path, probes: int, people: int) -> None:
    with (run / "photos.jsonl").open("w") as file:
        for role, count, owners in (
            ("probe", probes, people),
            ("train", people * _TRAIN, people),
            ("decoy", _DECOYS * _DECOY_PHOTOS, _DECOYS),
        ):
            for number, sha in enumerate(_hashes(role, count)):
                person = f"{'decoy' if role == 'decoy' else 'person'} {number % owners}"
                row = {"sha256": sha, "person": person, "path": f"{person}/{number}.jpg", "role": role,
                       "rejected": False, "reason": "", "detail": "", "width": 640, "height": 480}  # fmt: skip
                file.write(json.dumps(row) + "\n")


def _write_enrolment(run: Path, arms: Sequence[Mapping[str, Any]], people: int) -> None:
    hashes, who = _hashes("train", people * _TRAIN), _person(np.arange(people * _TRAIN) % people)
    refused = np.arange(people * _TRAIN) < people
    for number, arm in enumerate(arms):
        frame = pd.DataFrame(
            {
                "arm": arm["arm"],
                "person": who,
                "photo_sha256": hashes,
                "outcome": np.where(refused, "refused", "enrolled"),
                "code": np.where(refused, "InvalidImage", ""),
                "reason": np.where(refused, "The face is too small.", ""),
                "note": "",
            }
        )
        frame.to_csv(run / "enrolment.csv", mode="a", header=not number, index=False)


def _write_cloaks(run: Path, arms: Sequence[Mapping[str, Any]], people: int) -> None:
    draw = np.random.default_rng(6)
    hashes = _hashes("train", people * _TRAIN)
    (run / "cloaked").mkdir()
    with (run / "cloaked" / "cloaks.jsonl").open("w") as file:
        for arm in arms:
            dssim = draw.uniform(0.006, 0.0079, len(hashes)).round(6).tolist()
            for number, sha in enumerate(hashes):
                measured = dict.fromkeys((field.name for field in fields(CloakedPhoto)), 0.0)
                row = measured | {
                    "source_sha256": sha, "cloaked_sha256": sha, "person": f"person {number % people}",
                    "file": f"{arm['arm']}/{sha}.png", "system": arm["system"], "level": arm["level"],
                    "seed": 0, "target": f"target {number % people % 7}", "steps": 60, "budget": 0.008,
                    "dssim": dssim[number], "dssim_crop": 0.008, "dssim_photo": 0.001, "l2": 900.0,
                    "linf": 31.0, "embedding_shift": 1.1, "embedding_shifts": {"net": 1.1},
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")


def _write_ledger(run: Path, arms: Sequence[Mapping[str, Any]], probes: int) -> None:
    """Write a call and an attempt for each probe and arm; every fiftieth was throttled before."""
    with closing(Ledger(run / "ledger.db")):
        pass
    from audit.ledger_writer import connect

    with closing(connect(run / "ledger.db")) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        database.executemany(
            "INSERT INTO calls (id, provider, verb, operation, arm, gallery, person, photos, repeat,"
            " phase, state, sent_utc, done_utc, latency_ms, attempts, result)"
            " VALUES (?, 'azure', 'identify_photo', 'Identify', ?, 'g', '', ?, 0, 1, 'done', ?, ?, ?, ?, '{}')",
            _calls(arms, probes),
        )
        database.execute(
            "INSERT INTO attempts SELECT seq, 1, sent_utc, latency_ms,"
            " CASE attempts WHEN 2 THEN '429' ELSE 'done' END FROM calls"
        )
        database.execute(
            "INSERT INTO attempts SELECT seq, 2, done_utc, latency_ms, 'done' FROM calls WHERE attempts = 2"
        )
        database.execute("COMMIT")


def _calls(arms: Sequence[Mapping[str, Any]], probes: int) -> Iterator[tuple[Any, ...]]:
    hashes = _hashes("probe", probes).tolist()
    for number, arm in enumerate(arms):
        sent = _utc(number * probes * 0.1 + 0.1 * np.arange(probes)).tolist()
        for place, (sha, utc) in enumerate(zip(hashes, sent, strict=True)):
            name = f"{arm['arm']} {sha}"
            attempts = 2 if place % 50 == 0 else 1
            yield name, arm["arm"], f'["{sha}"]', utc, utc, 150.0, attempts


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--probes", type=int, default=50_000)
    parser.add_argument("--arms", type=int, default=20)
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="Keep the run folder here, or take it from here.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
