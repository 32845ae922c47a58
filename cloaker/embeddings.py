"""How networks saw the faces of photos, computed once: one private file that can be emptied.

Embeddings are biometric data. They stand in one SQLite file that only its owner can read; what is
deleted is overwritten. Importing this imports no torch.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from audit.types import content_hash
from cloaker.known_faces import Face

_FILE = "embeddings-2.db"  # the number is that of the table
_TABLE = """
CREATE TABLE IF NOT EXISTS seen (
    photo TEXT NOT NULL,
    way TEXT NOT NULL,
    faces TEXT NOT NULL,
    embeddings BLOB NOT NULL,
    made_for TEXT NOT NULL,
    PRIMARY KEY (photo, way)
) WITHOUT ROWID
"""
_WAIT_S = 30.0

SeenFace = tuple[Face, NDArray[np.float32]]
"""A face, and the network's raw embedding of it, D."""
SeenPhotos = Mapping[str, Sequence[SeenFace]]
"""By the SHA-256 of a photo's bytes: its faces, largest first."""
Settings = Mapping[str, object]
Result = TypeVar("Result")


class EmbeddingCache:
    """Keeps what networks saw, by the photo's bytes and by everything else that decides it.

    `settings` of its methods is that everything else: the network's weights, how faces are found,
    the code's version; JSON-able. `made_for` is the run whose photos are seen, if it is for one:
    what a tracker does to photos gives bytes that no list of the run's photos tells of. Safe to call from threads and processes. A file that is damaged
    is begun anew, and where nothing can be written nothing is kept: embeddings can be made again.
    """

    def __init__(self, folder: Path, made_for: str = "") -> None:
        self._file, self._made_for = folder / _FILE, made_for

    def get(self, settings: Settings, photos: Iterable[str]) -> dict[str, tuple[SeenFace, ...]]:
        """Return the faces of those photos, by hash, that are kept."""
        way, wanted = content_hash(settings), json.dumps(list(photos))
        query = (
            "SELECT photo, faces, embeddings FROM seen "
            "WHERE way = ? AND photo IN (SELECT value FROM json_each(?))"
        )
        rows = self._try(lambda database: database.execute(query, (way, wanted)).fetchall()) or ()
        return {photo: _faces(faces, embeddings) for photo, faces, embeddings in rows}

    def put(self, settings: Settings, seen: SeenPhotos) -> None:
        """Keep the faces of photos; an empty sequence says that a photo shows none."""
        way = content_hash(settings)
        rows = [(photo, way, *_row(faces), self._made_for) for photo, faces in seen.items()]
        query = "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)"
        self._try(lambda database: database.executemany(query, rows))

    def forget(self, photos: Iterable[str]) -> int:
        """Delete what any network saw in some photos, or saw for this cache's run.

        Returns how many records are gone. Raises sqlite3.Error where that can't be done.
        """
        query = (
            "DELETE FROM seen WHERE photo IN (SELECT value FROM json_each(?))"
            " OR (made_for != '' AND made_for = ?)"
        )
        if not self._file.exists():
            return 0
        with _opened(self._file) as database:
            deleted = database.execute(query, (json.dumps(list(photos)), self._made_for)).rowcount
            database.commit()
            # Until then the log beside the file still holds what was deleted.
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted

    def count(self) -> int:
        """Return how many records there are: each is one photo as one network saw it."""
        if not self._file.exists():
            return 0
        query = "SELECT COUNT(*) FROM seen"
        return self._try(lambda database: int(database.execute(query).fetchone()[0])) or 0

    def _try(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Do it in one transaction; a full disk or a busy file only costs the embedding."""
        try:
            with _opened(self._file) as database:
                return work(database)
        except sqlite3.OperationalError:
            return None
        except sqlite3.DatabaseError:  # no database, or a damaged one
            for part in ("", "-wal", "-shm"):  # a log left behind would be taken for the new file's
                self._file.with_name(self._file.name + part).unlink(missing_ok=True)
            return None
        except OSError:
            return None


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # SQLite gives its log, too, the permissions that the file has.
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(file, timeout=_WAIT_S)) as database:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON"):
            database.execute(f"PRAGMA {pragma}")
        database.execute(_TABLE)
        with database:
            yield database


def _row(faces: Sequence[SeenFace]) -> tuple[str, bytes]:
    boxes = [
        [face.left, face.top, face.width, face.height, face.probability, face.landmarks]
        for face, _ in faces
    ]
    embeddings = [np.asarray(embedding, np.float32) for _, embedding in faces]
    return json.dumps(boxes), np.stack(embeddings).tobytes() if faces else b""


def _faces(boxes: str, embeddings: bytes) -> tuple[SeenFace, ...]:
    kept = json.loads(boxes)
    rows = np.frombuffer(embeddings, np.float32).reshape(len(kept), -1) if kept else ()
    return tuple(
        (Face(left, top, width, height, probability, tuple((x, y) for x, y in points)), row)
        for (left, top, width, height, probability, points), row in zip(kept, rows, strict=True)
    )
