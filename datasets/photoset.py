"""Turn a folder with one folder per person into a photo set; every file is used or rejected."""

import itertools
import os
import unicodedata
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audit.errors import UserError
from audit.types import Photo, PhotoSet, Rejection
from datasets.duplicates import fingerprint, greyed, near_duplicates_across_people, thumbnail
from datasets.photos import PhotoError, Reason, decode, quiet

CountFaces = Callable[[str, NDArray[np.uint8]], int]
OnPhoto = Callable[[int, int], None]

LOOKING_THREADS = min(8, os.cpu_count() or 1)
SIDECARS = (".csv", ".txt", ".json", ".md")
HIDDEN = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")
LAYOUT = "a folder with one folder per person: photos/alice/1.jpg, photos/bob/1.jpg"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at a file told; its pixels are let go."""

    photo: Photo
    faces: int
    thumbnail: NDArray[np.uint8]
    generated: bool


def load(
    root: Path, count_faces: CountFaces | None = None, on_photo: OnPhoto | None = None
) -> PhotoSet:
    """Read every photo under `root`; nothing about one file ends it.

    `count_faces` (SHA-256, RGB pixels) tells how many faces a photo shows, and is called from
    several threads; None skips that check. `on_photo` is called with (photos done, photos in all).
    Raises UserError when the folder isn't laid out as one folder per person or holds no file.
    """
    files, rejections = _files(root)
    usable: dict[tuple[str, str], _Seen] = {}
    with quiet():
        for done, (person, path, looking) in enumerate(_looked_at(files, count_faces), start=1):
            try:
                found = _accepted(looking.result(), usable)
                usable[person, found.photo.sha256] = found
            except PhotoError as error:
                rejections.append(Rejection(path, person, error.reason, error.detail, error.sha256))
            if on_photo:
                on_photo(done, len(files))
    ordered = [usable[key] for key in sorted(usable)]
    shared = _across_people(ordered, root)
    kept = [found for found in ordered if found.photo.path not in shared]
    rejections += shared.values()
    return PhotoSet(
        root,
        tuple(found.photo for found in kept),
        tuple(sorted(rejections, key=lambda rejection: (rejection.person, rejection.path))),
        generated=bool(kept) and all(found.generated for found in kept),
    )


def _accepted(seen: _Seen, earlier: dict[tuple[str, str], _Seen]) -> _Seen:
    """Return a photo unless it is there already or shows no face or several."""
    person, sha256, faces = seen.photo.person, seen.photo.sha256, seen.faces
    if (person, sha256) in earlier:
        first = earlier[person, sha256].photo.path.name
        raise PhotoError(Reason.DUPLICATE_EXACT, f"the same file as {first}", sha256)
    if faces == 0:
        raise PhotoError(Reason.NO_FACE, "no face was found", sha256)
    if faces > 1:
        raise PhotoError(Reason.SEVERAL_FACES, f"{faces} faces were found; one is needed", sha256)
    return seen


def _across_people(usable: Sequence[_Seen], root: Path) -> dict[Path, Rejection]:
    """Reject every copy of a photo that is in several people's folders."""
    photos = [found.photo for found in usable]
    thumbnails = {found.photo.path: found.thumbnail for found in usable}
    near = near_duplicates_across_people(photos, lambda photo: thumbnails[photo.path])
    others: dict[Path, list[Photo]] = defaultdict(list)
    for i, j in sorted({*near, *_same(photos)}):
        others[photos[i].path].append(photos[j])
        others[photos[j].path].append(photos[i])
    return {
        photo.path: _shared(photo, others[photo.path], root)
        for photo in photos
        if photo.path in others
    }


def _same(photos: Sequence[Photo]) -> Iterator[tuple[int, int]]:
    """Yield the positions of equal files; a flat picture is nearly the same as no other."""
    positions: dict[str, list[int]] = defaultdict(list)
    for position, photo in enumerate(photos):
        positions[photo.sha256].append(position)
    for equal in positions.values():
        yield from itertools.combinations(equal, 2)


def _shared(photo: Photo, others: Sequence[Photo], root: Path) -> Rejection:
    same = any(other.sha256 == photo.sha256 for other in others)
    names = ", ".join(other.path.relative_to(root).as_posix() for other in others)
    detail = f"{'the same' if same else 'nearly the same'} photo as {names}"
    reason = Reason.DUPLICATE_ACROSS_PEOPLE
    return Rejection(photo.path, photo.person, reason, detail, photo.sha256)


