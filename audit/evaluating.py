"""`audit evaluate`: what cloaks do to recognition, from photos to tables, without any service."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit import cloak_jobs, cloaks, manifest, preparation, results, stores, trained
from audit.errors import Interrupted, UserError
from audit.experiment import Experiment
from audit.folders import private_folder, require_place, write_whole
from audit.preparation import Prepared
from audit.progress import Progress
from audit.types import Arm, CloakedPhoto, Photo, PhotoSet, Role

if TYPE_CHECKING:
    from audit.judging.judge import Judge, Shown
    from cloaker.networks.base import EmbeddingNetwork

Row = dict[str, Any]
Tables = Mapping[str, list[Row]]

PHOTOS_MIN = 4
"""Photos of a person who is protected unless somebody else is named."""
_PEOPLE_MIN = 4
_TABLES = (
    "transfer", "clean_pairs", "verification", "clustering", "mixtures", "detection", "roc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """An evaluation: `experiment` says on which photos, whom and how; `out` is for the tables.

    Its `network`s cloak one by one and judge all, `judges` only judge. If it names nobody, the
    `protected` people with the most photos are.
    """

    experiment: Experiment
    out: Path
    judges: Sequence[str] = ()
    protected: int = 10


@dataclass(frozen=True, slots=True)
class _CloakedArm:
    """What became of the protected people's photos in an arm, cloaked on one network or none.

    `originals` has the hash of the clean photo by that of each.
    """

    arm: Arm
    cloaked_on: str
    photos: Mapping[str, Sequence[Photo]]
    originals: Mapping[str, str]
    dssim: float

    @property
    def told(self) -> Row:
        """Return the columns that name it."""
        return {
            "system": self.arm.system,
            "level": self.arm.level,
            "cloaked_on": self.cloaked_on,
            "dssim": self.dssim,
        }

    @property
    def shown(self) -> "Shown":
        """Return it as the judges see it."""
        from audit.judging.judge import Shown

        photos = {who: [photo.sha256 for photo in some] for who, some in self.photos.items()}
        return Shown(photos, self.told, self.originals)


def evaluate(request: Request, progress: Progress) -> list[Row]:
    """Cloak, let every network judge, write the tables; return the transfer matrix in short.

    Cloaks and embeddings come from the cache where they are there: the same command goes on after
    an interruption. Raises UserError for people, networks or a system that can't be evaluated.
    """
    try:
        return _evaluate(request, progress)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command goes on from the cache") from None


def _evaluate(request: Request, progress: Progress) -> list[Row]:
    from audit.judging import intervals
    from cloaker.device import resolve
    from cloaker.networks import registry

    experiment = preparation.with_bundled_people(request.experiment, progress)
    names = list(dict.fromkeys((*experiment.network, *request.judges)))
    device = resolve(experiment.device)
    _check(experiment)
    require_place(request.out)
    networks = {name: registry.load(name, device) for name in names}
    experiment, prepared = _prepared(experiment, names, request.protected, progress)
    private_folder(request.out)
    arms = list(_arms(experiment, prepared, networks, request.out, device, progress))
    tables = _judged(prepared, arms, networks, device, progress)
    _write(request.out, experiment, prepared, networks, tables)
    return intervals.short(tables["transfer"])


def _check(experiment: Experiment) -> None:
    from cloaker import levels

    for arm in experiment.arms():
        if arm.is_control:
            continue
        levels.resolve(arm.system, arm.level, experiment.set)
        if levels.row_of(arm.system).photos != "person":
            raise UserError(
                f"{arm.system} cloaks other people's photos: an evaluation cloaks the person's own.",
                remedy="choose another --system",
            )


def _prepared(
    experiment: Experiment, networks: Sequence[str], protected: int, progress: Progress
) -> tuple[Experiment, Prepared]:
    """Return the experiment with its people named, and its photos split."""
    assert experiment.photos is not None
    photo_set = preparation.load_photos(experiment.photos, experiment.device, progress)
    preparation.refuse_bundled_networks(photo_set, networks)
    people = experiment.person or _most_photographed(photo_set, protected)
    experiment = experiment.model_copy(update={"person": tuple(people)})
    prepared = preparation.divided(experiment, photo_set, people, networks, progress)
    groups = [*prepared.split.decoy.values(), *prepared.split.train.values()]
    if (enough := sum(len(photos) > 1 for photos in groups)) < _PEOPLE_MIN:
        raise _too_few(f"{enough} people with two photos")
    return experiment, prepared


def _too_few(seen: str) -> UserError:
    return UserError(
        f"these photos are too few for pairs: {seen}.",
        expected=f"{_PEOPLE_MIN} people or more with two photos each, decoys included",
    )


def _most_photographed(photo_set: PhotoSet, count: int) -> list[str]:
    """Return the people with the most photos, all but one at most: somebody has to be a decoy."""
    sizes = {who: len(photo_set.of(who)) for who in photo_set.people}
    enough = [who for who, size in sizes.items() if size >= PHOTOS_MIN]
    if not enough:
        raise UserError(
            f"nobody in {photo_set.root} has {PHOTOS_MIN} usable photos.",
            expected=f"{PHOTOS_MIN} photos or more of whom is to be protected",
            remedy="`audit photos check` tells what can be used, and why not",
        )
    most = min(count, len(sizes) - 1)
    return sorted(enough, key=lambda who: (-sizes[who], who))[:most]


def _arms(
    experiment: Experiment,
    prepared: Prepared,
    networks: Mapping[str, "EmbeddingNetwork"],
    out: Path,
    device: str,
    progress: Progress,
) -> Iterator[_CloakedArm]:
    """Yield the control, then every cloaked arm on every network that cloaks."""
    control, *cloaked = experiment.arms()
    train = prepared.split.train
    same = {photo.sha256: photo.sha256 for some in train.values() for photo in some}
    yield _CloakedArm(control, "", train, same, 0.0)
    for name in dict.fromkeys(experiment.network):
        for arm in cloaked:
            job = _job(experiment, arm, prepared, networks[name], out / "cloaked" / name / arm.name)
            made = cloaks.cloak_job(job, prepared, [networks[name]], device, progress, [])
            originals = {row.cloaked_sha256: row.source_sha256 for row in made}
            yield _CloakedArm(arm, name, _photos(job, made), originals, _dssim(made))


def _job(
    experiment: Experiment,
    arm: Arm,
    prepared: Prepared,
    network: "EmbeddingNetwork",
    folder: Path,
) -> cloak_jobs.Job:
    split = prepared.split
    weights = {network.name: network.weights_sha256}
    return cloak_jobs.Job(
        name=f"{arm.name} on {network.name}",
        arms=(arm.name,),
        cloak=cloak_jobs.cloak_of(experiment, arm, weights),
        all_photos=split.train,
        photos=split.train,
        candidates=split.decoy,
        folder=private_folder(folder),
    )


def _photos(job: cloak_jobs.Job, made: Sequence[CloakedPhoto]) -> dict[str, list[Photo]]:
    found: dict[str, list[Photo]] = {who: [] for who in job.photos}
    for row in made:
        file = job.folder / row.file
        found[row.person].append(Photo(row.cloaked_sha256, row.person, file, 0, 0))
    return found


def _dssim(made: Sequence[CloakedPhoto]) -> float:
    return statistics.median(max(row.dssim, row.dssim_crop) for row in made)


def _judged(
    prepared: Prepared,
    arms: Sequence[_CloakedArm],
    networks: Mapping[str, "EmbeddingNetwork"],
    device: str,
    progress: Progress,
) -> Tables:
    from audit.judging import (
        clustering,
        detection,
        identification,
        intervals,
        mixtures,
        verification,
    )

    tables: Tables = {name: [] for name in _TABLES}
    with progress.stage("judgements", len(networks) * len(arms)) as advance:
        for network in networks.values():
            judge = _judge(prepared, arms, network, device)
            clean_pairs = _clean_pairs(judge)
            clean_people = detection.clean_people(judge)
            tables["clean_pairs"].append(clean_pairs.row(judge.network))
            for arm in arms:
                seen = arm.shown
                tables["transfer"] += identification.rows(judge, seen)
                tables["verification"] += verification.rows(judge, seen, clean_pairs)
                tables["clustering"] += clustering.rows(judge, seen, clean_pairs.distance)
                tables["mixtures"] += mixtures.rows(judge, seen, clean_pairs.distance)
                tables["detection"] += detection.rows(judge, seen, clean_people)
                advance(len(tables["transfer"]) // 4)
            tables["roc"].extend(judge.curves)
    return {name: [intervals.with_intervals(row) for row in rows] for name, rows in tables.items()}


def _clean_pairs(judge: "Judge") -> Any:
    from audit.judging import verification

    try:
        return verification.clean_pairs(judge)
    except ValueError as error:
        raise _too_few(str(error)) from None


def _judge(
    prepared: Prepared,
    arms: Sequence[_CloakedArm],
    network: "EmbeddingNetwork",
    device: str,
) -> "Judge":
    """Let a network see every photo of the evaluation, each of them once ever."""
    from audit.judging.judge import Judge, People
    from cloaker.survey import Surveyor
    from datasets.photos import pixels

    split = prepared.split
    groups = [split.train, split.probe, split.decoy, *(arm.photos for arm in arms)]
    photos = {p.sha256: p for group in groups for some in group.values() for p in some}
    faces, kept = preparation.known_faces(device), stores.embeddings()
    seen = Surveyor(network, faces, pixels, kept).units(list(photos.values()))
    return Judge(network.name, seen, People.of(split), split.seed)


def _write(
    out: Path,
    experiment: Experiment,
    prepared: Prepared,
    networks: Mapping[str, "EmbeddingNetwork"],
    tables: Tables,
) -> None:
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        write_whole(out / f"{name}.csv", results.table(columns, rows))
    told = {
        "experiment": experiment.model_dump(mode="json"),
        "photo_set_sha256": prepared.photo_set.sha256,
        "photo_set_generated": prepared.photo_set.generated,
        "photos": _counts(prepared),
        "cloaks": cloak_jobs.parameters_by_arm(experiment),
        "weights": {name: network.weights_sha256 for name, network in networks.items()},
        "trackers": trained.told(list(networks)),
        **manifest.environment(),
    }
    written = {"manifest": told, **{name: rows for name, rows in tables.items() if name != "roc"}}
    write_whole(out / "evaluation.json", json.dumps(written, indent=2, default=str) + "\n")


def _counts(prepared: Prepared) -> dict[str, dict[str, int]]:
    split = prepared.split
    groups = {Role.TRAIN: split.train, Role.PROBE: split.probe, Role.DECOY: split.decoy}
    return {
        str(role): {"people": len(group), "photos": sum(map(len, group.values()))}
        for role, group in groups.items()
    }
