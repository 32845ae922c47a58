"""The cloaking stage of a run: which photos, with which cloak, into which files."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit import manifest
from audit.errors import UserError
from audit.experiment import Experiment
from audit.folders import (
    RunFolder,
    cache_folder,
    disk_errors,
    private_folder,
    read_jsonl,
    require_unchanged,
    write_jsonl,
)
from audit.plan import CloakingForecast, cloaked_photos
from audit.preparation import Prepared, known_faces
from audit.progress import Advance, Progress
from audit.types import Arm, Cloak, CloakedPhoto, Game, Photo

if TYPE_CHECKING:
    from cloaker.cloaking import Cloaking
    from cloaker.networks.base import EmbeddingNetwork

CloakedFiles = Mapping[str, Mapping[str, Path]]
"""By arm, then by the source photo's hash: the file to upload in its place."""

_EXAMPLES = 3
_PNG_BYTES_PER_PIXEL = 2  # of a photo: noise does not compress


@dataclass(frozen=True, slots=True)
class Job:
    """One arm's cloaking: which photos, towards whom, where their cloaked files go.

    By person: `photos` are cloaked, each as among `all_photos`, whatever the arm's fraction is.
    """

    arm: Arm
    cloak: Cloak
    all_photos: Mapping[str, tuple[Photo, ...]]
    photos: Mapping[str, tuple[Photo, ...]]
    candidates: Mapping[str, Sequence[Photo]]
    folder: Path


def jobs(
    experiment: Experiment, folder: Path, prepared: Prepared, networks: Mapping[str, str]
) -> list[Job]:
    """Return what has to be cloaked; arms of one cloak share its files.

    One cloak's files stand in `folder` itself, those of several in a subfolder each.
    """
    arms = [arm for arm in experiment.arms() if not arm.is_control]
    split = prepared.split
    own = split.train if experiment.game is Game.POISON else split.probe
    found = []
    for arm in arms:
        people = split.decoy if arm.changes_decoys else own
        some = {who: cloaked_photos(theirs, arm.cloaked_fraction) for who, theirs in people.items()}
        job = Job(
            arm=arm,
            cloak=cloak_of(experiment, arm, networks),
            all_photos=people,
            photos=some,
            candidates=split.train if arm.changes_decoys else split.target or split.decoy,
            folder=folder if len(arms) == 1 else folder / arm.name,
        )
        found.append(job)
    return found


def forecast(experiment: Experiment, prepared: Prepared) -> CloakingForecast:
    """Return what cloaking will take if nothing comes from the cache."""
    if all(arm.is_control for arm in experiment.arms()):
        return CloakingForecast(0, 0.0, 0)
    from cloaker.device import resolve
    from cloaker.networks import registry
    from cloaker.speed import seconds_per_step

    device = resolve(experiment.device)
    networks = [registry.load(name, device) for name in experiment.network]
    step_s: dict[str, float] = {}
    steps = pixels = 0
    seconds = 0.0
    for job in jobs(experiment, Path(), prepared, {}):
        photos = [photo for some in job.photos.values() for photo in some]
        parameters, system = job.cloak.parameters, job.cloak.system
        if system not in step_s:
            step_s[system] = seconds_per_step(system, parameters, networks)
        steps += len(photos) * int(parameters["steps"])
        seconds += len(photos) * int(parameters["steps"]) * step_s[system]
        pixels += sum(photo.width * photo.height for photo in photos)
    return CloakingForecast(steps, seconds, pixels * _PNG_BYTES_PER_PIXEL)


def cloak_of(experiment: Experiment, arm: Arm, networks: Mapping[str, str]) -> Cloak:
    """Return the cloak of an arm; `networks` maps names to their weights' SHA-256."""
    from cloaker import levels

    if arm.targets is None:
        raise AssertionError("the control has no cloak")
    return Cloak(
        system=arm.system,
        level=arm.level,
        parameters=levels.resolve(arm.system, arm.level, experiment.set),
        networks=networks,
        targets=arm.targets,
        seed=experiment.seed,
    )


