"""The users of Rekognition's collections, which faces are theirs, and the requests once done."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from providers.emulators.database import Embedding
from providers.emulators.rekognition_store import RekognitionStore

_REMEMBERED_S = 86400.0
"""How long a ClientRequestToken is remembered; Amazon does not say."""

_USER = (
    "SELECT number, id, settles, (SELECT count(*) FROM faces WHERE user = users.number) FROM users"
)


class User(NamedTuple):
    """A user of a collection. `settles` (Unix seconds) is when the latest change takes effect."""

    number: int
    id: str
    settles: float
    face_count: int


class DoneRequest(NamedTuple):
    """A request with a ClientRequestToken: its parameters' digest and the answer that it had."""

    operation: str
    token: str
    digest: str
    answer: dict[str, Any]


class UserStore:
    """Users by collection number, in the same file as the collections."""

    def __init__(self, store: RekognitionStore) -> None:
        self._store = store

    def add(self, collection: int, user: str) -> None:
        """Create a user without faces."""
        insert = "INSERT INTO users (collection, id) VALUES (?, ?)"
        self._store.write([(insert, (collection, user))])

    def user(self, collection: int, user: str) -> User | None:
        """Return a user of a collection."""
        query = f"{_USER} WHERE collection = ? AND id = ?"
        rows = self._store.read(query, collection, user)
        return User(*rows[0]) if rows else None

    def users(self, collection: int, after: int = 0, top: int = -1) -> list[User]:
        """Return the users of a collection numbered above `after`; `top` -1 = all."""
        query = f"{_USER} WHERE collection = ? AND number > ? ORDER BY number LIMIT ?"
        return [User(*row) for row in self._store.read(query, collection, after, top)]

    def count(self, collection: int) -> int:
        """Return how many users a collection has."""
        query = "SELECT count(*) FROM users WHERE collection = ?"
        return int(self._store.read(query, collection)[0][0])

    def delete(self, collection: int, user: User) -> None:
        """Delete a user; the faces stay, as nobody's."""
        self._store.write([("DELETE FROM users WHERE number = ?", (user.number,))])
        self._store.vectors(collection).owned = None

    def give(self, collection: int, faces: Sequence[int], user: User, settles: float) -> None:
        """Associate faces (their numbers) to a user."""
        self._change(collection, faces, user.number, user, settles)

    def take(self, collection: int, faces: Sequence[int], user: User, settles: float) -> None:
        """Make faces (their numbers) of a user nobody's."""
        self._change(collection, faces, None, user, settles)

    def owned_faces(self, collection: int) -> tuple[list[str], Embedding]:
        """Return the user and the embedding (N x D) of every associated face."""
        vectors = self._store.vectors(collection)
        if vectors.owned is None:
            query = (
                "SELECT users.id, faces.id FROM faces JOIN users ON user = users.number "
                "WHERE faces.collection = ? ORDER BY users.number, faces.number"
            )
            rows = self._store.read(query, collection)
            vectors.owned = [row[0] for row in rows], vectors.of([row[1] for row in rows])
        return vectors.owned

    def remembered(self, operation: str, token: str) -> DoneRequest | None:
        """Return the request that was done under a token."""
        query = "SELECT digest, answer FROM tokens WHERE operation = ? AND token = ?"
        for digest, answer in self._store.read(query, operation, token):
            return DoneRequest(operation, token, digest, json.loads(answer))
        return None

    def remember(self, collection: int, done: DoneRequest, now: float) -> None:
        """Keep what was done to a collection under a token, for a day or until it is deleted."""
        insert = "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)"
        answer = json.dumps(done.answer)
        row = (done.operation, done.token, collection, done.digest, answer, now)
        expire = ("DELETE FROM tokens WHERE created < ?", (now - _REMEMBERED_S,))
        self._store.write([expire, (insert, row)])

    def _change(
        self, collection: int, faces: Sequence[int], owner: int | None, user: User, settles: float
    ) -> None:
        update = "UPDATE faces SET user = ? WHERE number = ?"
        changes: list[tuple[str, Sequence[Any]]] = [(update, (owner, face)) for face in faces]
        changes.append(("UPDATE users SET settles = ? WHERE number = ?", (settles, user.number)))
        self._store.write(changes)
        self._store.vectors(collection).owned = None
