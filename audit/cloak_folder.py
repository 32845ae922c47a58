"""`audit cloak`: a folder of photos, cloaked at full resolution, without any service."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.cloaks import cloak_of, cloak_person
from audit.experiment import Experiment
from audit.folders import private_folder, write_jsonl
from audit.preparation import (
    bundled_people,
    load_photos,
    refuse_bundled_networks,
)
from audit.progress import Progress
from audit.types import Cloak, Photo, PhotoSet

if TYPE_CHECKING:
    from cloaker.networks.base import EmbeddingNetwork


def cloak_folder(
    photos: Path, out: Path, experiment: Experiment, progress: Progress
) -> list[dict[str, Any]]:
    """Cloak every person of a folder towards the others; return a row for each file.

    A folder that holds photos itself is one person. Somebody alone is cloaked towards the bundled
    generated people. Files keep their names: OUT/person/name.png, beside OUT/cloaks.jsonl. What
    can't be cloaked gets no file, and its row says why.
    """
    from cloaker.device import resolve
    from cloaker.networks import registry

    device = resolve(experiment.device)
    with _one_folder_per_person(photos) as root:
        photo_set = load_photos(root, device, progress)
        refuse_bundled_networks(photo_set, experiment.network)
        networks = [registry.load(name, device) for name in experiment.network]
        order = _Order(photo_set, out, experiment, networks, device, progress)
        rows = [row for person in photo_set.people for row in order.cloak(person)]
    write_jsonl(out / "cloaks.jsonl", order.records)
    return rows + [
        _not_cloaked(item.person, item.path, item.detail) for item in photo_set.rejections
    ]


@contextmanager
def _one_folder_per_person(photos: Path) -> Iterator[Path]:
    """Yield the folder itself, or one that holds it where the photos stand in it directly."""
    if not photos.is_dir() or any(path.is_dir() for path in photos.iterdir()):
        yield photos
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, photos.resolve().name).symlink_to(photos.resolve())
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class _Order:
    """One call of `cloak_folder`."""

    photo_set: PhotoSet
    out: Path
    experiment: Experiment
    networks: Sequence["EmbeddingNetwork"]
    device: str
    progress: Progress
    records: list[dict[str, Any]] = field(default_factory=list)

    def cloak(self, person: str) -> Iterator[dict[str, Any]]:
        """Cloak one person; yield a row for each photo."""
        photos = self.photo_set.of(person)
        folder = private_folder(self.out / person)
        with (
            self.progress.stage(f"steps of cloaking, {person}", 0) as advance,
            tempfile.TemporaryDirectory(dir=folder) as scratch,
        ):
            result = cloak_person(
                self._cloak(),
                self.networks,
                photos,
                self._candidates(person),
                out=Path(scratch),
                device=self.device,
                generated_set=self.photo_set.generated,
                on_progress=advance,
            )
            names = _names(photos)
            for record in result.cloaked:
                file = folder / names[record.source_sha256]
                Path(scratch, record.file).replace(file)
                self.records.append(asdict(record) | {"file": f"{person}/{file.name}"})
                yield {
                    "person": person,
                    "file": file.name,
                    "dssim": round(record.dssim, 5),
                    "not cloaked": "",
                }
        for photo, reason in result.failures:
            yield _not_cloaked(person, photo.path, reason)

    def _cloak(self) -> Cloak:
        (system,), (level,) = self.experiment.system, self.experiment.level
        weights = {network.name: network.weights_sha256 for network in self.networks}
        return cloak_of(self.experiment, system, level, weights)

    def _candidates(self, person: str) -> Mapping[str, Sequence[Photo]]:
        others = {who: self.photo_set.of(who) for who in self.photo_set.people if who != person}
        if others:
            return others
        bundled = load_photos(bundled_people(self.progress), self.device, self.progress)
        return {who: bundled.of(who) for who in bundled.people}


def _names(photos: Sequence[Photo]) -> dict[str, str]:
    """Return each photo's file name: its own with .png, kept apart where two would be one."""
    stems = Counter(photo.path.stem for photo in photos)
    return {
        photo.sha256: f"{photo.path.stem if stems[photo.path.stem] == 1 else photo.path.name}.png"
        for photo in photos
    }


def _not_cloaked(person: str, path: Path, reason: str) -> dict[str, Any]:
    return {"person": person, "file": path.name, "dssim": "", "not cloaked": reason}
