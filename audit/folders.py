"""Where things are kept: the run folders, the user's cache and state, and files written whole.

A run folder holds one experiment and can be moved; see README, "The run folder".
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.errors import Stopped, UserError

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def cache_folder() -> Path:
    """Return where weights, cloaks and bundled photos are kept between runs (`AUDIT_CACHE`)."""
    return Path(os.environ.get("AUDIT_CACHE") or Path.home() / ".cache" / "cloak-audit")


def state_folder() -> Path:
    """Return where pacing remembers what every run of this user has sent (`AUDIT_STATE`)."""
    return Path(os.environ.get("AUDIT_STATE") or Path.home() / ".local" / "state" / "cloak-audit")


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into one message; the run can be resumed after."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        raise Stopped(
            f"{path} can't be written: {os.strerror(error.errno)}.",
            remedy="make room or give write permission, then call again (a run: `audit resume`)",
        ) from None


def private_folder(path: Path) -> Path:
    """Create a folder, if it isn't there, that only its owner can read.

    Raises UserError where no folder can be: a file is in the way, or the place takes none.
    """
    try:
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(
            f"{path} can't be made: {os.strerror(error.errno or 0)}.",
            expected="a folder, or a place where one can be made",
            remedy="name another place",
        ) from None
    return path


def require_place(path: Path) -> None:
    """Raise UserError where no folder can be, before the work of which the result would go there."""
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UserError(
            f"{path} can't be made: {there} is a file.",
            expected="a folder, or a place where one can be made",
            remedy="name another place",
        )


def existing_folder(path: Path) -> Path:
    """Return a folder of runs; raises UserError if there is none."""
    if not path.is_dir():
        raise UserError(
            f"there is no folder {path}.",
            expected="the folder of all run folders: --runs DIR, or AUDIT_RUNS",
            remedy="`audit run --provider mock` makes it, and a run in it",
        )
    return path


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, sees the old text or the new, never a part."""
    with disk_errors(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_unchanged(path: Path, sha256: str) -> None:
    """Raise UserError, naming the file, unless it is there with the bytes of this SHA-256."""
    try:
        changed = "" if sha256_of(path) == sha256 else "has changed"
    except OSError as error:
        changed = f"can't be read: {error.strerror}"
    if changed:
        raise UserError(
            f"{path} {changed}.",
            expected=f"the file with SHA-256 {sha256}",
            remedy="put the old file back, or start a new run",
        )


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read what `write_jsonl` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths inside one run's folder."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id is its folder's name."""
        return self.path.name

    @property
    def experiment(self) -> Path:
        return self.path / "experiment.toml"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def photos(self) -> Path:
        return self.path / "photos.jsonl"

    @property
    def cloaked(self) -> Path:
        return self.path / "cloaked"

    @property
    def cloaks(self) -> Path:
        return self.cloaked / "cloaks.jsonl"

    @property
    def observations(self) -> Path:
        return self.path / "observations.csv"

    @property
    def examples(self) -> Path:
        return self.path / "examples"

    @property
    def emulator_state(self) -> Path:
        return self.path / "emulator"

    @property
    def local_state(self) -> Path:
        return self.path / "local"

    @property
    def enrolment(self) -> Path:
        return self.path / "enrolment.csv"

    @property
    def changed_uploads(self) -> Path:
        return self.path / "changed_uploads.csv"

    @property
    def embedding_map(self) -> Path:
        return self.path / "embedding_map.csv"

    @property
    def prices(self) -> Path:
        return self.path / "prices.toml"

    @property
    def lock(self) -> Path:
        return self.path / "lock.toml"

    @property
    def log(self) -> Path:
        return self.path / "audit.log"

    @property
    def report(self) -> Path:
        return self.path / "report" / "index.html"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process; raises UserError while another process works on it."""
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"the run {self.id} is being worked on by another process.",
                    remedy=f"watch it with `audit status {self.id}`, or stop that process first",
                ) from None
            yield

    @property
    def is_locked(self) -> bool:
        """Tell whether a process works on the run now."""
        try:
            with self.locked():
                return False
        except UserError:
            return True


def new_id(provider: str) -> str:
    """Return a run id of today that no other run has."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{provider}-{secrets.token_hex(2)}"


def new_run(runs: Path, run_id: str) -> RunFolder:
    """Return the folder that a new run will have; raises UserError if it can't have it."""
    if not _RUN_ID.fullmatch(run_id):
        raise UserError(
            f"--out {run_id!r} can't be a run id.",
            expected="letters, digits, '.', '_' and '-', 80 at most, a letter or digit first",
        )
    require_place(runs)
    folder = RunFolder(runs / run_id)
    if folder.experiment.exists():
        raise UserError(
            f"the run {run_id} exists already in {runs}.",
            remedy=f"`audit resume {run_id}` continues it; another --out starts a new one",
        )
    return folder


def comparison_folder(runs: Path, run_ids: Sequence[str], studies: Sequence[str]) -> Path:
    """Return where a comparison of these runs is written: the same for the same runs."""
    names = [*run_ids, *studies]
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    return runs / "comparisons" / f"{names[0]}--{names[-1]}-{digest}"


def find_run(runs: Path, run: str) -> RunFolder:
    """Return a run's folder by its id or path; raises UserError when there is none."""
    for path in (runs / run, Path(run)):
        if (path / "experiment.toml").is_file():
            return RunFolder(path)
    known = ", ".join(folder.id for folder in list_runs(runs)[-5:]) or "none yet"
    raise UserError(
        f"there is no run {run!r} in {runs}.",
        expected=f"the id or the folder of a run; the latest here: {known}",
        remedy="`audit list` shows all; --runs or AUDIT_RUNS names another folder",
    )


def list_runs(runs: Path) -> list[RunFolder]:
    """Return all runs of a folder, by id."""
    return [RunFolder(path.parent) for path in sorted(runs.glob("*/experiment.toml"))]
