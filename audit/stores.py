"""What this machine keeps about photos between runs, and how it is deleted."""

import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.errors import Stopped, UserError
from audit.folders import RunFolder, cache_folder, private_folder, read_jsonl

if TYPE_CHECKING:
    from cloaker.embeddings import EmbeddingCache

Row = Mapping[str, Any]

_HELD = {
    "embeddings": "how networks saw the faces of photos (biometric data)",
    "faces": "where the faces of photos are",
    "cloaks": "cloaked photos",
}


def embeddings(run_id: str = "") -> "EmbeddingCache":
    """Return the embeddings of all photos that this user ever used; new ones are for a run."""
    from cloaker.cache import EMBEDDINGS
    from cloaker.embeddings import EmbeddingCache

    return EmbeddingCache(private_folder(cache_folder()) / EMBEDDINGS, run_id)


def rows() -> list[Row]:
    """Return a row for each store: what it holds, how many files and bytes. Weights are not told."""
    return [_row(name) for name in _HELD]


def clear(names: Sequence[str]) -> list[Row]:
    """Delete whole stores, all of them if none is named; return what was deleted.

    Raises UserError for a store that there isn't, Stopped where one can't be deleted.
    """
    if unknown := sorted(set(names) - set(_HELD)):
        raise UserError(
            f"nothing kept is called {', '.join(unknown)}.", expected=f"some of: {', '.join(_HELD)}"
        )
    deleted = [_row(name) for name in names or _HELD]
    for row in deleted:
        try:
            shutil.rmtree(cache_folder() / row["store"])
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Stopped(f"{error.filename} can't be deleted: {error.strerror}.") from None
    return deleted


def forget(folder: RunFolder) -> int:
    """Delete the embeddings of a run's photos, cloaked, changed or not; return how many there were.

    The map made of them goes too.
    """
    folder.embedding_map.unlink(missing_ok=True)
    photos = [row["sha256"] for row in _rows_of(folder.photos)]
    cloaked = [row["cloaked_sha256"] for row in _rows_of(folder.cloaks)]
    try:
        return embeddings(folder.id).forget([*photos, *cloaked])
    except sqlite3.Error as error:
        raise Stopped(
            f"the embeddings of {folder.id}'s photos could not be deleted: {error}.",
            remedy="`audit cache clear embeddings` deletes those of all photos",
        ) from None


def _rows_of(file: Path) -> list[dict[str, Any]]:
    return read_jsonl(file) if file.exists() else []


def _row(name: str) -> Row:
    files = [path for path in (cache_folder() / name).rglob("*") if path.is_file()]
    return {
        "store": name,
        "holds": _HELD[name],
        "records": embeddings().count() if name == "embeddings" else len(files),
        "bytes": sum(path.stat().st_size for path in files),
    }