def parameters_by_arm(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Return every cloaked arm's resolved parameters, None where one is unlimited."""
    from cloaker import levels

    return {
        arm.name: {
            key: None if value == math.inf else value
            for key, value in levels.resolve(arm.system, arm.level, experiment.set).items()
        }
        for arm in experiment.arms()
        if not arm.is_control
    }


def cloak_all(
    experiment: Experiment, folder: RunFolder, prepared: Prepared, progress: Progress
) -> CloakedFiles:
    """Cloak what the experiment's arms need; what was ever cloaked alike comes from the cache.

    A resumed run uses the very files that it made before, since some may be enrolled already.
    Raises UserError if a photo could not be cloaked: an arm must hold what its name says.
    """
    if all(arm.is_control for arm in experiment.arms()):
        return {}
    if made_before := _made_before(experiment, folder, prepared):
        return made_before
    from cloaker.device import resolve
    from cloaker.networks import registry

    device = resolve(experiment.device)
    networks = [registry.load(name, device) for name in experiment.network]
    weights = {network.name: network.weights_sha256 for network in networks}
    private_folder(folder.cloaked)
    files: dict[str, dict[str, Path]] = {}
    rows: list[CloakedPhoto] = []
    for job in jobs(experiment, folder.cloaked, prepared, weights):
        made = _cloak_job(job, prepared, networks, device, progress)
        files[job.arm.name] = {row.source_sha256: job.folder / row.file for row in made}
        rows.extend(_in_run(row, job, folder) for row in made)
    _keep_examples(folder, prepared, rows)
    # Last, because it tells a resumed run that this stage is over.
    write_jsonl(folder.cloaks, (asdict(row) for row in rows))
    return files


def _made_before(
    experiment: Experiment, folder: RunFolder, prepared: Prepared
) -> CloakedFiles | None:
    """Return the run's cloaked files if every photo of every arm has one that is whole.

    Raises UserError if one is not and the run is a rerun: its very bytes can't be made again.
    """
    if manifest.read(folder).get("rerun_of"):
        return read_back(experiment, folder, prepared)
    if not folder.cloaks.exists():
        return None
    try:
        return read_back(experiment, folder, prepared)
    except UserError:
        return None


def read_back(experiment: Experiment, folder: RunFolder, prepared: Prepared) -> CloakedFiles:
    """Return the cloaked files that a run made, each checked by its hash.

    Raises UserError naming a file that is missing, has changed or was never made.
    """
    by_folder: dict[Path, dict[str, Path]] = defaultdict(dict)
    for row in read_jsonl(folder.cloaks) if folder.cloaks.exists() else []:
        file = folder.cloaked / row["file"]
        require_unchanged(file, row["cloaked_sha256"])
        by_folder[file.parent][row["source_sha256"]] = file
    files = {}
    for job in jobs(experiment, folder.cloaked, prepared, {}):
        files[job.arm.name] = by_folder[job.folder]
        wanted = {photo for photos in job.photos.values() for photo in photos}
        for photo in sorted(wanted, key=lambda photo: photo.path):
            if photo.sha256 not in files[job.arm.name]:
                raise UserError(
                    f"{folder.id} has no cloaked file of {photo.path.name} for {job.arm.name}.",
                    expected="a run whose photos were all cloaked",
                    remedy=f"`audit resume {folder.id}` makes what is left",
                )
    return files


def _cloak_job(
    job: Job,
    prepared: Prepared,
    networks: Sequence["EmbeddingNetwork"],
    device: str,
    progress: Progress,
) -> list[CloakedPhoto]:
    steps = int(job.cloak.parameters["steps"])
    total = sum(len(photos) for photos in job.photos.values()) * steps
    made: list[CloakedPhoto] = []
    with progress.stage(f"steps of cloaking, {job.arm.name}", total) as advance:
        for person in job.photos:
            result = cloak_person(
                job,
                person,
                networks,
                device=device,
                generated_set=prepared.photo_set.generated,
                on_progress=_counted_from(len(made) * steps, advance),
            )
            _refuse_failures(result.failures, job)
            made.extend(result.cloaked)
    return made


def _counted_from(before: int, advance: Advance) -> Callable[[int, int], None]:
    return lambda done, _total: advance(before + done)


def cloak_person(
    job: Job,
    person: str,
    networks: Sequence["EmbeddingNetwork"],
    *,
    device: str,
    generated_set: bool,
    on_progress: Callable[[int, int], None],
) -> "Cloaking":
    """Cloak one person's photos of a job; those of generated people stay marked as such."""
    from cloaker import cloaking
    from datasets import generated
    from datasets.carried import carried
    from datasets.photos import pixels

    with disk_errors(job.folder):
        return cloaking.cloak_photos(
            job.cloak,
            networks,
            job.all_photos[person],
            job.candidates,
            only=job.photos[person],
            read=pixels,
            carried=carried,
            faces=known_faces(device),
            out=job.folder,
            cache=cache_folder(),
            text=generated.MARK if generated_set else {},
            on_progress=on_progress,
        )


def _refuse_failures(failures: Sequence[tuple[Photo, str]], job: Job) -> None:
    if failures:
        listed = "; ".join(f"{photo.path.name}: {reason}" for photo, reason in failures[:5])
        raise UserError(
            f"{len(failures)} photos could not be cloaked for {job.arm.name}: {listed}",
            remedy="remove these photos, or move them out of the person's folder",
        )


def _in_run(row: CloakedPhoto, job: Job, folder: RunFolder) -> CloakedPhoto:
    return replace(row, file=(job.folder / row.file).relative_to(folder.cloaked).as_posix())


def _keep_examples(folder: RunFolder, prepared: Prepared, rows: Sequence[CloakedPhoto]) -> None:
    """Keep a few upright originals, so that the report can show pairs from the folder alone."""
    from PIL import Image

    from datasets import photos as photo_files

    private_folder(folder.examples)
    wanted = list(dict.fromkeys(row.source_sha256 for row in rows))[:_EXAMPLES]
    for photo in prepared.photo_set.photos:
        if photo.sha256 in wanted:
            picture = Image.fromarray(photo_files.pixels(photo))
            with disk_errors(folder.examples):
                picture.save(folder.examples / f"{photo.sha256}.png")
