"""A factory of run folders: every file as a run leaves it, from a few arms and their scores."""

import csv
import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from audit.ledger import Ledger
from audit.types import Arm, CloakedPhoto, Game, Observation, Outcome, Targets
from reports.tables import FACE_FOUND

Probe = Mapping[str, Any]
"""One answer: outcome, score (the true person's), source, thresholds (JSON), censored,
top_person, person, number."""
ENROLMENT = ("arm", "person", "photo_sha256", "outcome", "code", "reason", "note")
CHANGED_UPLOADS = ("arm", "photo", "uploaded_sha256", "bytes", "change")


@dataclass
class Run:
    """What a run folder is made of. `manifest` replaces keys of the usual manifest.

    Without `enrolment` and `changed_uploads` it is a folder of before they were written.
    """

    answers: Mapping[Arm, Sequence[Probe]]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    threshold: float | None = 0.0
    rejected: Sequence[Mapping[str, Any]] = ()
    examples: int = 1
    enrolment: Sequence[Sequence[str]] | None = None
    changed_uploads: Sequence[Sequence[str]] | None = None


def arm_of(name: str) -> Arm:
    """Return `control`, or SYSTEM-LEVEL[-separate][-half] as an arm of that name."""
    if name == "control":
        return Arm(name, Game.POISON, "none", "none", None, 0.0)
    targets = Targets.SEPARATE if "-separate" in name else Targets.SAME
    fraction = 0.5 if name.endswith("-half") else 1.0
    system, level = name.replace("-separate", "").replace("-half", "").rsplit("-", 1)
    return Arm(name, Game.POISON, system, level, targets, fraction)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_run(folder: Path, run: Run) -> Path:
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text('provider = "azure"\nlevel = ["high"]\n')
    manifest = {**manifest_of(run), **run.manifest}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    rows = [row for arm, probes in run.answers.items() for row in observations(run, arm, probes)]
    write_observations(folder / "observations.csv", rows)
    write_table(folder / "enrolment.csv", ENROLMENT, run.enrolment)
    write_table(folder / "changed_uploads.csv", CHANGED_UPLOADS, run.changed_uploads)
    write_cloaks(folder, run)
    photos = [photo_row(row) for row in rows[: len(next(iter(run.answers.values())))]]
    lines = [json.dumps(row) for row in [*photos, *run.rejected]]
    (folder / "photos.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    write_ledger(folder / "ledger.db", rows)
    return folder


def write_ledger(path: Path, rows: Sequence[Observation]) -> None:
    """Write a call for each probe and arm, a second apart, every tenth throttled; and a shared one."""
    with closing(Ledger(path)):
        pass
    with closing(sqlite3.connect(path)) as ledger, ledger:
        for seq, row in enumerate(rows, start=1):
            utc = f"2024-05-01T10:{30 + seq // 60:02}:{seq % 60:02}.000+00:00"
            names = [row.top_person, *{"Ada", "Grace", "Katherine"} - {row.top_person}]
            shown = [{"person_id": name, "score": 0.7 - 0.3 * place} for place, name in
                     enumerate(sorted(names, key=lambda name: name != row.top_person))]  # fmt: skip
            result = json.dumps({row.probe_sha256: shown if row.top_person else []})
            state = "done" if row.outcome in FACE_FOUND else "failed"
            ledger.execute(
                "INSERT INTO calls VALUES (?, ?, 'azure', 'identify', 'Identify', ?, 'g', '', ?, 0,"
                " ?, ?, ?, 12.5, 1, ?, NULL, NULL, NULL, 1)",
                (
                    seq,
                    f"{row.arm} {seq}",
                    row.arm,
                    f'["{row.probe_sha256}"]',
                    state,
                    utc,
                    utc,
                    result,
                ),
            )
            answers = ["429", "done"] if seq % 10 == 0 else ["done"]
            ledger.executemany(
                "INSERT INTO attempts VALUES (?, ?, ?, 12.5, ?)",
                [(seq, number, utc, answer) for number, answer in enumerate(answers, start=1)],
            )
        ledger.execute(
            "INSERT INTO calls VALUES (?, 'shared', 'azure', 'train', 'Train', '', 'g', '', '[]', 0,"
            " 'failed', NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, 2)",
            (len(rows) + 1,),
        )


def manifest_of(run: Run) -> dict[str, Any]:
    arms = [
        {"arm": arm.name, "game": arm.game, "system": arm.system, "level": arm.level,
         "targets": arm.targets, "cloaked_fraction": arm.cloaked_fraction,
         "enrolled": 70, "enrol_rejected": 1}
        for arm in run.answers
    ]  # fmt: skip
    probes = max(len(probes) for probes in run.answers.values())
    return {
        "run_id": "2024-05-01-azure", "started_utc": "2024-05-01T10:00:00Z",
        "ended_utc": "2024-05-01T11:00:00Z", "exit_state": "done", "exit_message": None,
        "git_revision": "0" * 40, "python": "3.11.9", "platform": "Linux x86_64",
        "packages": {"numpy": "2.4.6"}, "device": "cpu", "weights": {"net": "f" * 64},
        "cloak_networks": ["net"], "photo_set_sha256": "a" * 64, "photo_set_generated": False,
        "split_seed": 7,
        "service": {"provider": "azure", "name": "Azure Face", "emulated": True, "endpoint": "http://127.0.0.1:1",
                    "api_version": "v1.0", "service_model": "recognition_04", "tier": "free",
                    "recogniser": "net"},
        "counts": {"people": 41, "photos": 341, "rejected": 0, "train": 70, "probe": probes,
                   "decoy_people": 40, "decoy_photos": 240},
        "calls": {"planned": 10, "sent": 10, "failed": 0, "by_operation": {"identify": 10}},
        "cost_usd": 0.0, "arms": arms,
    }  # fmt: skip


def observations(run: Run, arm: Arm, probes: Sequence[Probe]) -> list[Observation]:
    return [observation(run, arm, number, probe) for number, probe in enumerate(probes)]


def observation(run: Run, arm: Arm, number: int, probe: Probe) -> Observation:
    outcome = Outcome(probe.get("outcome", "match"))
    person = probe.get("person", "Ada")
    censored = probe.get("censored", False)
    score = None if censored else probe.get("score")
    top = probe.get("top_person") or (person if outcome is Outcome.MATCH else None)
    return Observation(
        run_id="2024-05-01-azure",
        utc="2024-05-01T10:30:00Z",
        provider="azure",
        service_model="recognition_04",
        game=arm.game,
        arm=arm.name,
        system=arm.system,
        level=arm.level,
        targets=arm.targets,
        cloaked_fraction=arm.cloaked_fraction,
        probe_sha256=sha256(f"probe {probe.get('number', number)}"),
        true_person=person,
        outcome=outcome,
        top_person=top,
        top_score=0.7 if top else None,
        rank=1 if outcome is Outcome.MATCH else None,
        true_score=score,
        true_score_source=None if score is None else probe.get("source", "identify"),
        censored=censored,
        threshold=run.threshold,
        latency_ms=12.5,
        attempts=1,
        service_thresholds=probe.get("thresholds"),
    )


def write_observations(path: Path, rows: Sequence[Observation]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in fields(Observation)])
        for row in rows:
            cells = asdict(row) | {"censored": "true" if row.censored else "false"}
            writer.writerow(["" if cell is None else cell for cell in cells.values()])


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]] | None) -> None:
    if rows is not None:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def photo_row(row: Observation) -> dict[str, Any]:
    return {
        "sha256": row.probe_sha256, "person": row.true_person, "role": "probe",
        "path": f"{row.true_person}/{row.probe_sha256[:6]}.jpg", "rejected": False, "reason": "",
        "detail": "", "width": 640, "height": 480,
    }  # fmt: skip


