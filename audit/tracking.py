"""`audit tracker train`: a network trained against cloaks, on people who are in no test."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from audit import cloak_jobs, cloaks, preparation
from audit.errors import UserError
from audit.experiment import Experiment
from audit.progress import Progress
from audit.types import Photo, PhotoSet

if TYPE_CHECKING:
    from cloaker.networks.base import EmbeddingNetwork
    from cloaker.trackers.examples import Examples
    from cloaker.trackers.recipe import Recipe
    from cloaker.trackers.training import Scores, Trained
    from providers.emulators.calibration import Calibration, Cosines

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A training: `experiment` has the photos, the cloaks of an adaptive tracker, seed and device.

    Its `network`s are those that cloak, `base` is the one to train. `without` names people of the
    folder who are left out, `photos_each` is the most that anybody gives.
    """

    name: str
    kind: str
    base: str
    experiment: Experiment
    settings: Sequence[str] = ()
    without: Sequence[str] = ()
    photos_each: int | None = None


def train(request: Request, progress: Progress) -> list[Row]:
    """Train a network and install it under its name; return a row about it.

    Raises UserError for a name that is taken, a recipe or people that can't be trained on.
    """
    from cloaker.device import resolve
    from cloaker.networks import registry
    from cloaker.trackers import installed, recipe
    from cloaker.trackers.recipe import Kind

    given = request.experiment
    chosen = recipe.resolve(request.kind, request.settings, given.seed)
    installed.refuse_taken(request.name, registry.names())
    if chosen.kind is not Kind.ADAPTIVE and any(not arm.is_control for arm in given.arms()):
        raise UserError(
            f"a {chosen.kind} tracker sees no cloaked photo.",
            expected="--system and --level for --kind adaptive only",
        )
    cloak_jobs.parameters_by_arm(given)  # refuses a cloak that there isn't before a photo is read
    device = resolve(given.device)
    network = registry.load(request.base, device)
    photo_set, photos = _photos(request, device, progress)
    with TemporaryDirectory() as folder:
        cloaked = None
        if chosen.kind is Kind.ADAPTIVE:
            cloaked = _cloaked(given, photo_set, photos, device, Path(folder), progress)
        return [_trained(request, chosen, network, photos, cloaked, device, progress)]


def _photos(
    request: Request, device: str, progress: Progress
) -> tuple[PhotoSet, Mapping[str, tuple[Photo, ...]]]:
    """Return the photo set and, by person, what is trained on."""
    from datasets import split

    experiment = preparation.with_bundled_people(request.experiment, progress)
    assert experiment.photos is not None
    photo_set = preparation.load_photos(experiment.photos, device, progress)
    preparation.refuse_bundled_networks(photo_set, [request.base, *experiment.network])
    if unknown := sorted(set(request.without) - set(photo_set.people)):
        raise UserError(
            f"nobody in {photo_set.root} is called {', '.join(unknown)}.",
            expected="--without a folder's name",
        )
    people = [who for who in photo_set.people if who not in request.without]
    return photo_set, {
        who: tuple(split.order(photo_set.of(who), experiment.seed)[: request.photos_each])
        for who in people
    }


@dataclass(frozen=True, slots=True)
class _Cloaked:
    """Cloaked photos by person, the originals they were made of by hash, and by which cloaks."""

    photos: Mapping[str, Sequence[Photo]]
    sources: Mapping[str, str]
    cloaks: Sequence[Row]


def _cloaked(
    experiment: Experiment,
    photo_set: PhotoSet,
    photos: Mapping[str, tuple[Photo, ...]],
    device: str,
    folder: Path,
    progress: Progress,
) -> _Cloaked:
    """Cloak everybody's photos in every way asked for, towards the others; from the cache if known."""
    from cloaker.networks import registry

    found: dict[str, list[Photo]] = {who: [] for who in photos}
    sources: dict[str, str] = {}
    told: list[Row] = []
    for name in dict.fromkeys(experiment.network):
        network = registry.load(name, device)
        for job in _jobs(experiment, photos, network, folder):
            told.append({**asdict(job.cloak), "parameters": dict(job.cloak.parameters)})
            with progress.stage(f"people cloaked, {job.name}", len(photos)) as advance:
                for done, who in enumerate(photos, start=1):
                    alone = _towards_others(job, who)
                    made = cloaks.cloak_person(
                        alone,
                        who,
                        [network],
                        device=device,
                        generated_set=photo_set.generated,
                        on_progress=lambda _done, _of: None,
                    )
                    for row in made.cloaked:
                        file = job.folder / row.file
                        found[who].append(Photo(row.cloaked_sha256, who, file, 0, 0))
                        sources[row.cloaked_sha256] = row.source_sha256
                    advance(done)
    return _Cloaked(found, sources, told)


