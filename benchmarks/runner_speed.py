"""What the runner costs a large run, beside a service that answers at once in the same process.

    python benchmarks/runner_speed.py [--provider facepp] [--calls 10000]

Everything but the photos and the service is what a run uses: the split, the plan, the ledger,
budget, pacing and retry, the steps, the content checks, the observations and tables. The control
arm and three others share a gallery of many decoys. Pacing is set to its fastest, half a
millisecond a call. `ms a call` is wall time over calls; the bound is what each call's two durable
changes take plain SQLite, committed one after another, in the same run on the same disk.
"""

import argparse
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Event

from ledger_speed import durable_commits_per_s

from audit import preparation, records, runner, services
from audit.calls import Call
from audit.execution import Budget, Executor
from audit.expansion import Service, expand
from audit.experiment import Experiment
from audit.folders import RunFolder, private_folder
from audit.ledger import Ledger
from audit.manifest import Manifest
from audit.plan import forecast
from audit.preparation import Prepared
from audit.probing import Question
from audit.progress import Progress
from audit.sending import Sender
from audit.steps import Steps
from audit.types import Candidate, Photo, PhotoSet
from audit.uploads import Upload
from datasets.split import split
from providers import registry
from providers.base import (
    Capabilities,
    EnrolledFace,
    Failure,
    FailureKind,
    GalleryPage,
    Provider,
    RemotePerson,
    TrainingState,
)

_LEVELS = ("low", "mid", "high")
_RUN_ID = "benchmark"
_TRAIN, _PROBES, _DECOY_PHOTOS = 50, 100, 20
_CALLS_PER_PROTECTED, _CALLS_PER_DECOY = 2500, 30
"""So many people make about so many calls as are asked for: at Azure, where all verbs exist."""

_TIER = """
priced_on = "2026-01-01"
[tiers.fast]
rates = [{{ calls = 1000000, per_s = 1 }}]
calls_per_month = 1000000000
usd_per_call = 0.001
concurrency = {threads}
"""


class Instant(Provider):
    """Remembers who is enrolled, offers the first people of the gallery, and takes no time."""

    service_model, account = "instant", "benchmark"

    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._galleries: dict[str, dict[str, dict[str, None]]] = {}

    @classmethod
    def describe(cls, gallery: str | None = None) -> Capabilities:
        """Return what Azure can do; an instance has the abilities that it was given."""
        return registry.capabilities("azure", gallery)

    @property
    def capabilities(self) -> Capabilities:
        """The abilities of the service that this one stands for."""
        return self._capabilities

    def create_gallery(self, gallery: str) -> None:
        self._galleries[gallery] = defaultdict(dict)

    def list_galleries(self) -> Sequence[str]:
        return list(self._galleries)

    def delete_gallery(self, gallery: str) -> None:
        del self._galleries[gallery]

    def add_person(self, gallery: str, tag: str) -> str:
        self._galleries[gallery][tag] = {}
        return tag

    def enrol(self, gallery: str, person_id: str, photo: bytes, tag: str) -> EnrolledFace:
        del photo
        face = f"{person_id}/{tag}"
        self._galleries[gallery][person_id][face] = None
        return EnrolledFace(face)

    def attach(self, gallery: str, person_id: str, face_ids: Sequence[str]) -> dict[str, str]:
        del gallery, person_id, face_ids
        return {}

    def label(self, gallery: str, face_id: str, person_id: str) -> None:
        del gallery, face_id, person_id

    def train(self, gallery: str) -> None:
        del gallery

    def training_state(self, gallery: str) -> TrainingState:
        del gallery
        return TrainingState.SUCCEEDED

    def detect(self, photo: bytes) -> str:
        return photo.hex()

    def identify(
        self, gallery: str, face_ids: Sequence[str], threshold: float, candidates: int
    ) -> Sequence[Sequence[Candidate]]:
        del threshold
        offered = [Candidate(who, 0.5, 0.5) for who in islice(self._galleries[gallery], candidates)]
        return [offered for _ in face_ids]

    def identify_photo(
        self, gallery: str, photo: bytes, threshold: float, candidates: int
    ) -> Sequence[Candidate]:
        return self.identify(gallery, [photo.hex()], threshold, candidates)[0]

    def verify(self, gallery: str, face_id: str, enrolled_id: str) -> Candidate:
        del gallery, face_id
        return Candidate(enrolled_id, 0.5, 0.5)

    def list_gallery(self, gallery: str, start: str = "") -> GalleryPage:
        people = self._galleries[gallery].items()
        if self.capabilities.lists_people:
            entries = [RemotePerson(who, who, tuple(faces)) for who, faces in people]
        else:
            entries = [RemotePerson("", "", (face,)) for _, faces in people for face in faces]
        end = int(start or 0) + self.capabilities.list_page
        page = tuple(entries[int(start or 0) : end])
        return GalleryPage(page, str(end) if end < len(entries) else "")

    def remove_person(self, gallery: str, person_id: str) -> None:
        del self._galleries[gallery][person_id]

    def remove_faces(self, gallery: str, face_ids: Sequence[str]) -> None:
        for face in face_ids:
            self._galleries[gallery][face.split("/")[0]].pop(face, None)

    def classify(self, error: Exception) -> Failure:
        return Failure(FailureKind.FATAL, type(error).__name__, str(error))


def main() -> None:
    """Print one line a figure."""
    arguments = _arguments()
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = RunFolder(private_folder(Path(name) / _RUN_ID))
        os.environ["AUDIT_STATE"] = name
        folder.prices.write_text(_TIER.format(threads=arguments.threads), encoding="utf-8")
        bound = durable_commits_per_s(folder.path / "bound.db")
        print(f"bound: {bound:.0f} durable commits a second, {2000 / bound:.3f} ms a call")
        measure(_experiment(arguments, folder), folder, arguments.calls)
    print(f"load after: {os.getloadavg()[0]:.1f}")


