"""Divide a photo set: who is enrolled with which photos, and what is held out as probes.

Every order is that of SHA-256 over the seed and the photo's own hash, so a split depends on the
seed and on what the photos are: not on the machine, on file names, or on who else is there.
"""

import difflib
import functools
import hashlib
import math
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.errors import UserError
from audit.types import Photo, PhotoSet, Rejection, Role, Split
from datasets.duplicates import greyed, near_duplicates, thumbnail
from datasets.photos import Reason, pixels

TRAIN_MIN = 2
THUMBNAILS_KEPT = 4096
PEOPLE_SHOWN = 20


def split(
    photo_set: PhotoSet,
    protected: Sequence[str],
    *,
    seed: int,
    train: float,
    probes: int | None = None,
    decoys: int | None = None,
    decoy_photos: int | None = None,
) -> Split:
    """Split the protected people's photos into train and probes, and choose the decoys.

    `train` is a count (an int, at least 2) or a fraction (a float between 0 and 1, rounded half
    up) of each protected person's usable photos. `probes`, `decoys` and `decoy_photos` None mean
    all. A probe that copies an enrolled photo is refused and the next in order takes its place;
    people who are neither protected nor decoys become `target`. Raises UserError when the photo
    set can't give what is asked for.
    """
    _check_counts(probes=probes, decoy_photos=decoy_photos)
    photos = _by_person(photo_set, seed)
    people = _found(photo_set, protected)
    decoy_people, target_people = _others(set(photos) - set(people), seed, decoys)
    enrolled = {person: _enrolled(person, photos[person], train) for person in people}
    decoy = {person: photos[person][:decoy_photos] for person in decoy_people}
    known = [photo for group in (enrolled, decoy) for held in group.values() for photo in held]
    probe: dict[str, tuple[Photo, ...]] = {}
    rejections: list[Rejection] = []
    rest = {person: photos[person][len(enrolled[person]) :] for person in people}
    copied = _copied([photo for held in rest.values() for photo in held], known)
    for person in people:
        probe[person], refused = _probes(person, rest[person], copied, probes, photo_set.root)
        rejections += refused
    target = {person: photos[person] for person in target_people}
    return Split(seed, enrolled, probe, decoy, target, tuple(rejections))


def order(photos: Iterable[Photo], seed: int) -> list[Photo]:
    """Return photos in the seed's order, in which a split takes them."""
    return sorted(photos, key=lambda photo: _rank(seed, photo.sha256))


def rows(photo_set: PhotoSet, split: Split, root: Path) -> list[dict[str, Any]]:
    """Return the rows of photos.jsonl: every file once, ordered by path.

    `path` is relative to `root`, with slashes; `width` and `height` are None where the file was
    rejected before it was split.
    """
    roles = _roles(split)
    sizes = {photo.path: (photo.width, photo.height) for photo in photo_set.photos}
    items: dict[Path, Photo | Rejection] = {photo.path: photo for photo in photo_set.photos}
    items |= {item.path: item for item in (*photo_set.rejections, *split.rejections)}
    found = [
        _row(root, item, roles.get(path, Role.UNUSED), sizes.get(path))
        for path, item in items.items()
    ]
    return sorted(found, key=lambda row: str(row["path"]))


def _roles(split: Split) -> dict[Path, Role]:
    groups = {
        Role.TRAIN: split.train,
        Role.PROBE: split.probe,
        Role.DECOY: split.decoy,
        Role.TARGET: split.target,
    }
    return {
        photo.path: role
        for role, people in groups.items()
        for photos in people.values()
        for photo in photos
    }


def _row(
    root: Path, item: Photo | Rejection, role: Role, size: tuple[int, int] | None
) -> dict[str, Any]:
    rejection = item if isinstance(item, Rejection) else None
    width, height = size or (None, None)
    return {
        "sha256": item.sha256,
        "person": item.person,
        "path": Path(os.path.relpath(item.path, root)).as_posix(),
        "role": str(role),
        "rejected": rejection is not None,
        "reason": str(rejection.reason) if rejection else "",
        "detail": rejection.detail if rejection else "",
        "width": width,
        "height": height,
    }