def _jobs(
    experiment: Experiment,
    photos: Mapping[str, tuple[Photo, ...]],
    network: "EmbeddingNetwork",
    folder: Path,
) -> Iterator[cloak_jobs.Job]:
    for arm in experiment.arms():
        if arm.is_control:
            continue
        yield cloak_jobs.Job(
            name=f"{arm.name} on {network.name}",
            arms=(arm.name,),
            cloak=cloak_jobs.cloak_of(experiment, arm, {network.name: network.weights_sha256}),
            all_photos=photos,
            photos=photos,
            candidates=photos,
            folder=folder / network.name / arm.name,
        )


def _towards_others(job: cloak_jobs.Job, person: str) -> cloak_jobs.Job:
    others = {who: photos for who, photos in job.candidates.items() if who != person}
    return replace(job, candidates=others)


def _trained(
    request: Request,
    chosen: "Recipe",
    network: "EmbeddingNetwork",
    photos: Mapping[str, tuple[Photo, ...]],
    cloaked: _Cloaked | None,
    device: str,
    progress: Progress,
) -> Row:
    from cloaker.trackers import training

    clean = _examples(network, photos, device)
    other = _examples(network, cloaked.photos, device, cloaked.sources) if cloaked else None
    with progress.stage("epochs", chosen.whole("epochs")) as advance:

        def on_epoch(epoch: int, scores: "Scores") -> None:
            advance(epoch, note=f"identified of those held out: {scores.changed:.2f}")

        result = training.train(network, clean, other, chosen, on_epoch)
    curve = _calibrated(training.held_out_cosines(network, result, clean), request.name)
    used = [*clean.sources, *(cloaked.sources if cloaked else ())]
    return _installed(
        request, chosen, network, result, curve, used, cloaked.cloaks if cloaked else ()
    )


def _calibrated(cosines: "tuple[Cosines, Cosines]", name: str) -> "Calibration":
    """Return the curve from cosine to score of the people held out: of one, of two people."""
    from providers.emulators.calibration import fitted

    try:
        return fitted(*cosines)
    except UserError as error:
        raise UserError(
            f"after its training {name} can't tell people apart: {error.seen}",
            remedy="train more gently (--recipe learning_rate=1e-5, or fewer epochs), or on more "
            "people and photos",
        ) from None


def _examples(
    network: "EmbeddingNetwork",
    photos: Mapping[str, Sequence[Photo]],
    device: str,
    sources: Mapping[str, str] | None = None,
) -> "Examples":
    from cloaker.trackers.examples import examples
    from datasets.photos import pixels

    return examples(photos, network.crop, preparation.known_faces(device), pixels, sources)


def _installed(
    request: Request,
    chosen: "Recipe",
    network: "EmbeddingNetwork",
    result: "Trained",
    curve: "Calibration",
    photos: Sequence[str],
    made_with: Sequence[Row],
) -> Row:
    """Keep the network and its side file; return a row that tells of it."""
    from cloaker.trackers import installed
    from cloaker.trackers.training import to_bytes

    content = to_bytes(result.weights)
    tracker = installed.Tracker(
        name=request.name,
        kind=str(chosen.kind),
        base=request.base,
        base_sha256=network.weights_sha256,
        sha256=hashlib.sha256(content).hexdigest(),
        parameters=dict(chosen.parameters),
        seed=chosen.seed,
        people=result.people,
        photos=sorted(set(photos)),
        cloaks=list(made_with),
        scores={
            "before": asdict(result.before),
            "after": asdict(result.after),
            "best_epoch": result.best_epoch,
            "epochs": result.epochs,
            "held_out": list(result.held_out),
        },
        calibration=asdict(curve),
    )
    installed.install(tracker, content)
    return {
        "network": tracker.name,
        "kind": tracker.kind,
        "base": tracker.base,
        "people": len(tracker.people),
        "photos": len(tracker.photos),
        "best epoch": f"{result.best_epoch} of {result.epochs}",
        "clean photos identified": f"{result.before.clean:.2f} -> {result.after.clean:.2f}",
        "changed photos identified": f"{result.before.changed:.2f} -> {result.after.changed:.2f}",
    }
