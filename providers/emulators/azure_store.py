"""What an Azure Face resource holds, in SQLite: durable before any answer is sent.

Training marks the faces that it saw: faces added later stay unknown to identification until the
next training, faces deleted later are gone at once.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from providers.emulators import database
from providers.emulators.azure_detected import SCHEMA as DETECTED_SCHEMA
from providers.emulators.azure_detected import DetectedFaces
from providers.emulators.database import Embedding

_SCHEMA = """
CREATE TABLE IF NOT EXISTS containers (
    key INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,
    user_data TEXT, model TEXT NOT NULL, created REAL NOT NULL, training_began REAL,
    training_ends REAL, training_failed INTEGER NOT NULL DEFAULT 0, trained_before REAL,
    UNIQUE (kind, id));
CREATE TABLE IF NOT EXISTS persons (
    id TEXT PRIMARY KEY, container INTEGER NOT NULL REFERENCES containers ON DELETE CASCADE,
    name TEXT NOT NULL, user_data TEXT);
CREATE INDEX IF NOT EXISTS persons_of_container ON persons (container, id);
CREATE TABLE IF NOT EXISTS faces (
    id TEXT PRIMARY KEY, container INTEGER NOT NULL REFERENCES containers ON DELETE CASCADE,
    person TEXT REFERENCES persons ON DELETE CASCADE, user_data TEXT, embedding BLOB NOT NULL,
    trained INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS faces_of_container ON faces (container, id);
CREATE INDEX IF NOT EXISTS faces_of_person ON faces (person);
"""
_MATRICES_KEPT = 8


class Container(NamedTuple):
    """A group or list; `key` is our own id. Times are Unix seconds, None = never.

    `trained_before` is when the last training but the latest succeeded.
    """

    key: int
    kind: str
    id: str
    name: str
    user_data: str | None
    model: str
    created: float
    training_began: float | None
    training_ends: float | None
    training_failed: int
    trained_before: float | None

    def is_training(self, now: float) -> bool:
        """Tell whether a training runs."""
        return self.training_ends is not None and now < self.training_ends

    def trained(self, now: float) -> float | None:
        """Return when a training last succeeded."""
        if self.training_failed or self.is_training(now):
            return self.trained_before
        return self.training_ends


class Person(NamedTuple):
    """A person of a group."""

    id: str
    name: str
    user_data: str | None
    face_ids: tuple[str, ...]


class Face(NamedTuple):
    """A persisted face."""

    id: str
    user_data: str | None


class AzureStore:
    """The containers, persons and faces of one resource.

    Made in one thread and then used by one other. Raises UserError if the folder cannot be used.
    """

    def __init__(self, folder: Path | None, network: str) -> None:
        schema = _SCHEMA + DETECTED_SCHEMA
        self._database = database.opened(folder, "azure", network, schema)
        self._matrices: dict[tuple[int, bool], tuple[list[tuple[str, str]], Embedding]] = {}
        self.detected = DetectedFaces(self._database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def clear(self) -> None:
        """Forget everything."""
        self._write("DELETE FROM containers")
        self._matrices.clear()
        self.detected.clear()

    def add_container(
        self, kind: str, container: str, fields: Sequence[str | None], now: float
    ) -> None:
        """Create an empty container with an id; `fields` are its name, user data and model."""
        columns = "INSERT INTO containers (kind, id, name, user_data, model, created)"
        self._write(f"{columns} VALUES (?, ?, ?, ?, ?, ?)", kind, container, *fields, now)

    def container(self, kind: str, container: str) -> Container | None:
        """Return the container of a kind with an id."""
        query = "SELECT * FROM containers WHERE kind = ? AND id = ?"
        rows = self._read(query, kind, container)
        return Container(*rows[0]) if rows else None

    def containers(self, kind: str, start: str = "", top: int = -1) -> list[Container]:
        """Return the containers after `start`, in order of their ids; `top` -1 = all."""
        query = "SELECT * FROM containers WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"
        return [Container(*row) for row in self._read(query, kind, start, top)]

    def update_container(self, key: int, name: str | None, user_data: str | None) -> None:
        """Change what is not None."""
        self._write(
            "UPDATE containers SET name = coalesce(?, name), user_data = coalesce(?, user_data) "
            "WHERE key = ?",
            *(name, user_data, key),
        )

    def delete_container(self, key: int) -> None:
        """Delete a container and all in it."""
        self._write("DELETE FROM containers WHERE key = ?", key)
        self._matrices.clear()

    def start_training(self, container: Container, began: float, ends: float) -> None:
        """Mark every face of a container as trained; one without faces fails to train."""
        failed = not self.count_faces(container.key)
        with self._database:
            self._write("BEGIN")
            self._write("UPDATE faces SET trained = 1 WHERE container = ?", container.key)
            self._write(
                "UPDATE containers SET training_began = ?, training_ends = ?, training_failed = ?,"
                " trained_before = ? WHERE key = ?",
                *(began, ends, failed, container.trained(began), container.key),
            )
        self._matrices.clear()

    def count_persons(self, key: int) -> int:
        """Return how many persons a group has."""
        return self._count("SELECT count(*) FROM persons WHERE container = ?", key)

    def count_faces(self, key: int | None = None) -> int:
        """Return how many faces a container or, without a key, the whole resource holds."""
        if key is None:
            return self._count("SELECT count(*) FROM faces")
        return self._count("SELECT count(*) FROM faces WHERE container = ?", key)

    def count_containers(self, kind: str) -> int:
        """Return how many containers of a kind there are."""
        return self._count("SELECT count(*) FROM containers WHERE kind = ?", kind)

    def add_person(self, key: int, name: str, user_data: str | None) -> str:
        """Create a person without faces; return its id."""
        person = str(uuid.uuid4())
        self._write("INSERT INTO persons VALUES (?, ?, ?, ?)", person, key, name, user_data)
        return person

    def person(self, key: int, person: str) -> Person | None:
        """Return a person of a group."""
        query = "SELECT id, name, user_data FROM persons WHERE container = ? AND id = ?"
        rows = self._read(query, key, person)
        return self._with_faces(rows[0]) if rows else None

    def persons(self, key: int, start: str = "", top: int = -1) -> list[Person]:
        """Return the persons after `start`, in order of their ids; `top` -1 = all."""
        query = (
            "SELECT id, name, user_data FROM persons WHERE container = ? AND id > ? "
            "ORDER BY id LIMIT ?"
        )
        return [self._with_faces(row) for row in self._read(query, key, start, top)]

    def update_person(self, person: str, name: str | None, user_data: str | None) -> None:
        """Change what is not None."""
        self._write(
            "UPDATE persons SET name = coalesce(?, name), user_data = coalesce(?, user_data) "
            "WHERE id = ?",
            *(name, user_data, person),
        )

    def delete_person(self, person: str) -> None:
        """Delete a person and the faces."""
        self._write("DELETE FROM persons WHERE id = ?", person)
        self._matrices.clear()

    def add_face(
        self, key: int, person: str | None, user_data: str | None, embedding: Sequence[float]
    ) -> str:
        """Store a face of a list (`person` None) or of a group's person; return its id."""
        face = str(uuid.uuid4())
        row = (face, key, person, user_data, database.blob(embedding))
        self._write("INSERT INTO faces VALUES (?, ?, ?, ?, ?, 0)", *row)
        self._matrices.pop((key, False), None)
        return face

    def faces_of_person(self, person: str) -> list[Face]:
        """Return a person's faces, in order of arrival."""
        query = "SELECT id, user_data FROM faces WHERE person = ? ORDER BY rowid"
        return [Face(*row) for row in self._read(query, person)]

    def faces_of_list(self, key: int, start: str = "", top: int = -1) -> list[Face]:
        """Return a list's faces after `start`, in order of their ids; `top` -1 = all."""
        query = "SELECT id, user_data FROM faces WHERE container = ? AND id > ? ORDER BY id LIMIT ?"
        return [Face(*row) for row in self._read(query, key, start, top)]

    def face(self, key: int, person: str | None, face: str) -> Face | None:
        """Return a face of a list (`person` None) or of a group's person."""
        query = "SELECT id, user_data FROM faces WHERE id = ? AND container = ? AND person IS ?"
        rows = self._read(query, face, key, person)
        return Face(*rows[0]) if rows else None

    def update_face(self, face: str, user_data: str | None) -> None:
        """Change a face's user data."""
        self._write("UPDATE faces SET user_data = ? WHERE id = ?", user_data, face)

    def delete_face(self, face: str) -> None:
        """Delete a face."""
        self._write("DELETE FROM faces WHERE id = ?", face)
        self._matrices.clear()

    def matrix(self, key: int, *, trained: bool) -> tuple[list[tuple[str, str]], Embedding]:
        """Return person id and face id of a container's faces, and their embeddings N x D.

        Ordered by person. `trained` leaves out what the latest training has not seen.
        """
        if (key, trained) not in self._matrices:
            query = (
                "SELECT person, id, embedding FROM faces WHERE container = ? AND trained >= ? "
                "ORDER BY person, id"
            )
            rows = self._read(query, key, int(trained))
            if len(self._matrices) >= _MATRICES_KEPT:
                self._matrices.clear()
            self._matrices[key, trained] = (
                [(row[0], row[1]) for row in rows],
                database.matrix(row[2] for row in rows),
            )
        return self._matrices[key, trained]

    def embeddings_of(self, person: str) -> Embedding:
        """Return the embeddings N x D of all faces of a person."""
        rows = self._read("SELECT embedding FROM faces WHERE person = ?", person)
        return database.matrix(row[0] for row in rows)

    def _with_faces(self, row: tuple[Any, ...]) -> Person:
        person, name, user_data = row
        return Person(
            person, name, user_data, tuple(face.id for face in self.faces_of_person(person))
        )

    def _count(self, query: str, *values: Any) -> int:
        return int(self._read(query, *values)[0][0])

    def _read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(query, values).fetchall()

    def _write(self, statement: str, *values: Any) -> None:
        self._database.execute(statement, values)
