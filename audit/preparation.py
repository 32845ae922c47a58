"""Before the first call: photos read, checked and split, and the networks that may see them."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit import services, trained
from audit.errors import UserError
from audit.experiment import Experiment
from audit.folders import RunFolder, cache_folder, private_folder, read_jsonl, write_jsonl
from audit.progress import Progress
from audit.types import Photo, PhotoSet, Rejection, Role, Split

if TYPE_CHECKING:
    from cloaker.known_faces import KnownFaces

_BUNDLED_PEOPLE = 30
_BUNDLED_PHOTOS = 4
_BUNDLED_PROTECTED_PHOTOS = 32
_BUNDLED_TRAIN = 12
_BUNDLED_DECOYS = 24


@dataclass(frozen=True, slots=True)
class Prepared:
    """The photos of a run, and what each is for."""

    photo_set: PhotoSet
    split: Split


def with_bundled_people(experiment: Experiment, progress: Progress) -> Experiment:
    """Return the experiment with its photos' full path: the bundled people's if it names none."""
    if experiment.photos:
        photos = experiment.photos.expanduser().resolve()
        return experiment.model_copy(update={"photos": photos})
    folder = bundled_people(progress)
    protected = min(path.name for path in folder.iterdir() if path.is_dir())
    fitting = {"photos": folder, "person": (protected,), "train": _BUNDLED_TRAIN}
    fitting |= {"decoys": _BUNDLED_DECOYS}
    unset = fitting.keys() - (experiment.model_fields_set - {"photos"})
    return experiment.model_copy(update={key: fitting[key] for key in unset})


def bundled_people(progress: Progress) -> Path:
    """Return the folder of the bundled generated people, drawn on this machine once."""
    from datasets import generated

    folder = private_folder(cache_folder()) / f"bundled-people-{generated.GENERATOR_VERSION}"
    drawn = itertools.count(1)
    with progress.stage("bundled photos drawn", sum(map(_photos_of, range(_BUNDLED_PEOPLE)))) as on:
        generated.write_people(
            folder, _BUNDLED_PEOPLE, _photos_of, on_photo=lambda _: on(next(drawn))
        )
    return folder


def _photos_of(bundled_person: int) -> int:
    return _BUNDLED_PROTECTED_PHOTOS if bundled_person == 0 else _BUNDLED_PHOTOS


def load_photos(folder: Path, device: str, progress: Progress) -> PhotoSet:
    """Read and check every photo of a folder; raises UserError if not a single one can be used."""
    photo_set = read_photos(folder, device, progress)
    require_photos(photo_set)
    return photo_set


def require_photos(photo_set: PhotoSet) -> None:
    """Raise UserError if not a single file can be used."""
    if photo_set.photos:
        return
    rejected = photo_set.rejections
    reason = f"; {rejected[0].path}: {rejected[0].detail}" if rejected else ""
    raise UserError(
        f"no photo of {photo_set.root} can be used{reason}",
        expected="photos that show one face each",
        remedy="`audit photos check DIR` tells of every file why",
    )


def read_photos(folder: Path, device: str, progress: Progress) -> PhotoSet:
    """Read and check every photo of a folder; faces are looked for once per photo, ever.

    The runs of a study have the same photos: a folder is read once while no file in it changes.
    """
    from datasets import photoset

    listing = (folder, *_files(folder))
    if listing not in _last_read:
        faces = known_faces(device)
        with progress.stage("photos checked", 0) as advance:
            photo_set = photoset.load(
                folder,
                count_faces=lambda sha256, pixels: len(faces.find(sha256, pixels)),
                on_photo=advance,
            )
        _last_read.clear()
        _last_read[listing] = photo_set
    return _last_read[listing]


_last_read: dict[tuple[object, ...], PhotoSet] = {}


def _files(folder: Path) -> list[tuple[Path, int, int]]:
    """Return every file under a folder with its size and the time of its last change."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    states = ((path, path.stat()) for path in paths)
    return [(path, state.st_size, state.st_mtime_ns) for path, state in states]


def prepare(experiment: Experiment, progress: Progress) -> Prepared:
    """Read the photos and split them; raises UserError for what can't be an experiment."""
    if experiment.photos is None:
        raise AssertionError("with_bundled_people comes first")
    photo_set = load_photos(experiment.photos, experiment.device, progress)
    refuse_bundled_networks(photo_set, networks_of(experiment))
    if not experiment.person:
        raise UserError(
            "it isn't said who is protected.",
            expected=f"--person NAME; {experiment.photos} holds {_some(photo_set.people)}",
        )
    return divided(experiment, photo_set, experiment.person, judges_of(experiment), progress)


def divided(
    experiment: Experiment,
    photo_set: PhotoSet,
    people: Sequence[str],
    judges: Sequence[str],
    progress: Progress,
) -> Prepared:
    """Split the photos around the protected people.

    Raises UserError for what can't be split so, and for judges that were trained on such people.
    """
    from datasets import split

    found = split.split(
        photo_set,
        people,
        seed=experiment.seed,
        train=experiment.train,
        probes=experiment.probes,
        decoys=experiment.decoys,
        decoy_photos=experiment.decoy_photos,
    )
    trained.refuse_known_people(judges, found, progress.say)
    return Prepared(photo_set, found)