def _rank(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()


def _by_person(photo_set: PhotoSet, seed: int) -> dict[str, tuple[Photo, ...]]:
    """Return each person's photos in the seed's order."""
    people: dict[str, list[Photo]] = defaultdict(list)
    for photo in order(photo_set.photos, seed):
        people[photo.person].append(photo)
    return {person: tuple(photos) for person, photos in people.items()}


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise UserError(
                f"{name} = {count}",
                expected="a whole number of at least 1",
                remedy="leave it out to use all photos",
            )


def _found(photo_set: PhotoSet, protected: Sequence[str]) -> list[str]:
    """Return the protected people as the photo set spells them, each once."""
    people = photo_set.people
    names = list(dict.fromkeys(unicodedata.normalize("NFC", name) for name in protected))
    for name in names:
        if name not in people:
            raise _unknown_person(photo_set, name)
    if not names:
        remedy = "name the person whose photos are to be protected"
        raise UserError("no person to protect", expected="at least one person", remedy=remedy)
    return names


def _unknown_person(photo_set: PhotoSet, name: str) -> UserError:
    people = photo_set.people
    reasons = Counter(str(r.reason) for r in photo_set.rejections if r.person == name)
    if reasons:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        seen = f"{name!r} has no usable photo: {counts}"
        return UserError(seen, expected="usable photos", remedy="replace the rejected files")
    by_folded = {person.casefold(): person for person in people}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    shown = ", ".join(people[:PEOPLE_SHOWN]) + (", ..." if len(people) > PEOPLE_SHOWN else "")
    return UserError(
        f"nobody in {photo_set.root} is called {name!r}",
        expected=f"one of its {len(people)} people: {shown}",
        remedy=f"did you mean {' or '.join(repr(by_folded[folded]) for folded in close)}?"
        if close
        else "name a person by the folder's name",
    )


def _enrolled(person: str, photos: tuple[Photo, ...], train: float) -> tuple[Photo, ...]:
    """Return the photos to enrol: the first in order."""
    if isinstance(train, float) and not 0 < train < 1:
        raise UserError(
            f"a training fraction of {train}",
            expected="a fraction between 0 and 1, or a whole number of photos",
            remedy="give a fraction such as 0.7, or a count such as 10",
        )
    count = math.floor(train * len(photos) + 0.5) if isinstance(train, float) else train
    if count < TRAIN_MIN:
        raise UserError(
            f"{count} training photos of {person!r}, who has {len(photos)} usable photos",
            expected=f"at least {TRAIN_MIN} training photos",
            remedy="train on more of the photos, or add photos of this person",
        )
    if count >= len(photos):
        raise UserError(
            f"{count} training photos of {person!r}, who has {len(photos)} usable photos",
            expected="fewer training photos than usable photos, so that a probe is left",
            remedy="train on fewer of the photos, or add photos of this person",
        )
    return photos[:count]


def _probes(
    person: str, rest: Sequence[Photo], copied: Mapping[str, Photo], probes: int | None, root: Path
) -> tuple[tuple[Photo, ...], list[Rejection]]:
    """Return the first photos that copy no enrolled photo, and those refused on the way."""
    if probes is not None and probes > len(rest):
        raise UserError(
            f"{probes} probes of {person!r} asked for, {len(rest)} photos are left of training",
            expected="at most as many probes as photos that aren't trained on",
            remedy="ask for fewer probes, train on fewer photos, or add photos of this person",
        )
    chosen: list[Photo] = []
    refused: list[Rejection] = []
    for photo in rest:
        if len(chosen) == probes:
            break
        if photo.sha256 in copied:
            refused.append(_refused(photo, copied[photo.sha256], root))
        else:
            chosen.append(photo)
    if not chosen:
        raise UserError(
            f"no probe of {person!r} is left: all {len(refused)} copy a photo that is enrolled",
            expected="at least one photo that isn't nearly the same as a training photo",
            remedy="add photos of this person taken on other occasions",
        )
    return tuple(chosen), refused


def _copied(probes: Sequence[Photo], enrolled: Sequence[Photo]) -> dict[str, Photo]:
    """Return by hash the enrolled photos, and for each nearly the same probe which it copies."""
    same = {photo.sha256: photo for photo in enrolled}
    others = [photo for photo in probes if photo.sha256 not in same]
    near = near_duplicates(others, enrolled, _thumbnail)
    return same | {others[i].sha256: enrolled[j] for i, j in reversed(near)}


@functools.lru_cache(THUMBNAILS_KEPT)
def _thumbnail(photo: Photo) -> NDArray[np.uint8]:
    return thumbnail(greyed(pixels(photo)))


def _refused(photo: Photo, enrolled: Photo, root: Path) -> Rejection:
    same = "the same" if photo.sha256 == enrolled.sha256 else "nearly the same"
    name = Path(os.path.relpath(enrolled.path, root)).as_posix()
    detail = f"{same} photo as {name}, which is enrolled"
    return Rejection(photo.path, photo.person, Reason.DUPLICATE_OF_TRAIN, detail, photo.sha256)


def _others(people: Collection[str], seed: int, decoys: int | None) -> tuple[list[str], list[str]]:
    """Return the decoys and the people who are not enrolled, of those who aren't protected."""
    if not people:
        raise UserError(
            "the photo set holds nobody beside the protected",
            expected="at least one decoy, so that a service can mistake somebody",
            remedy="add folders of other people",
        )
    count = len(people) if decoys is None else decoys
    if not 1 <= count <= len(people):
        raise UserError(
            f"{count} decoys asked for, {len(people)} people beside the protected",
            expected="at least one decoy, at most as many as other people",
            remedy=f"ask for 1 to {len(people)} decoys, or add folders of other people",
        )
    ordered = sorted(people, key=lambda person: _rank(seed, person))
    return ordered[:count], ordered[count:]