def write_cloaks(folder: Path, run: Run) -> None:
    """Draw smooth synthetic pictures as photos; the cloak changes a square in their middle."""
    (folder / "examples").mkdir()
    rows = []
    for place, arm in enumerate(arm for arm in run.answers if not arm.is_control):
        (folder / "cloaked" / arm.name).mkdir(parents=True)
        for number in range(4):
            sha = sha256(f"train {number}")
            if number < run.examples:
                original = picture(number)
                original.save(folder / "examples" / f"{sha}.png")
                cloaked(original, number).save(folder / "cloaked" / arm.name / f"{sha}.png")
            rows.append(cloak_row(arm, sha, budget=0.004 * (place + 1), number=number))
    if rows:
        text = "".join(f"{json.dumps(asdict(row))}\n" for row in rows)
        (folder / "cloaked" / "cloaks.jsonl").write_text(text)


def picture(number: int) -> Image.Image:
    y, x = np.mgrid[0:240, 0:200]
    bands = [np.sin((x * (1 + channel) + y * (number + 1)) / 40) for channel in range(3)]
    return Image.fromarray(((np.stack(bands, axis=-1) + 1) * 120).astype(np.uint8))


def cloaked(original: Image.Image, number: int) -> Image.Image:
    pixels = np.asarray(original).astype(int)
    noise = np.random.default_rng(number).integers(-6, 7, (100, 80, 3))
    pixels[70:170, 60:140] += noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def cloak_row(arm: Arm, sha: str, *, budget: float, number: int) -> CloakedPhoto:
    same = arm.targets is Targets.SAME
    return CloakedPhoto(
        source_sha256=sha,
        cloaked_sha256=sha256(f"{arm.name} {sha}"),
        person="Ada",
        file=f"{arm.name}/{sha}.png",
        system=arm.system,
        level=arm.level,
        seed=7,
        target="Grace" if same else f"person {number}",
        steps=20,
        budget=budget,
        dssim=budget * (0.8 + 0.1 * number),
        dssim_crop=budget,
        dssim_photo=budget / 10,
        l2=300.0,
        linf=12.0,
        embedding_shift=0.9,
        seconds=1.5,
    )