def measure(experiment: Experiment, folder: RunFolder, calls: int) -> None:
    """Plan and carry out about so many calls, and print what each stage takes."""
    photo_set = PhotoSet(folder.path, tuple(photos(calls, folder.path)))
    print(f"idle: {_peak_mb():.0f} MB with {len(photo_set.photos)} photos known")
    prepared = plan(experiment, folder, photo_set)
    provider = Instant(services.capabilities_of(experiment))
    with closing(Ledger(folder.ledger)) as ledger:
        planned = ledger.states()["planned"]
        with timed("reading it", planned):
            run = open_run(experiment, ledger, provider)
        with timed("carrying out", planned):
            runner._carry_out(*run, Progress(quiet=True))  # noqa: SLF001 - the whole of it counts
        with timed("reading it back, to resume", planned):
            open_run(experiment, ledger, provider)
        Manifest(folder).update(service={"service_model": ""})
        with timed("writing down", planned):
            records.note_service(folder, provider)
            records.write_down(experiment, folder, prepared, ledger)
        check(experiment, prepared, ledger)
    for file in (folder.ledger, folder.observations, folder.enrolment):
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


def photos(calls: int, root: Path) -> Iterator[Photo]:
    """Yield photos of as many people as make about so many calls; none has a file."""
    for number in range(max(1, calls // _CALLS_PER_PROTECTED)):
        yield from _photos_of(root / f"protected-{number:05d}", _TRAIN + _PROBES)
    for number in range(max(1, calls // _CALLS_PER_DECOY)):
        yield from _photos_of(root / f"decoy-{number:05d}", _DECOY_PHOTOS)


def _photos_of(folder: Path, count: int) -> Iterator[Photo]:
    for number in range(count):
        digest = sha256(f"{folder.name}/{number}".encode()).hexdigest()
        fingerprint = sha256(digest.encode()).hexdigest()
        yield Photo(digest, folder.name, folder / f"{number}.jpg", 512, 512, fingerprint)


def plan(experiment: Experiment, folder: RunFolder, photo_set: PhotoSet) -> Prepared:
    """Split the photos, forecast both kinds of gallery, and write the plan into the ledger."""
    protected = [person for person in photo_set.people if person.startswith("protected")]
    with timed("splitting the photos"):
        prepared = Prepared(photo_set, split(photo_set, protected, seed=0, train=_TRAIN))
    limits = services.capabilities_of(experiment), services.tier_of(experiment)
    with timed("forecasting, as `audit plan` does"):
        for fresh in (False, True):
            forecast(*limits, list(_planned(experiment, prepared, fresh=fresh)))
    with timed("planning"), closing(Ledger(folder.ledger)) as ledger:
        ledger.add(_planned(experiment, prepared))
    with timed("keeping the split and reading it back"):
        preparation.save(folder, prepared)
        restored = preparation.restore(folder, experiment, generated=False)
    assert restored.split.decoy.keys() == prepared.split.decoy.keys()
    return prepared


def _planned(experiment: Experiment, prepared: Prepared, *, fresh: bool = False) -> Iterator[Call]:
    service = Service(experiment.provider, services.capabilities_of(experiment), fresh=fresh)
    return expand(service, _RUN_ID, experiment.arms(), prepared.split)


def open_run(
    experiment: Experiment, ledger: Ledger, provider: Provider
) -> tuple[Steps, Executor, Event]:
    """Read the ledger and return what carries out its open calls."""
    stop = Event()
    tier = services.tier_of(experiment)
    budget = Budget(experiment.max_calls, experiment.max_cost, tier.usd)
    executor = services.executor(experiment, provider, ledger, budget, stop)
    sender = Sender(lambda _, sha256: Upload(bytes.fromhex(sha256)), ledger)
    most = min(experiment.candidates or 1, provider.capabilities.candidates_max)
    steps = Steps(executor, sender, _RUN_ID, Question(experiment.threshold, most))
    return steps, executor, stop


def check(experiment: Experiment, prepared: Prepared, ledger: Ledger) -> None:
    """Make sure that all of it was done, once."""
    probes = sum(map(len, prepared.split.probe.values()))
    assert ledger.states() == {"done": ledger.attempts_made()}
    assert len(ledger.observations()) == probes * len(experiment.arms())


@contextmanager
def timed(what: str, calls: int = 0) -> Iterator[None]:
    """Print what a stage takes, per call too if it belongs to calls, and the memory's peak so far."""
    began = time.perf_counter()
    yield
    took_s = time.perf_counter() - began
    each = f", {1000 * took_s / calls:.3f} ms a call" if calls else ""
    print(f"{what}: {took_s:.2f} s{each}, peak {_peak_mb():.0f} MB", flush=True)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _experiment(arguments: argparse.Namespace, folder: RunFolder) -> Experiment:
    return Experiment(
        provider=arguments.provider,
        gallery=arguments.gallery,
        tier="fast",
        prices=folder.prices,
        photos=folder.path,
        level=_LEVELS,
        candidates=arguments.candidates,
        max_calls=10**9,
        max_cost=10**9,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--provider", default="azure", help="whose verbs, batches and limits")
    parser.add_argument("--gallery", help="users, at rekognition; fresh, at any")
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=100, help="people offered for a probe")
    parser.add_argument("--threads", type=int, default=20)
    parser.add_argument("--folder", help="where the run is written, such as another disk")
    return parser.parse_args()


if __name__ == "__main__":
    main()
