"""The faces that an Azure Face resource has detected and not yet forgotten."""

import sqlite3
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from providers.emulators import database
from providers.emulators.database import Embedding

SCHEMA = """
CREATE TABLE IF NOT EXISTS detected (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, embedding BLOB NOT NULL, expires REAL NOT NULL);
CREATE INDEX IF NOT EXISTS detected_expiry ON detected (expires);
"""


class DetectedFace(NamedTuple):
    """A face that was detected and has not expired."""

    model: str
    embedding: Embedding


class DetectedFaces:
    """Detected faces by their faceIds, in a database that has the schema."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._database = connection

    def clear(self) -> None:
        """Forget all faces."""
        self._database.execute("DELETE FROM detected")

    def add(self, embedding: Sequence[float], model: str, *, now: float, expires: float) -> str:
        """Remember a face until it expires (Unix seconds); return its id."""
        face = str(uuid.uuid4())
        row = (face, model, database.blob(embedding), expires)
        self._database.execute("DELETE FROM detected WHERE expires <= ?", (now,))
        self._database.execute("INSERT INTO detected VALUES (?, ?, ?, ?)", row)
        return face

    def find(self, face: str, now: float) -> DetectedFace | None:
        """Return a face that has not expired."""
        query = "SELECT model, embedding FROM detected WHERE id = ? AND expires > ?"
        rows = self._database.execute(query, (face, now)).fetchall()
        return DetectedFace(rows[0][0], database.embedding(rows[0][1])) if rows else None