def study() -> Run:
    """A run in the form of the study of 2021, with some scores hidden and some probes lost."""
    draw = np.random.default_rng(5)
    means = {"control": (0.966, 0.01), "fawkes-0.3-min": (0.931, 0.03),
             "fawkes-0.3-min-separate": (0.943, 0.02), "fawkes-0.3-min-separate-half": (0.961, 0.02),
             "fawkes-0.3-mid": (0.889, 0.03), "fawkes-0.3-high": (0.793, 0.03)}  # fmt: skip
    answers = {arm_of(name): spread(draw, *parts) for name, parts in means.items()}
    answers[arm_of("lowkey-high")] = [
        *spread(draw, 0.6, 0.05)[:16],
        *[{"outcome": "other_person", "censored": True, "top_person": "Grace Hopper"}] * 8,
        *[{"outcome": "no_match", "censored": True}] * 3,
        {"outcome": "no_face"}, {"outcome": "no_face"}, {"outcome": "refused"},
        {"outcome": "error"},
    ]  # fmt: skip
    rejected = {"sha256": "", "person": "Ada", "path": "Ada/<b>scan</b>.tif", "role": "",
                "rejected": True, "reason": "unreadable", "detail": "no picture",
                "width": None, "height": None}  # fmt: skip
    run = Run(answers, threshold=0.5, rejected=[rejected], examples=3)
    note = "2 faces; the largest was taken"
    run.enrolment = [
        row
        for arm in answers
        for row in (
            [arm.name, "Ada", sha256("train 0"), "enrolled", "", "", note],
            [arm.name, "Ada", sha256("train 1"), "no_face", "InvalidImage", "No <face>.", ""],
        )
    ]
    run.changed_uploads = [
        [arm.name, sha256("train 0"), sha256("sent"), "9", "encoded as PNG"] for arm in answers
    ]
    return run


def spread(draw: np.random.Generator, mean: float, width: float) -> list[Probe]:
    scores = np.clip(draw.normal(mean, width, 31), 0, 1).round(5).tolist()
    return [{"score": score} for score in scores]


@pytest.fixture(scope="session")
def study_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One built report, shared by the tests that only read it."""
    import reports

    folder = write_run(tmp_path_factory.mktemp("runs") / "study", study())
    reports.build(folder)
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder from answers by arm (or an arm's name); options are those of Run."""

    def make(answers: Mapping[str | Arm, Sequence[Probe]], **options: Any) -> Path:
        arms = {
            arm_of(arm) if isinstance(arm, str) else arm: probes for arm, probes in answers.items()
        }
        return write_run(tmp_path / "runs <1>" / "a run", Run(arms, **options))

    return make


@pytest.fixture
def make_runs(tmp_path: Path) -> Callable[..., tuple[Path, ...]]:
    """Write one run folder for each set of answers, run-0, run-1, ..., begun a year apart."""

    def make(
        *answers: Mapping[str, Sequence[Probe]], services: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[Path, ...]:
        return tuple(
            write_run(tmp_path / f"run-{number}", repetition(given, number, *services[number:][:1]))
            for number, given in enumerate(answers)
        )

    return make


def repetition(
    answers: Mapping[str, Sequence[Probe]], number: int, service: Mapping[str, Any] | None = None
) -> Run:
    run = Run({arm_of(arm): probes for arm, probes in answers.items()})
    notes = manifest_of(run)
    run.manifest = {
        "run_id": f"run-{number}",
        "started_utc": f"{2024 + number}-05-01T10:00:00Z",
        "service": notes["service"] | dict(service or {}),
    }
    return run
