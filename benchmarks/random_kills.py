"""kill -9 at random moments of a run at each service, and what it costs.

    python benchmarks/random_kills.py [--kills 200]

An emulator outlives every process. A run with two arms that share a gallery is killed after a few
more answers, resumed, killed again and so on; when it is through, the next one begins, until there
were so many kills. Each finished run must have left the gallery that its plan says, the
observations of a run that nobody disturbed, and no more requests on the wire than the plan has,
plus those that were in flight at the kills (rows that the ledger had as `sent`). Prints a row a
service; ends with an error if anything differs.
"""

import argparse
import csv
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from audit.expansion import person_tag
from cloaker.networks import bundled
from cloaker.recogniser import LocalRecogniser
from datasets import generated
from providers.emulators.calibration import calibration
from providers.emulators.options import Options
from providers.emulators.server import running

PEOPLE = [20, *[6] * 10]
LATENCY_MS = 15
SERVICES = {
    "azure": ("azure",),
    "rekognition faces": ("rekognition", "--gallery", "faces"),
    "rekognition users": ("rekognition", "--gallery", "users"),
    "facepp": ("facepp",),
}
KEYS = {
    "AZURE_FACE_KEY": "any",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_REGION": "us-east-1",
    "FACEPP_API_KEY": "any",
    "FACEPP_API_SECRET": "any",
}
COMPARED = ("arm", "probe_sha256", "outcome", "top_person", "top_score", "rank", "true_score")
AUDIT = [sys.executable, "-m", "audit"]


class Trial:
    """One service's emulator, and the folder of its runs."""

    def __init__(self, service: str, folder: Path, people: Path, endpoint: str) -> None:
        self.endpoint = endpoint
        self._folder = folder
        provider, *options = SERVICES[service]
        self._asked = [
            *("--provider", provider, *options, "--endpoint", endpoint, "--tier", "emulator"),
            *("--photos", str(people), "--person", "person-000", "--train", "12"),
            *("--level", "min", "--quiet"),
        ]

    def undisturbed(self) -> list[tuple[str, ...]]:
        """Return the observations of a run without kills."""
        self._start("undisturbed").wait()
        return self.observations("undisturbed")

    def killed(self, run: str, kills: int, dice: random.Random) -> tuple[int, int]:
        """Kill and resume a run up to so many times; return the kills and what was in flight."""
        done = in_flight = 0
        process = self._start(run)
        while done < kills and self._progresses(run, process, dice.randint(1, 14)):
            time.sleep(dice.random() * 2 * LATENCY_MS / 1000)
            process.kill()
            process.wait()
            done += 1
            in_flight += self.calls(run, "sent")
            process = self._resume(run)
        if process.wait():
            raise SystemExit(f"{run} ended with exit code {process.returncode}")
        return done, in_flight

    def _progresses(self, run: str, process: "subprocess.Popen[bytes]", answers: int) -> bool:
        """Wait for further answers; False if the run is through before."""
        wanted = self.calls(run, "done") + answers
        while self.calls(run, "done") < wanted:
            if process.poll() is not None:
                return False
            time.sleep(0.002)
        return process.poll() is None

    def calls(self, run: str, state: str) -> int:
        """Return how many calls of a run are in a state."""
        ledger = self._folder / "audit-runs" / run / "ledger.db"
        if not ledger.exists():
            return 0
        with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as database:
            try:
                query = "SELECT count(*) FROM calls WHERE state = ?"
                return int(database.execute(query, (state,)).fetchone()[0])
            except sqlite3.OperationalError:  # the table is not there yet
                return 0

    def observations(self, run: str) -> list[tuple[str, ...]]:
        """Return what a run observed, without what differs from run to run anyway."""
        file = self._folder / "audit-runs" / run / "observations.csv"
        with file.open(encoding="utf-8", newline="") as text:
            return sorted(tuple(row[name] for name in COMPARED) for row in csv.DictReader(text))

    def told(self, what: str) -> list[dict[str, Any]]:
        """Return the emulator's log or galleries."""
        answer: list[dict[str, Any]] = requests.get(
            f"{self.endpoint}/__emulator__/{what}", timeout=30
        ).json()
        return answer

    def planned(self) -> int:
        """Return how many calls the plan has."""
        command = [*AUDIT, "plan", *self._asked, "--json"]
        rows = json.loads(subprocess.check_output(command, env=os.environ | KEYS))
        return int(rows[-1]["calls"])

    def _start(self, run: str) -> "subprocess.Popen[bytes]":
        return self._process("run", *self._asked, "--yes", "--out", run)

    def _resume(self, run: str) -> "subprocess.Popen[bytes]":
        return self._process("resume", run, "--quiet")

    def _process(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*AUDIT, *arguments],
            cwd=self._folder,
            env=os.environ | KEYS,
            stdout=subprocess.DEVNULL,
        )


def main() -> None:
    """Kill runs at every service and print what it cost."""
    arguments = _arguments()
    recogniser, scores = LocalRecogniser(bundled.load("bundled-conv")), calibration("bundled-conv")
    print("service, kills, runs, in flight at kills, calls planned, requests beyond the plan")
    with tempfile.TemporaryDirectory() as name:
        people = Path(name, "people")
        generated.write_people(people, len(PEOPLE), PEOPLE.__getitem__)
        for service in arguments.service:
            folder = Path(name, service.replace(" ", "-"))
            folder.mkdir()
            options = Options(latency_ms=LATENCY_MS)
            provider = SERVICES[service][0]
            with running(provider, recogniser, scores, options=options) as endpoint:
                trial = Trial(service, folder, people, endpoint)
                print(service, *judge(trial, arguments.kills, arguments.seed), sep=", ", flush=True)


def judge(trial: Trial, kills: int, seed: int) -> tuple[int, int, int, int, int]:
    """Kill runs so many times in all; raise SystemExit if one ends otherwise than undisturbed."""
    dice = random.Random(seed)
    expected, planned = trial.undisturbed(), trial.planned()
    held = gallery_shape(trial)
    done = runs = in_flight = beyond = 0
    while done < kills:
        run = f"killed-{runs}"
        requests.post(f"{trial.endpoint}/__emulator__/clear", timeout=30).raise_for_status()
        some, flying = trial.killed(run, kills - done, dice)
        done, runs, in_flight = done + some, runs + 1, in_flight + flying
        more = len(trial.told("log")) - planned
        beyond += more
        if more > flying:
            raise SystemExit(f"{run}: {more} requests beyond the plan, {flying} were in flight")
        if trial.observations(run) != expected:
            raise SystemExit(f"{run}: other observations than undisturbed")
        if gallery_shape(trial) != held or not holds_last_arm(trial, run):
            raise SystemExit(f"{run}: the gallery holds {gallery_shape(trial)} instead of {held}")
    return done, runs, in_flight, planned, beyond


def gallery_shape(trial: Trial) -> list[int]:
    """Return how many faces each person of the one gallery has, ordered."""
    (gallery,) = trial.told("galleries")
    return sorted(len(person["faces"]) for person in gallery["persons"])


def holds_last_arm(trial: Trial, run: str) -> bool:
    """Tell whether the protected person of the last arm is in the gallery."""
    (gallery,) = trial.told("galleries")
    names = {person["person"] for person in gallery["persons"]}
    return person_tag(run, "person-000", "fawkes-0.3-min") in names


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--service", nargs="+", choices=SERVICES, default=list(SERVICES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
