"""Network weights in the user's cache folder, each file verified by SHA-256.

They live in `$AUDIT_CACHE/weights/NAME/FILE` (by default ~/.cache/cloak-audit). A file that has
no published hash is trusted when it first comes; its hash is then kept beside it in FILE.sha256
and holds from then on. Importing this module doesn't import torch.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from audit.errors import UserError
from audit.types import content_hash
from cloaker.download import Progress, download
from cloaker.networks.catalogue import CATALOGUE, METRICS, Entry, Metric, WeightFile
from cloaker.trackers import installed


class State(StrEnum):
    """Whether a network can be loaded."""

    INSTALLED = "yes"
    ABSENT = "no"
    DAMAGED = "bad checksum"


@dataclass(frozen=True, slots=True)
class WeightsRow:
    """One line of `audit weights list`. `size` in bytes, None = not known; `fetchable`: by URL."""

    name: str
    installed: State
    size: int | None
    licence: str
    what: str
    source: str
    fetchable: bool


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is now in the cache. `pinned`: no hash is published, this one was trusted."""

    path: Path
    sha256: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """A network's verified files as bytes. `sha256`: the file's, or a hash of all files' hashes."""

    contents: tuple[bytes, ...]
    sha256: str


def list_weights() -> tuple[WeightsRow, ...]:
    """Return every known network and metric, with its files' state (each is hashed anew).

    Networks that were trained on this machine come last.
    """
    known = (_row(name, entry) for name, entry in _entries().items())
    return (*known, *map(_trained_row, installed.names()))


def _trained_row(name: str) -> WeightsRow:
    state, size, what = State.DAMAGED, None, "trained on this machine"
    with suppress(UserError):
        if tracker := installed.find(name):
            what = tracker.what
            size, state = len(installed.content(tracker)), State.INSTALLED
    licence = "that of its base and of its photos"
    return WeightsRow(name, state, size, licence, what, "this machine", fetchable=False)


def add(name: str, file: Path) -> tuple[StoredFile, ...]:
    """Copy a network's file into the cache, verified and all or nothing.

    A network of several files takes them by suffix: name one, the others lie beside it with the
    same stem. Raises UserError when a file is absent or has another hash.
    """
    entry = _entry(name)
    with _folder(name) as folder, tempfile.TemporaryDirectory(dir=folder) as temporary:
        copies = [Path(temporary, wanted.name) for wanted in entry.files]
        hashes: list[str] = []
        for wanted, copy in zip(entry.files, copies, strict=True):
            given = _given(file, wanted, entry)
            shutil.copyfile(given, copy)
            hashes.append(_sha256(copy))
            _compare(hashes[-1], wanted, folder, given)
        return tuple(map(_store, copies, entry.files, hashes, [folder] * len(copies)))


def fetch(
    name: str, on_progress: Progress | None = None, *, mirror: str | None = None
) -> tuple[StoredFile, ...]:
    """Download a network's files; an interrupted download goes on where it stopped.

    `mirror` (else `$AUDIT_WEIGHTS_MIRROR`) replaces the published addresses: files are then at
    MIRROR/NAME/FILE. Raises Stopped when the network or the server fails, UserError when the
    network has no known address.
    """
    entry = _entry(name)
    mirror = mirror or os.environ.get("AUDIT_WEIGHTS_MIRROR")
    with _folder(name) as folder:
        return tuple(
            _fetch_file(name, wanted, folder, mirror, on_progress) for wanted in entry.files
        )


def read(name: str) -> Weights:
    """Return a network's files, each verified as it is read.

    Raises UserError when one is absent, unreadable or not the file that its hash promises.
    """
    entry = _entry(name)
    contents, hashes = [], []
    for wanted in entry.files:
        path = _cache(name) / wanted.name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise _absent(name, entry) from None
        except OSError as error:
            raise UserError(
                f"the weights {path} can't be read: {error.strerror}",
                remedy="make the file readable to you, or add it again",
            ) from error
        seen = hashlib.sha256(content).hexdigest()
        if _expected(wanted, path.parent) is None:
            raise _absent(name, entry)
        _compare(seen, wanted, path.parent, path)
        contents.append(content)
        hashes.append(seen)
    return Weights(tuple(contents), hashes[0] if len(hashes) == 1 else content_hash(hashes))


