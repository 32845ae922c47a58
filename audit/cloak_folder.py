"""`audit cloak`: a folder of photos, cloaked at full resolution, without any service."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.cloak_jobs import cloak_of
from audit.errors import Interrupted, UserError
from audit.experiment import Experiment
from audit.folders import cache_folder, disk_errors, private_folder, require_place, write_jsonl
from audit.preparation import (
    bundled_people,
    known_faces,
    load_photos,
    refuse_bundled_networks,
    require_photos,
)
from audit.progress import Progress
from audit.types import Cloak, Photo, PhotoSet, Rejection

if TYPE_CHECKING:
    from cloaker.cloaking import Cloaking, Order, Work
    from cloaker.networks.base import EmbeddingNetwork

_FACES = "faces="

People = Mapping[str, Sequence[Photo]]
"""Photos by whom they show."""


def cloak_folder(
    photos: Path,
    out: Path,
    experiment: Experiment,
    progress: Progress,
    *,
    towards: Path | None = None,
    ray: str | None = None,
) -> list[dict[str, Any]]:
    """Cloak every person of a folder towards the others; return a row for each file.

    A folder that holds photos itself is one person. Somebody alone is cloaked towards the bundled
    generated people. Files keep their names: OUT/person/name.png, each written when it is finished,
    and OUT/cloaks.jsonl once all are. What can't be cloaked gets no file, and its row says why.
    `towards` holds the photos of the people to cloak towards instead, as `photos` does. `ray` is
    the address of the Ray cluster that cloaks, None = this process.
    """
    try:
        return _cloak_folder(photos, out, experiment, progress, towards, ray)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; the same command goes on after the last finished photos"
        ) from None


def _cloak_folder(
    photos: Path,
    out: Path,
    experiment: Experiment,
    progress: Progress,
    towards: Path | None,
    ray: str | None,
) -> list[dict[str, Any]]:
    from cloaker.device import resolve
    from cloaker.networks import registry
    from datasets import photoset

    device = resolve(experiment.device)
    cloak, networks = _cloak(experiment, device)
    require_place(out)
    with (
        _one_folder_per_person(photos) as root,
        _one_folder_per_person(towards or photos) as others,
        _workers(ray, device) as work,
    ):
        _refuse_to_replace(root, out)
        photoset.require_people(others)
        photo_set = _load(root, experiment, device, progress)
        require_photos(photo_set)
        targets = load_photos(others, device, progress) if towards else None
        refuse_bundled_networks(photo_set, experiment.network)
        judges = [registry.load(name, device) for name in _judges(experiment, photo_set)]
        cloaks = _Cloaks(photo_set, targets, out, cloak, networks, judges, progress)
        told = private_folder(out) / "cloaks.jsonl"
        told.unlink(missing_ok=True)  # it would tell of files that are replaced now
        cloaked = cloaks.make(device, work)
    write_jsonl(told, _records(cloaked))
    return list(_rows(cloaked)) + [
        _not_cloaked(item.person, item.path, _why(item)) for item in photo_set.rejections
    ]


def _cloak(experiment: Experiment, device: str) -> tuple[Cloak, list["EmbeddingNetwork"]]:
    """Return the cloak and its networks; raises UserError for one that there isn't."""
    from cloaker.networks import registry

    cloaked = [arm for arm in experiment.arms() if not arm.is_control]
    if not cloaked:
        raise UserError(
            "level none cloaks nothing.", expected="--level with one of the system's levels"
        )
    networks = [registry.load(name, device) for name in experiment.network]
    weights = {network.name: network.weights_sha256 for network in networks}
    return cloak_of(experiment, cloaked[0], weights), networks


@contextmanager
def _one_folder_per_person(photos: Path) -> Iterator[Path]:
    """Yield the folder itself, or one that holds it where the photos stand in it directly."""
    there = list(photos.iterdir()) if photos.is_dir() else []
    if not there or any(path.is_dir() for path in there):
        yield photos
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, photos.resolve().name).symlink_to(photos.resolve())
        yield Path(folder)


def _refuse_to_replace(root: Path, out: Path) -> None:
    """Raise UserError where cloaked files would take the place of the photos."""
    if not root.is_dir():
        return
    for person in root.iterdir():
        if (out / person.name).resolve() == person.resolve():
            raise UserError(
                f"{out} holds the photos themselves: {person.name}'s would be replaced by cloaks",
                expected="--out with another folder",
                remedy="name a new folder: the originals are needed to compare and to cloak again",
            )


@contextmanager
def _workers(ray: str | None, device: str) -> Iterator["Work"]:
    from cloaker.pipeline import cloak_here

    if ray is None:
        yield cloak_here
        return
    from cloaker import scale

    with scale.cluster(ray, device) as work:
        yield work


