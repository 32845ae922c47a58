"""A recogniser on this machine behind the same verbs, for audits without a cloud."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np

from audit.errors import UserError
from audit.types import Candidate, RecognisedFace, Recogniser
from providers.base import (
    Capabilities,
    EnrolledFace,
    Failure,
    FailureKind,
    GalleryPage,
    PhotoRefusedError,
    Provider,
    RemotePerson,
)
from providers.capabilities import load
from providers.emulators.database import blob, matrix, opened
from providers.local_matching import LocalMatching, Ranking, ranking

_SCHEMA = """
CREATE TABLE IF NOT EXISTS galleries (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS faces (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice
    gallery TEXT NOT NULL REFERENCES galleries ON DELETE CASCADE,
    person TEXT NOT NULL,
    tag TEXT NOT NULL,
    embedding BLOB NOT NULL,
    UNIQUE (gallery, person, tag)
);
"""


class GalleryError(Exception):
    """A gallery that exists already, or does not exist."""

    def __init__(self, kind: FailureKind, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(kind, code, message)


class LocalProvider(Provider):
    """A recogniser, how its faces are matched, and a folder that keeps the galleries.

    `score` calibrates a cosine to 0..1. `folder` None = galleries in memory. Raises UserError
    for an unknown matching or a folder that cannot be used. Threads look at photos at once and
    take turns at the galleries.
    """

    def __init__(
        self,
        *,
        recogniser: Recogniser,
        score: Callable[[float], float],
        folder: Path | None,
        matching: str = LocalMatching.NEAREST,
    ) -> None:
        if matching not in list(LocalMatching):
            raise UserError(
                f"There is no local matching named {matching!r}.",
                expected=f"one of: {', '.join(LocalMatching)}",
            )
        self._recogniser = recogniser
        self._score = score
        self._matching = LocalMatching(matching)
        self._database = opened(folder, "local", recogniser.name, _SCHEMA)
        self._lock = Lock()
        self._rankings: dict[str, tuple[tuple[int, int | None], Ranking]] = {}

    @classmethod
    def describe(cls, gallery: str | None = None) -> Capabilities:
        """Return what a local recogniser can do; there is one kind of gallery."""
        return load("local", gallery)

    @property
    def service_model(self) -> str:
        """The embedding network's name and the matching."""
        return f"{self._recogniser.name} {self._matching}"

    @property
    def account(self) -> str:
        """The embedding network's name."""
        return f"local/{self._recogniser.name}"

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def create_gallery(self, gallery: str) -> None:
        """Create an empty gallery."""
        try:
            with self._lock:
                self._database.execute("INSERT INTO galleries VALUES (?)", (gallery,))
        except sqlite3.IntegrityError as error:
            raise GalleryError(
                FailureKind.CONFLICT, "GalleryExists", f"Gallery {gallery} exists already."
            ) from error

    def enrol(self, gallery: str, person_id: str, photo: bytes, tag: str) -> EnrolledFace:
        """Add a photo's largest face; the same person and tag in a gallery again add nothing."""
        face = self._largest_face(photo)
        with self._opened(gallery) as database:
            database.execute(
                "INSERT OR IGNORE INTO faces (gallery, person, tag, embedding) VALUES (?, ?, ?, ?)",
                (gallery, person_id, tag, blob(face.embedding)),
            )
            [face_id] = database.execute(
                "SELECT id FROM faces WHERE gallery = ? AND person = ? AND tag = ?",
                (gallery, person_id, tag),
            ).fetchone()
        return EnrolledFace(str(face_id))

    def identify_photo(
        self, gallery: str, photo: bytes, threshold: float, candidates: int
    ) -> Sequence[Candidate]:
        """Return the people whose score for the largest face is at least `threshold`."""
        face = self._largest_face(photo)
        with self._opened(gallery) as database:
            rank = self._ranking(database, gallery)
        ranked = rank(np.asarray(face.embedding, np.float32))
        return [one for one in ranked if one.score >= threshold][:candidates]

    def list_galleries(self) -> Sequence[str]:
        """Return the names of all galleries of this network in the folder."""
        with self._lock:
            return [name for (name,) in self._database.execute("SELECT name FROM galleries")]

    def list_gallery(self, gallery: str, start: str = "") -> GalleryPage:
        """Return everyone in a gallery on one page, with the faces' ids, oldest first."""
        people: dict[str, list[str]] = {}
        with self._opened(gallery) as database:
            query = "SELECT person, id FROM faces WHERE gallery = ? ORDER BY id"
            for person, face_id in database.execute(query, (gallery,)):
                people.setdefault(person, []).append(str(face_id))
        return GalleryPage(
            tuple(RemotePerson(person, person, tuple(faces)) for person, faces in people.items())
        )

    def remove_faces(self, gallery: str, face_ids: Sequence[str]) -> None:
        """Delete faces of a gallery; those that are gone already don't matter."""
        with self._opened(gallery) as database:
            database.execute(
                "DELETE FROM faces WHERE gallery = ? AND id IN (SELECT value FROM json_each(?))",
                (gallery, json.dumps(list(face_ids))),
            )

    def delete_gallery(self, gallery: str) -> None:
        """Delete a gallery and everything in it."""
        with self._opened(gallery) as database:
            database.execute("DELETE FROM galleries WHERE name = ?", (gallery,))
            self._rankings.pop(gallery, None)

    def classify(self, error: Exception) -> Failure:
        """Say what an exception raised by a verb means."""
        if isinstance(error, PhotoRefusedError | GalleryError):
            return error.failure
        # A locked file or a full disk passes, and what is enrolled is kept.
        passes = isinstance(error, sqlite3.OperationalError)
        kind = FailureKind.TRANSIENT if passes else FailureKind.FATAL
        return Failure(kind, type(error).__name__, str(error)[:500])

    @contextmanager
    def _opened(self, gallery: str) -> Iterator[sqlite3.Connection]:
        """Give the calling thread its turn at a gallery; raises GalleryError if there is none."""
        with self._lock:
            query = "SELECT 1 FROM galleries WHERE name = ?"
            if self._database.execute(query, (gallery,)).fetchone() is None:
                raise GalleryError(
                    FailureKind.ABSENT, "GalleryNotFound", f"There is no gallery {gallery}."
                )
            yield self._database

    def _largest_face(self, photo: bytes) -> RecognisedFace:
        try:
            faces = self._recogniser(photo)
        except ValueError as error:
            raise PhotoRefusedError("InvalidImage", "The photo cannot be decoded.") from error
        if not faces:
            raise PhotoRefusedError("NoFace", "No face detected in the photo.", no_face=True)
        return max(faces, key=lambda face: face.width * face.height)

    def _ranking(self, database: sqlite3.Connection, gallery: str) -> Ranking:
        """Return what ranks a gallery's people, made anew only if its faces have changed.

        A new face has a new highest id, and below the same one faces can only have become fewer.
        """
        query = "SELECT COUNT(*), MAX(id) FROM faces WHERE gallery = ?"
        version = database.execute(query, (gallery,)).fetchone()
        known = self._rankings.get(gallery)
        if known is None or known[0] != version:
            known = version, self._fitted(database, gallery)
            self._rankings[gallery] = known
        return known[1]

    def _fitted(self, database: sqlite3.Connection, gallery: str) -> Ranking:
        rows = database.execute(
            "SELECT person, embedding FROM faces WHERE gallery = ? ORDER BY id", (gallery,)
        ).fetchall()
        people = [person for person, _ in rows]
        embeddings = matrix(embedding for _, embedding in rows)
        return ranking(self._matching, people, embeddings, self._score)
