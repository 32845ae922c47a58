"""What a Face++ account holds, in SQLite: durable before any answer is sent.

A face that is in no FaceSet dies 72 hours after it was found, or after it left its last FaceSet.
All keys that are let in share one account.
"""

import json
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from providers.emulators import database
from providers.emulators.database import Embedding

FACE_TTL_S = 72 * 3600
_FACES_PER_SET_MAX = 10_000
_CACHED_FACES_MAX = 50_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facesets (
    token TEXT PRIMARY KEY, outer_id TEXT UNIQUE, display_name TEXT NOT NULL,
    tags TEXT NOT NULL, user_data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS faces (
    token TEXT PRIMARY KEY, image_id TEXT NOT NULL, user_id TEXT NOT NULL DEFAULT '',
    looks TEXT NOT NULL, embedding BLOB NOT NULL, expires REAL);
CREATE INDEX IF NOT EXISTS face_expiry ON faces (expires);
CREATE TABLE IF NOT EXISTS members (
    faceset TEXT NOT NULL REFERENCES facesets ON DELETE CASCADE,
    face TEXT NOT NULL REFERENCES faces ON DELETE CASCADE, UNIQUE (faceset, face));
CREATE INDEX IF NOT EXISTS facesets_of_face ON members (face);
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY, operation TEXT NOT NULL, faceset TEXT NOT NULL, tokens TEXT NOT NULL,
    ends REAL NOT NULL, answer TEXT);
CREATE INDEX IF NOT EXISTS running_tasks ON tasks (ends) WHERE answer IS NULL;
"""


class FaceSet(NamedTuple):
    """A set of faces. `outer_id` is None if its owner gave none."""

    token: str
    outer_id: str | None
    display_name: str
    tags: str
    user_data: str


class Face(NamedTuple):
    """A face that has a token. `looks` is what the emulator's answers tell of it."""

    token: str
    image_id: str
    user_id: str
    looks: Mapping[str, Any]
    embedding: Embedding


class Task(NamedTuple):
    """An asynchronous change of a FaceSet. `ends`: Unix seconds; `answer` None = still running."""

    id: str
    operation: str
    faceset: str
    tokens: list[str]
    ends: float
    answer: dict[str, Any] | None


