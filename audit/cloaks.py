"""The cloaking stage of a run: its jobs done into files, or found done already."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from audit import manifest
from audit.cloak_jobs import Job, jobs
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
from audit.plan import CloakingForecast
from audit.preparation import Prepared, known_faces
from audit.progress import Advance, Progress
from audit.types import CloakedPhoto, Photo

if TYPE_CHECKING:
    from cloaker.cloaking import Cloaking
    from cloaker.networks.base import EmbeddingNetwork

CloakedFiles = Mapping[str, Mapping[str, Path]]
"""By arm, then by the source photo's hash: the file to upload in its place."""

_EXAMPLES = 3
_PNG_BYTES_PER_PIXEL = 2  # of a photo: noise does not compress


def forecast(
    experiment: Experiment, prepared: Prepared, step_s: dict[str, float] | None = None
) -> CloakingForecast:
    """Return what cloaking will take if nothing comes from the cache.

    `step_s` has the seconds a step of systems that are known, and gets those that are measured.
    """
    if all(arm.is_control for arm in experiment.arms()):
        return CloakingForecast(0, 0.0, 0)
    from cloaker.device import resolve
    from cloaker.networks import registry
    from cloaker.speed import seconds_per_step

    device = resolve(experiment.device)
    networks = [registry.load(name, device) for name in experiment.network]
    step_s = {} if step_s is None else step_s
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
    files = defaultdict[str, dict[str, Path]](dict)
    rows: list[CloakedPhoto] = []
    startup_s: dict[str, list[float]] = defaultdict(list)
    for job in jobs(experiment, folder.cloaked, prepared, weights):
        made = cloak_job(job, prepared, networks, device, progress, startup_s[job.name])
        for arm in job.arms:
            files[arm].update({row.source_sha256: job.folder / row.file for row in made})
        rows.extend(_in_run(row, job, folder) for row in made)
    _keep_examples(folder, prepared, rows)
    manifest.Manifest(folder).update(cloaking_startup_s=startup_s)
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
    files = defaultdict[str, dict[str, Path]](dict)
    for job in jobs(experiment, folder.cloaked, prepared, {}):
        made = by_folder[job.folder]
        wanted = {photo for photos in job.photos.values() for photo in photos}
        for photo in sorted(wanted, key=lambda photo: photo.path):
            if photo.sha256 not in made:
                raise UserError(
                    f"{folder.id} has no cloaked file of {photo.path.name} for {job.name}.",
                    expected="a run whose photos were all cloaked",
                    remedy=f"`audit resume {folder.id}` makes what is left",
                )
        for arm in job.arms:
            files[arm].update(made)
    return files


def cloak_job(
    job: Job,
    prepared: Prepared,
    networks: Sequence["EmbeddingNetwork"],
    device: str,
    progress: Progress,
    startup_s: list[float],
) -> list[CloakedPhoto]:
    """Cloak the photos of a job. Raises UserError naming those that can't be cloaked.

    `startup_s` gets the seconds to the first step of each person's photos.
    """
    steps = int(job.cloak.parameters["steps"])
    total = sum(len(photos) for photos in job.photos.values()) * steps
    made: list[CloakedPhoto] = []
    with progress.stage(f"steps of cloaking, {job.name}", total) as advance:
        for person in job.photos:
            result = cloak_person(
                job,
                person,
                networks,
                device=device,
                generated_set=prepared.photo_set.generated,
                on_progress=_Steps(len(made) * steps, steps, advance, startup_s),
            )
            _refuse_failures(result.failures, job)
            made.extend(result.cloaked)
    return made


class _Steps:
    """Counts a person's steps on from those before, and times the first that is really taken.

    A photo from the cache counts as all its steps at once.
    """

    def __init__(self, before: int, each: int, advance: Advance, startup_s: list[float]) -> None:
        self._before, self._each, self._advance = before, each, advance
        self._began, self._startup_s = time.monotonic(), startup_s
        self._is_under_way = False

    def __call__(self, done: int, _total: int) -> None:
        if done % self._each and not self._is_under_way:
            self._is_under_way = True
            self._startup_s.append(round(time.monotonic() - self._began, 3))
        self._advance(self._before + done)


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
            f"{len(failures)} photos could not be cloaked for {job.name}: {listed}",
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
