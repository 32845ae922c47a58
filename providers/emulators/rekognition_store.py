"""What an account's Rekognition holds, in SQLite: durable before any answer is sent.

Collections, faces and users are numbered as they arrive; listings are in that order.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from providers.emulators import database
from providers.emulators.rekognition_vectors import FaceVectors

_SCHEMA = """
CREATE TABLE IF NOT EXISTS collections (
    number INTEGER PRIMARY KEY AUTOINCREMENT, region TEXT NOT NULL, id TEXT NOT NULL,
    created REAL NOT NULL, UNIQUE (region, id));
CREATE TABLE IF NOT EXISTS users (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    id TEXT NOT NULL, settles REAL NOT NULL DEFAULT 0, UNIQUE (collection, id));
CREATE TABLE IF NOT EXISTS faces (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    id TEXT NOT NULL, image_id TEXT NOT NULL, external_id TEXT,
    box_left REAL NOT NULL, box_top REAL NOT NULL, width REAL NOT NULL, height REAL NOT NULL,
    confidence REAL NOT NULL, user INTEGER REFERENCES users ON DELETE SET NULL,
    embedding BLOB NOT NULL, UNIQUE (collection, id));
CREATE INDEX IF NOT EXISTS faces_of_collection ON faces (collection);
CREATE INDEX IF NOT EXISTS faces_of_user ON faces (user);
CREATE TABLE IF NOT EXISTS tokens (
    operation TEXT NOT NULL, token TEXT NOT NULL,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    digest TEXT NOT NULL, answer TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (operation, token));
CREATE INDEX IF NOT EXISTS tokens_of_collection ON tokens (collection);
CREATE INDEX IF NOT EXISTS tokens_by_age ON tokens (created);
"""
_FACE = (
    "SELECT faces.number, faces.id, image_id, external_id, box_left, box_top, width, height, "
    "confidence, users.id FROM faces LEFT JOIN users ON user = users.number"
)


class Collection(NamedTuple):
    """A collection. `created` is in Unix seconds."""

    number: int
    region: str
    id: str
    created: float


class Face(NamedTuple):
    """A face of a collection: its box in ratios of the photo's size, its confidence 0..100."""

    number: int
    id: str
    image_id: str
    external_id: str | None
    left: float
    top: float
    width: float
    height: float
    confidence: float
    user: str | None


class RekognitionStore:
    """The collections of one account, in all regions, and their faces.

    Made in one thread and then used by one other. Raises UserError if the folder cannot be used.
    """

    def __init__(self, folder: Path | None, network: str) -> None:
        self._database = database.opened(folder, "rekognition", network, _SCHEMA)
        self._vectors: dict[int, FaceVectors] = {}

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def clear(self) -> None:
        """Forget everything."""
        self.write([("DELETE FROM collections", ())])
        self._vectors.clear()

    def add_collection(self, region: str, collection: str, now: float) -> None:
        """Create an empty collection."""
        insert = "INSERT INTO collections (region, id, created) VALUES (?, ?, ?)"
        self.write([(insert, (region, collection, now))])

    def collection(self, region: str, collection: str) -> Collection | None:
        """Return a collection."""
        query = "SELECT * FROM collections WHERE region = ? AND id = ?"
        rows = self.read(query, region, collection)
        return Collection(*rows[0]) if rows else None

    def collections(
        self, region: str | None = None, after: int = 0, top: int = -1
    ) -> list[Collection]:
        """Return the collections of a region, or of all, numbered above `after`; `top` -1 = all."""
        query = (
            "SELECT * FROM collections WHERE region = coalesce(?, region) AND number > ? "
            "ORDER BY number LIMIT ?"
        )
        return [Collection(*row) for row in self.read(query, region, after, top)]

    def delete_collection(self, collection: int) -> None:
        """Delete a collection and all in it."""
        self.write([("DELETE FROM collections WHERE number = ?", (collection,))])
        self._vectors.pop(collection, None)

    def face_count(self, collection: int | None = None) -> int:
        """Return how many faces a collection, or the account, holds."""
        query = "SELECT count(*) FROM faces WHERE collection = coalesce(?, collection)"
        return int(self.read(query, collection)[0][0])

    def add_faces(
        self, collection: int, faces: Sequence[Face], embeddings: Sequence[Sequence[float]]
    ) -> None:
        """Store faces that are new to a collection; `number` and `user` are not looked at."""
        insert = (
            "INSERT INTO faces (collection, id, image_id, external_id, box_left, box_top, width, "
            "height, confidence, embedding) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        rows = zip(faces, map(database.blob, embeddings), strict=True)
        self.write((insert, (collection, *face[1:9], blob)) for face, blob in rows)
        if collection in self._vectors:
            self._vectors[collection].add([face.id for face in faces], embeddings)

    def faces(
        self,
        collection: int,
        *,
        ids: Sequence[str] | None = None,
        user: str | None = None,
        after: int = 0,
        top: int = -1,
    ) -> list[Face]:
        """Return a collection's faces numbered above `after`: all, or some ids, or a user's."""
        query = f"{_FACE} WHERE faces.collection = ? AND faces.number > ?"
        values: list[Any] = [collection, after]
        order = "faces.number"
        if ids is not None:
            # The sign keeps SQLite from walking through the collection in the order of its numbers.
            order = "+faces.number"
            query += " AND faces.id IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(ids))
        if user is not None:
            query += " AND users.id = ?"
            values.append(user)
        rows = self.read(f"{query} ORDER BY {order} LIMIT ?", *values, top)
        return [Face(*row) for row in rows]

    def delete_faces(self, collection: int, ids: Sequence[str]) -> None:
        """Delete faces of a collection."""
        delete = "DELETE FROM faces WHERE collection = ? AND id = ?"
        self.write((delete, (collection, face)) for face in ids)
        if collection in self._vectors:
            self._vectors[collection].remove(ids)

    def vectors(self, collection: int) -> FaceVectors:
        """Return the embeddings of a collection's faces, kept in memory from then on."""
        if collection not in self._vectors:
            query = "SELECT id, embedding FROM faces WHERE collection = ? ORDER BY number"
            rows = self.read(query, collection)
            self._vectors[collection] = FaceVectors(
                [row[0] for row in rows], database.matrix(row[1] for row in rows)
            )
        return self._vectors[collection]

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        return self._database.execute(query, values).fetchall()

    def write(self, changes: Iterable[tuple[str, Sequence[Any]]]) -> None:
        """Carry out statements with their values, all of them or none."""
        with self._database:
            self._database.execute("BEGIN")
            for statement, values in changes:
                self._database.execute(statement, values)