def _cache(name: str) -> Path:
    root = Path(os.environ.get("AUDIT_CACHE") or "~/.cache/cloak-audit").expanduser()
    return root / "weights" / name


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    """Give the network's folder; a full disk or a lack of permission is the user's to mend."""
    folder = _cache(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise UserError(
            f"the weights of {name} can't be stored: {error.strerror}: {error.filename}",
            expected=f"a readable file and room to write in {folder}",
            remedy="set AUDIT_CACHE to another folder, or free space there",
        ) from error


def _entries() -> dict[str, Entry | Metric]:
    return {**CATALOGUE, **METRICS}


def _entry(name: str) -> Entry | Metric:
    entries = _entries()
    if name not in entries:
        raise UserError(
            f"no installable weights are named {name}",
            expected=f"one of {', '.join(entries)}",
            remedy="see `audit weights list`",
        )
    return entries[name]


def _absent(name: str, entry: Entry | Metric) -> UserError:
    fetchable = all(file.url for file in entry.files)
    fetch_it = f"`audit weights fetch {name}`, or " if fetchable else ""
    return UserError(
        f"the weights of {name} are not installed",
        expected=f"{', '.join(file.name for file in entry.files)} in {_cache(name)}",
        remedy=f"{fetch_it}`audit weights add {name} FILE` (source: {entry.source})",
    )


def _row(name: str, entry: Entry | Metric) -> WeightsRow:
    sizes = [file.size for file in entry.files]
    state = _state(name, entry)
    if state is State.INSTALLED:
        sizes = [(_cache(name) / file.name).stat().st_size for file in entry.files]
    return WeightsRow(
        name=name,
        installed=state,
        size=sum(size for size in sizes if size is not None) or None,
        licence=entry.licence,
        what=entry.what,
        source=entry.source,
        fetchable=all(file.url for file in entry.files),
    )


def _state(name: str, entry: Entry | Metric) -> State:
    folder = _cache(name)
    for file in entry.files:
        if not (folder / file.name).is_file() or _expected(file, folder) is None:
            return State.ABSENT
    good = all(_sha256(folder / file.name) == _expected(file, folder) for file in entry.files)
    return State.INSTALLED if good else State.DAMAGED


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pin(folder: Path, wanted: WeightFile) -> Path:
    return folder / f"{wanted.name}.sha256"


def _expected(wanted: WeightFile, folder: Path) -> str | None:
    """Return the hash that a file must have; None before a file without one first comes."""
    pin = _pin(folder, wanted)
    if wanted.sha256 is None and pin.is_file():
        return pin.read_text(encoding="ascii").strip()
    return wanted.sha256


def _compare(seen: str, wanted: WeightFile, folder: Path, path: Path) -> None:
    expected = _expected(wanted, folder)
    if expected is not None and seen != expected:
        raise UserError(
            f"{path} is not {wanted.name}: SHA-256 {seen}",
            expected=f"SHA-256 {expected}",
            remedy=_remedy_of_mismatch(wanted, folder),
        )


def _remedy_of_mismatch(wanted: WeightFile, folder: Path) -> str:
    if wanted.sha256 is None:
        return f"get the same file as before, or delete {_pin(folder, wanted)} to trust another"
    return "get the file again from its source: it is damaged, or another version"


def _given(file: Path, wanted: WeightFile, entry: Entry | Metric) -> Path:
    path = file if len(entry.files) == 1 else file.with_suffix(Path(wanted.name).suffix)
    if not path.is_file():
        raise UserError(
            f"no such file: {path}",
            expected=" beside ".join(f"a {Path(f.name).suffix} file" for f in entry.files),
            remedy="give the path of the weights that you downloaded",
        )
    return path


def _store(temporary: Path, wanted: WeightFile, sha256: str, folder: Path) -> StoredFile:
    """Move a verified file to its place; a file without its pin counts as absent."""
    target, pinned = folder / wanted.name, wanted.sha256 is None
    if pinned:
        _pin(folder, wanted).write_text(f"{sha256}\n", encoding="ascii")
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    return StoredFile(target, sha256, pinned)


def _fetch_file(
    name: str, wanted: WeightFile, folder: Path, mirror: str | None, on_progress: Progress | None
) -> StoredFile:
    target, part = folder / wanted.name, folder / f"{wanted.name}.part"
    if target.is_file() and (sha256 := _sha256(target)) == _expected(wanted, folder):
        return StoredFile(target, sha256, wanted.sha256 is None)
    url = f"{mirror.rstrip('/')}/{name}/{wanted.name}" if mirror else wanted.url
    if not url:
        raise UserError(
            f"no address is known to download {wanted.name} from",
            expected=f"a file that you have from its source: {_entry(name).source}",
            remedy=f"`audit weights add {name} FILE`",
        )
    download(
        url,
        part,
        on_progress,
        remedy=f"bring the file to this machine and `audit weights add {name} FILE`",
    )
    sha256 = _sha256(part)
    try:
        _compare(sha256, wanted, folder, part)
    except UserError:
        part.unlink()
        raise
    return _store(part, wanted, sha256, folder)