def _looked_at(
    files: Sequence[tuple[str, Path]], count_faces: CountFaces | None
) -> Iterator[tuple[str, Path, Future[_Seen]]]:
    """Yield each file in order, with what was seen or a PhotoError; few are looked at ahead."""
    ahead: deque[tuple[str, Path, Future[_Seen]]] = deque()
    with ThreadPoolExecutor(LOOKING_THREADS) as pool:
        for person, path in files:
            ahead.append((person, path, pool.submit(_look, person, path, count_faces)))
            if len(ahead) > LOOKING_THREADS:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()


def _look(person: str, path: Path, count_faces: CountFaces | None) -> _Seen:
    picture = decode(path)
    pixels = picture.pixels
    faces = 1 if count_faces is None else count_faces(picture.sha256, pixels)
    height, width, _ = pixels.shape
    grey = greyed(pixels)
    photo = Photo(picture.sha256, person, path, width, height, fingerprint(grey))
    return _Seen(photo, faces, thumbnail(grey), picture.generated)


def _files(root: Path) -> tuple[list[tuple[str, Path]], list[Rejection]]:
    """Return (person, file) of every visible file in a person's folder, ordered by both."""
    top = _top(root)
    folders = [path for path in top if path.is_dir()]
    loose = [path for path in top if not path.is_dir() and path.suffix.lower() not in SIDECARS]
    if not folders:
        raise _no_people(root, loose)
    _check_names(root, folders)
    files: list[tuple[str, Path]] = []
    rejections = [_loose(path) for path in loose]
    for folder in folders:
        person = unicodedata.normalize("NFC", folder.name)
        try:
            files += [(person, path) for path in _visible(folder)]
        except OSError as error:
            detail = f"the folder can't be read ({error.strerror})"
            rejections.append(Rejection(folder, person, Reason.UNREADABLE, detail))
    if not files and not rejections:
        raise UserError(
            f"the {len(folders)} person folders in {root} are all empty",
            expected=LAYOUT,
            remedy="put each person's photos into that person's folder",
        )
    return sorted(files), rejections


def require_people(root: Path) -> None:
    """Raise UserError for what is no folder of people's folders, before a photo is looked at."""
    _files(root)


def _top(root: Path) -> list[Path]:
    try:
        return _visible(root)
    except FileNotFoundError as error:
        seen = f"there is no folder {root}"
        raise UserError(seen, expected=LAYOUT, remedy="check the path") from error
    except NotADirectoryError as error:
        seen = f"{root} is a file, not a folder"
        remedy = "name the folder that holds the person folders"
        raise UserError(seen, expected=LAYOUT, remedy=remedy) from error
    except OSError as error:
        seen = f"the folder {root} can't be read ({error.strerror})"
        remedy = "check the folder's permissions"
        raise UserError(seen, expected=LAYOUT, remedy=remedy) from error


def _visible(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in HIDDEN
    )


def _loose(path: Path) -> Rejection:
    detail = "it lies beside the person folders; move it into the folder of whom it shows"
    return Rejection(path, "", Reason.NO_PERSON_FOLDER, detail)


def _no_people(root: Path, loose: Sequence[Path]) -> UserError:
    if not loose:
        remedy = "make one folder per person in it and put that person's photos there"
        return UserError(f"the folder {root} is empty", expected=LAYOUT, remedy=remedy)
    return UserError(
        f"{root} has {len(loose)} files such as {loose[0].name}, but no folder for a person",
        expected=LAYOUT,
        remedy="make one folder per person and move the files into them, "
        "or, if this is one person's folder, name the folder above it",
    )


def _check_names(root: Path, folders: Sequence[Path]) -> None:
    """Refuse names that are no text, or that some file systems would take for one person."""
    for folder in folders:
        if any("\ud800" <= letter <= "\udfff" for letter in folder.name):
            raise UserError(
                f"{root} has a folder whose name is not UTF-8: {folder.name!a}",
                expected="a name that is text",
                remedy="rename it",
            )
    spellings: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        spellings[unicodedata.normalize("NFC", folder.name).casefold()].append(folder.name)
    for names in spellings.values():
        if len(names) > 1:
            raise UserError(
                f"{root} has folders whose names differ only in case or accents' spelling: "
                + ", ".join(map(repr, names)),
                expected="one folder per person, each with a name of its own",
                remedy="rename or merge them",
            )
