"""What an Azure Face resource holds, in SQLite: durable before any answer is sent.

Training marks the faces that it saw: faces added later stay unknown to identification until the
next training, faces deleted later are gone at once.
"""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from providers.emulators import database
from providers.emulators.database import Embedding

_SCHEMA = """
CREATE TABLE IF NOT EXISTS galleries (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, user_data TEXT, model TEXT NOT NULL,
    created REAL NOT NULL, training_began REAL, training_ends REAL,
    training_failed INTEGER NOT NULL DEFAULT 0, last_success REAL);
CREATE TABLE IF NOT EXISTS persons (
    id TEXT PRIMARY KEY, gallery TEXT NOT NULL REFERENCES galleries ON DELETE CASCADE,
    name TEXT NOT NULL, user_data TEXT);
CREATE INDEX IF NOT EXISTS persons_of_gallery ON persons (gallery, id);
CREATE TABLE IF NOT EXISTS faces (
    id TEXT PRIMARY KEY, person TEXT NOT NULL REFERENCES persons ON DELETE CASCADE,
    user_data TEXT, embedding BLOB NOT NULL, trained INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS faces_of_person ON faces (person);
CREATE TABLE IF NOT EXISTS detected (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, embedding BLOB NOT NULL, expires REAL NOT NULL);
CREATE INDEX IF NOT EXISTS detected_expiry ON detected (expires);
"""


class Gallery(NamedTuple):
    """A large person group. Times are Unix seconds, None = never."""

    id: str
    name: str
    user_data: str | None
    model: str
    created: float
    training_began: float | None
    training_ends: float | None
    training_failed: int
    last_success: float | None


class Person(NamedTuple):
    """A person of a large person group."""

    id: str
    name: str
    user_data: str | None
    face_ids: tuple[str, ...]


class DetectedFace(NamedTuple):
    """A face that was detected and has not expired."""

    model: str
    embedding: Embedding