def _load(root: Path, experiment: Experiment, device: str, progress: Progress) -> PhotoSet:
    """Read and check all photos; several faces are no fault where it is said which to cloak."""
    from datasets import photoset

    faces = known_faces(device)
    enough = 1 if any(item.startswith(_FACES) for item in experiment.set) else None
    with progress.stage("photos checked", 0) as advance:
        return photoset.load(
            root,
            count_faces=lambda sha256, pixels: len(faces.find(sha256, pixels)[:enough]),
            on_photo=advance,
        )


def _judges(experiment: Experiment, photo_set: PhotoSet) -> list[str]:
    """Return the other networks here that know such faces: how far a cloak moves them is told."""
    from cloaker import weights
    from cloaker.networks import bundled, catalogue

    if photo_set.generated:
        names = list(bundled.NAMES)
    else:
        installed = (
            row.name for row in weights.list_weights() if row.installed is weights.State.INSTALLED
        )
        names = [name for name in installed if name in catalogue.CATALOGUE]
    return [name for name in names if name not in experiment.network]


@dataclass(frozen=True, slots=True)
class _Cloaks:
    """One call of `cloak_folder`."""

    photo_set: PhotoSet
    targets: PhotoSet | None
    out: Path
    cloak: Cloak
    networks: Sequence["EmbeddingNetwork"]
    judges: Sequence["EmbeddingNetwork"]
    progress: Progress

    def make(self, device: str, work: "Work") -> dict[str, "Cloaking"]:
        """Cloak everybody; return each person's outcome."""
        from cloaker.cloaking import cloak_people
        from datasets import carried, generated
        from datasets import photos as photo_files

        everybody = {person: self.photo_set.of(person) for person in self.photo_set.people}
        orders = {person: self._order(person, everybody, device) for person in everybody}
        with self.progress.stage("steps of cloaking", 0) as advance, disk_errors(self.out):
            cloaked = cloak_people(
                self.cloak,
                self.networks,
                list(orders.values()),
                read=photo_files.pixels,
                carried=carried.carried,
                faces=known_faces(device),
                cache=cache_folder(),
                judges=self.judges,
                text=generated.MARK if self.photo_set.generated else {},
                work=work,
                on_progress=advance,
            )
        return dict(zip(orders, cloaked, strict=True))

    def _order(self, person: str, everybody: People, device: str) -> "Order":
        from cloaker.cloaking import Order

        others = {who: photos for who, photos in everybody.items() if who != person}
        folder, names = _swept(self.out / person), _names(everybody[person])
        return Order(everybody[person], self._candidates(others, device), folder, names=names)

    def _candidates(self, others: People, device: str) -> People:
        if self.targets:
            return {who: self.targets.of(who) for who in self.targets.people}
        if others:
            return others
        bundled = load_photos(bundled_people(self.progress), device, self.progress)
        return {who: bundled.of(who) for who in bundled.people}


def _records(cloaked: Mapping[str, "Cloaking"]) -> Iterator[dict[str, Any]]:
    for person, result in cloaked.items():
        for record in result.cloaked:
            yield asdict(record) | {"file": f"{person}/{record.file}"}


def _rows(cloaked: Mapping[str, "Cloaking"]) -> Iterator[dict[str, Any]]:
    for person, result in cloaked.items():
        for record in result.cloaked:
            yield {
                "person": person,
                "file": record.file,
                "dssim": round(record.dssim, 5),
                "not cloaked": "",
            }
        for photo, reason in result.failures:
            yield _not_cloaked(person, photo.path, reason)


def _swept(folder: Path) -> Path:
    """Return a person's folder, without what a killed process was writing in it."""
    for left in private_folder(folder).glob(".part-*"):
        shutil.rmtree(left, ignore_errors=True)
    return folder


def _names(photos: Sequence[Photo]) -> dict[str, str]:
    """Return each photo's file name: its own with .png, kept apart where two would be one."""
    stems = Counter(photo.path.stem for photo in photos)
    return {
        photo.sha256: f"{photo.path.stem if stems[photo.path.stem] == 1 else photo.path.name}.png"
        for photo in photos
    }


def _why(rejection: Rejection) -> str:
    from datasets.photos import Reason

    if rejection.reason != Reason.SEVERAL_FACES:
        return rejection.detail
    return f"{rejection.detail}, or --set faces=all, largest or reference"


def _not_cloaked(person: str, path: Path, reason: str) -> dict[str, Any]:
    return {"person": person, "file": path.name, "dssim": "", "not cloaked": reason}