def save(folder: RunFolder, prepared: Prepared) -> None:
    """Write photos.jsonl: every file of the photo set, its role or why it was rejected."""
    from datasets import split

    write_jsonl(
        folder.photos, split.rows(prepared.photo_set, prepared.split, prepared.photo_set.root)
    )


def summary(photo_set: PhotoSet) -> list[dict[str, Any]]:
    """Return one row per person and one per rejected file, for `audit photos check`."""
    people: list[dict[str, Any]] = [
        {"person": person, "photos": len(photo_set.of(person)), "file": "", "rejected": ""}
        for person in photo_set.people
    ]
    rejected = [
        {
            "person": rejection.person,
            "photos": "",
            "file": rejection.path.name,
            "rejected": f"{rejection.reason}: {rejection.detail}",
        }
        for rejection in photo_set.rejections
    ]
    return people + rejected


def restore(folder: RunFolder, experiment: Experiment, *, generated: bool) -> Prepared:
    """Read back what `save` wrote: a resumed run uses the same photos in the same roles."""
    from datasets.split import order

    root = experiment.photos or Path()
    photos = {role: list[Photo]() for role in Role}
    rejections: dict[bool, list[Rejection]] = {True: [], False: []}
    for row in read_jsonl(folder.photos):
        usable = row["width"] is not None  # one that the split refused is in the photo set still
        if row["rejected"]:
            rejections[usable].append(_rejection(root, row))
        if usable:
            photos[Role(row["role"])].append(_photo(root, row))
    everyone = [photo for some in photos.values() for photo in some]
    photo_set = PhotoSet(
        root=root,
        photos=tuple(sorted(everyone, key=lambda photo: (photo.person, photo.sha256))),
        rejections=tuple(rejections[False]),
        generated=generated,
    )
    ordered = {role: order(some, experiment.seed) for role, some in photos.items()}
    split = Split(
        seed=experiment.seed,
        train=_by_person(ordered[Role.TRAIN]),
        probe=_by_person(ordered[Role.PROBE]),
        decoy=_by_person(ordered[Role.DECOY]),
        target=_by_person(ordered[Role.TARGET]),
        rejections=tuple(rejections[True]),
    )
    return Prepared(photo_set, split)


def networks_of(experiment: Experiment) -> tuple[str, ...]:
    """Return the names of the networks that an experiment uses on this machine."""
    cloaking = any(not arm.is_control for arm in experiment.arms())
    return (*(experiment.network if cloaking else ()), *judges_of(experiment))


def judges_of(experiment: Experiment) -> tuple[str, ...]:
    """Return the name of the network that recognises on this machine, if one does."""
    return (experiment.recogniser,) if services.recognises_here(experiment) else ()


def refuse_bundled_networks(photo_set: PhotoSet, names: Sequence[str]) -> None:
    """Raise UserError if a network that knows only generated faces is to judge real ones."""
    if photo_set.generated:
        return
    if wrong := sorted(filter(knows_generated_only, set(names))):
        raise UserError(
            f"{' and '.join(wrong)} {'know' if wrong[1:] else 'knows'} only the bundled generated "
            f"faces, and {photo_set.root} holds real photos: any result would be worthless.",
            expected="real networks, e.g. --network facenet-vggface2 (and --recogniser with "
            "--emulate or --provider local)",
            remedy="`audit weights list` shows them; `audit weights fetch NAME` or "
            "`audit weights add NAME FILE` installs one",
        )


def knows_generated_only(network: str) -> bool:
    """Tell whether a network knows generated people only: a bundled one, or trained from one."""
    from cloaker.networks import bundled

    return trained.root_of(network) in bundled.NAMES


def known_faces(device: str) -> "KnownFaces":
    """Return the faces of all photos that this user ever used; new ones are found on `device`."""
    from cloaker.known_faces import KnownFaces

    return KnownFaces(private_folder(cache_folder()) / "faces", lambda: _resolve(device))


def face_sides(device: str) -> Callable[[Photo], float | None]:
    """Return how to tell the shorter side in pixels of a photo's largest face, None without one."""
    from datasets.photos import pixels

    faces = known_faces(device)

    def side_px(photo: Photo) -> float | None:
        found = faces.known(photo.sha256)
        if found is None:
            found = faces.find(photo.sha256, pixels(photo))
        return found[0].side if found else None

    return side_px


def _resolve(device: str) -> str:
    from cloaker.device import resolve

    return resolve(device)


def _photo(root: Path, row: dict[str, Any]) -> Photo:
    return Photo(row["sha256"], row["person"], root / row["path"], row["width"], row["height"])


def _rejection(root: Path, row: dict[str, Any]) -> Rejection:
    told = (row[key] for key in ("person", "reason", "detail", "sha256"))
    return Rejection(root / row["path"], *told)


def _by_person(photos: Sequence[Photo]) -> dict[str, tuple[Photo, ...]]:
    people: dict[str, list[Photo]] = {}
    for photo in photos:
        people.setdefault(photo.person, []).append(photo)
    return {person: tuple(theirs) for person, theirs in people.items()}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