class FaceppStore:
    """The FaceSets, faces and tasks of one account.

    Made in one thread and then used by one other. Raises UserError if the folder cannot be used.
    """

    def __init__(self, folder: Path | None, network: str, faces_max: int | None = None) -> None:
        self._database = database.opened(folder, "facepp", network, _SCHEMA)
        self._faces_max = faces_max
        self._matrices: OrderedDict[str, tuple[list[str], Embedding]] = OrderedDict()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def clear(self) -> None:
        """Forget everything."""
        with self._database:
            self._run("BEGIN")
            for table in ("members", "facesets", "faces", "tasks"):
                self._run(f"DELETE FROM {table}")  # noqa: S608 - names of our own
        self._matrices.clear()

    def add_faces(
        self, image_id: str, found: Iterable[tuple[Mapping[str, Any], Sequence[float]]], now: float
    ) -> list[Face]:
        """Keep the looks and embeddings of a picture's faces until they expire."""
        faces = [
            Face(uuid.uuid4().hex, image_id, "", looks, database.embedding(database.blob(values)))
            for looks, values in found
        ]
        with self._database:
            self._run("BEGIN")
            self._run("DELETE FROM faces WHERE expires <= ?", now)
            for face in faces:
                self._run(
                    "INSERT INTO faces (token, image_id, looks, embedding, expires) "
                    "VALUES (?, ?, ?, ?, ?)",
                    *(face.token, image_id, json.dumps(face.looks)),
                    *(face.embedding.tobytes(), now + FACE_TTL_S),
                )
        return faces

    def face(self, token: str, now: float) -> Face | None:
        """Return a face that has not expired."""
        rows = self._run(
            "SELECT token, image_id, user_id, looks, embedding FROM faces "
            "WHERE token = ? AND (expires IS NULL OR expires > ?)",
            *(token, now),
        )
        return _face(rows[0]) if rows else None

    def label_face(self, token: str, user_id: str) -> None:
        """Give a face a user_id."""
        self._run("UPDATE faces SET user_id = ? WHERE token = ?", user_id, token)

    def labels(self, tokens: Sequence[str]) -> dict[str, str]:
        """Return the user_id of each face in turn, "" for one that has none."""
        rows = self._run(
            "SELECT token, user_id FROM faces WHERE token IN (SELECT value FROM json_each(?))",
            json.dumps(tokens),
        )
        found = dict(rows)
        return {token: found[token] for token in tokens}

    def add_faceset(self, outer_id: str | None, name: str, tags: str, user_data: str) -> FaceSet:
        """Create an empty FaceSet."""
        faceset = FaceSet(uuid.uuid4().hex, outer_id, name, tags, user_data)
        self._run("INSERT INTO facesets VALUES (?, ?, ?, ?, ?)", *faceset)
        return faceset

    def faceset(self, *, token: str | None = None, outer_id: str | None = None) -> FaceSet | None:
        """Return the FaceSet that has this token or this outer_id."""
        query = "SELECT * FROM facesets WHERE token = ? OR outer_id = ?"
        rows = self._run(query, token, outer_id)
        return FaceSet(*rows[0]) if rows else None

    def facesets(self) -> list[FaceSet]:
        """Return all FaceSets, oldest first."""
        return [FaceSet(*row) for row in self._run("SELECT * FROM facesets ORDER BY rowid")]

    def facesets_of(self, face: str) -> list[FaceSet]:
        """Return the FaceSets that hold a face, oldest first."""
        rows = self._run(
            "SELECT facesets.* FROM facesets JOIN members ON faceset = token "
            "WHERE face = ? ORDER BY facesets.rowid",
            face,
        )
        return [FaceSet(*row) for row in rows]

    def replace_faceset(self, faceset: FaceSet) -> None:
        """Change all but a FaceSet's token and faces."""
        self._run(
            "UPDATE facesets SET outer_id = ?, display_name = ?, tags = ?, user_data = ? "
            "WHERE token = ?",
            *(*faceset[1:], faceset.token),
        )

    def delete_faceset(self, faceset: str, now: float) -> None:
        """Delete a FaceSet; faces that were in it alone begin to expire."""
        tokens = self.members(faceset)
        with self._database:
            self._run("BEGIN")
            self._run("DELETE FROM facesets WHERE token = ?", faceset)
            self._let_expire(tokens, now)
        self._matrices.pop(faceset, None)

    def members(self, faceset: str) -> list[str]:
        """Return the tokens of a FaceSet's faces, in order of arrival."""
        query = "SELECT face FROM members WHERE faceset = ? ORDER BY rowid"
        return [row[0] for row in self._run(query, faceset)]

    def count(self, faceset: str) -> int:
        """Return how many faces a FaceSet holds."""
        query = "SELECT count(*) FROM members WHERE faceset = ?"
        return int(self._run(query, faceset)[0][0])

    def add_members(self, faceset: str, tokens: Sequence[str], now: float) -> dict[str, str]:
        """Add faces to a FaceSet; return why each of those that are not in it now is not."""
        refused = {}
        with self._database:
            self._run("BEGIN")
            for token in tokens:
                if self.face(token, now) is None:
                    refused[token] = "INVALID_FACE_TOKEN"
                elif not self._has(faceset, token) and self._is_full(faceset):
                    refused[token] = "QUOTA_EXCEEDED"
                else:
                    self._run("INSERT OR IGNORE INTO members VALUES (?, ?)", faceset, token)
                    self._run("UPDATE faces SET expires = NULL WHERE token = ?", token)
        self._matrices.pop(faceset, None)
        return refused

    def remove_members(self, faceset: str, tokens: Sequence[str], now: float) -> dict[str, str]:
        """Take faces out of a FaceSet; return why each of those that were not in it was not."""
        refused = {}
        with self._database:
            self._run("BEGIN")
            for token in tokens:
                if not self._has(faceset, token):
                    refused[token] = "INVALID_FACE_TOKEN"
                self._run("DELETE FROM members WHERE faceset = ? AND face = ?", faceset, token)
            self._let_expire(tokens, now)
        self._matrices.pop(faceset, None)
        return refused

    def embeddings(self, faceset: str) -> tuple[list[str], Embedding]:
        """Return the tokens and embeddings (N x D) of a FaceSet's faces."""
        if faceset not in self._matrices:
            rows = self._run(
                "SELECT face, embedding FROM members JOIN faces ON face = token "
                "WHERE faceset = ? ORDER BY members.rowid",
                faceset,
            )
            matrix = database.matrix(row[1] for row in rows)
            self._matrices[faceset] = ([row[0] for row in rows], matrix)
            while sum(len(tokens) for tokens, _ in self._matrices.values()) > _CACHED_FACES_MAX:
                self._matrices.popitem(last=False)
        return self._matrices[faceset]

    def add_task(self, operation: str, faceset: str, tokens: Sequence[str], ends: float) -> str:
        """Queue a task; return its id."""
        task, text = str(uuid.uuid4()), json.dumps(tokens)
        statement = "INSERT INTO tasks (id, operation, faceset, tokens, ends) VALUES (?,?,?,?,?)"
        self._run(statement, task, operation, faceset, text, ends)
        return task

    def task(self, task: str) -> Task | None:
        """Return a task."""
        rows = self._run("SELECT * FROM tasks WHERE id = ?", task)
        return _task(rows[0]) if rows else None

    def running_tasks(self) -> list[Task]:
        """Return the tasks without an answer, in the order in which they end."""
        query = "SELECT * FROM tasks WHERE answer IS NULL ORDER BY ends, rowid"
        return [_task(row) for row in self._run(query)]

    def finish_task(self, task: str, answer: Mapping[str, Any]) -> None:
        """Keep a task's answer."""
        self._run("UPDATE tasks SET answer = ? WHERE id = ?", json.dumps(answer), task)

    def _has(self, faceset: str, token: str) -> bool:
        query = "SELECT 1 FROM members WHERE faceset = ? AND face = ?"
        return bool(self._run(query, faceset, token))

    def _is_full(self, faceset: str) -> bool:
        if self.count(faceset) >= _FACES_PER_SET_MAX:
            return True
        in_all = int(self._run("SELECT count(*) FROM members")[0][0])
        return self._faces_max is not None and in_all >= self._faces_max

    def _let_expire(self, tokens: Sequence[str], now: float) -> None:
        """Start the time of those faces that are in no FaceSet any more."""
        self._run(
            "UPDATE faces SET expires = ? WHERE token IN (SELECT value FROM json_each(?)) "
            "AND expires IS NULL AND NOT EXISTS (SELECT 1 FROM members WHERE face = token)",
            *(now + FACE_TTL_S, json.dumps(tokens)),
        )

    def _run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, values).fetchall()


def _face(row: tuple[Any, ...]) -> Face:
    token, image_id, user_id, looks, stored = row
    return Face(token, image_id, user_id, json.loads(looks), database.embedding(stored))


def _task(row: tuple[Any, ...]) -> Task:
    task, operation, faceset, tokens, ends, answer = row
    finished = None if answer is None else json.loads(answer)
    return Task(task, operation, faceset, json.loads(tokens), ends, finished)