class AzureStore:
    """The groups, persons, faces and detected faces of one resource.

    Made in one thread and then used by one other. Raises UserError if the folder cannot be used.
    """

    def __init__(self, folder: Path | None) -> None:
        self._database = database.opened(folder, "azure.db", _SCHEMA)
        self._matrices: dict[str, tuple[list[str], Embedding]] = {}

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def clear(self) -> None:
        """Forget everything."""
        self._write("DELETE FROM galleries")
        self._write("DELETE FROM detected")

    def add_gallery(
        self, gallery: str, name: str, user_data: str | None, model: str, now: float
    ) -> None:
        """Create an empty group."""
        columns = "INSERT INTO galleries (id, name, user_data, model, created)"
        self._write(f"{columns} VALUES (?, ?, ?, ?, ?)", gallery, name, user_data, model, now)

    def gallery(self, gallery: str) -> Gallery | None:
        """Return a group."""
        rows = self._read("SELECT * FROM galleries WHERE id = ?", gallery)
        return Gallery(*rows[0]) if rows else None

    def galleries(self, start: str = "", top: int = -1) -> list[Gallery]:
        """Return the groups after `start`, in order of their ids; `top` -1 = all."""
        query = "SELECT * FROM galleries WHERE id > ? ORDER BY id LIMIT ?"
        return [Gallery(*row) for row in self._read(query, start, top)]

    def delete_gallery(self, gallery: str) -> None:
        """Delete a group and all in it."""
        self._write("DELETE FROM galleries WHERE id = ?", gallery)

    def start_training(self, gallery: str, began: float, ends: float) -> None:
        """Mark every face of a group as trained; a group without faces fails to train."""
        query = "SELECT count(*) FROM faces JOIN persons ON person = persons.id WHERE gallery = ?"
        failed = self._read(query, gallery)[0][0] == 0
        with self._database:
            self._write("BEGIN")
            self._write(
                "UPDATE faces SET trained = 1 "
                "WHERE person IN (SELECT id FROM persons WHERE gallery = ?)",
                gallery,
            )
            self._write(
                "UPDATE galleries SET training_began = ?, training_ends = ?, training_failed = ?,"
                " last_success = CASE WHEN ? THEN last_success ELSE ? END WHERE id = ?",
                *(began, ends, failed, failed, ends, gallery),
            )

    def add_person(self, gallery: str, name: str, user_data: str | None) -> str:
        """Create a person without faces; return its id."""
        person = str(uuid.uuid4())
        self._write("INSERT INTO persons VALUES (?, ?, ?, ?)", person, gallery, name, user_data)
        return person

    def person(self, gallery: str, person: str) -> Person | None:
        """Return a person of a group."""
        query = "SELECT id, name, user_data FROM persons WHERE gallery = ? AND id = ?"
        rows = self._read(query, gallery, person)
        return self._with_faces(rows[0]) if rows else None

    def persons(self, gallery: str, start: str = "", top: int = -1) -> list[Person]:
        """Return the persons after `start`, in order of their ids; `top` -1 = all."""
        query = (
            "SELECT id, name, user_data FROM persons WHERE gallery = ? AND id > ? "
            "ORDER BY id LIMIT ?"
        )
        return [self._with_faces(row) for row in self._read(query, gallery, start, top)]

    def delete_person(self, person: str) -> None:
        """Delete a person and the faces."""
        self._write("DELETE FROM persons WHERE id = ?", person)

    def add_face(self, person: str, user_data: str | None, embedding: Sequence[float]) -> str:
        """Store a face of a person; return its id."""
        face, blob = str(uuid.uuid4()), database.blob(embedding)
        self._write("INSERT INTO faces VALUES (?, ?, ?, ?, 0)", face, person, user_data, blob)
        return face

    def faces(self, person: str) -> list[tuple[str, str | None]]:
        """Return the ids of a person's faces with their user data, in order of arrival."""
        query = "SELECT id, user_data FROM faces WHERE person = ? ORDER BY rowid"
        return [(row[0], row[1]) for row in self._read(query, person)]

    def delete_face(self, face: str) -> None:
        """Delete a face."""
        self._write("DELETE FROM faces WHERE id = ?", face)

    def update_gallery(self, gallery: str, name: str | None, user_data: str | None) -> None:
        """Change what is not None."""
        self._write(
            "UPDATE galleries SET name = coalesce(?, name), user_data = coalesce(?, user_data) "
            "WHERE id = ?",
            *(name, user_data, gallery),
        )

    def update_person(self, person: str, name: str | None, user_data: str | None) -> None:
        """Change what is not None."""
        self._write(
            "UPDATE persons SET name = coalesce(?, name), user_data = coalesce(?, user_data) "
            "WHERE id = ?",
            *(name, user_data, person),
        )

    def update_face(self, face: str, user_data: str | None) -> None:
        """Change a face's user data."""
        self._write("UPDATE faces SET user_data = ? WHERE id = ?", user_data, face)

    def add_detected(
        self, embedding: Sequence[float], model: str, *, now: float, expires: float
    ) -> str:
        """Remember a detected face until it expires; return its id."""
        face = str(uuid.uuid4())
        row = (face, model, database.blob(embedding), expires)
        self._database.execute("DELETE FROM detected WHERE expires <= ?", (now,))
        self._database.execute("INSERT INTO detected VALUES (?, ?, ?, ?)", row)
        return face

    def detected(self, face: str, now: float) -> DetectedFace | None:
        """Return a detected face that has not expired."""
        query = "SELECT model, embedding FROM detected WHERE id = ? AND expires > ?"
        rows = self._read(query, face, now)
        return DetectedFace(rows[0][0], database.embedding(rows[0][1])) if rows else None

    def trained_faces(self, gallery: str) -> tuple[list[str], Embedding]:
        """Return the trained faces of a group, by person: person ids and embeddings N x D."""
        if gallery not in self._matrices:
            query = (
                "SELECT person, embedding FROM faces JOIN persons ON person = persons.id "
                "WHERE gallery = ? AND trained = 1 ORDER BY person"
            )
            rows = self._read(query, gallery)
            self._matrices[gallery] = (
                [row[0] for row in rows],
                database.matrix(row[1] for row in rows),
            )
        return self._matrices[gallery]

    def embeddings_of(self, person: str) -> Embedding:
        """Return the embeddings N x D of all faces of a person."""
        rows = self._read("SELECT embedding FROM faces WHERE person = ?", person)
        return database.matrix(row[0] for row in rows)

    def _with_faces(self, row: tuple[Any, ...]) -> Person:
        person, name, user_data = row
        return Person(person, name, user_data, tuple(face for face, _ in self.faces(person)))

    def _read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(query, values).fetchall()

    def _write(self, statement: str, *values: Any) -> None:
        """Change what identification may depend on."""
        self._database.execute(statement, values)
        self._matrices.clear()
