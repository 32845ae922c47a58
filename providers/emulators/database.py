"""The SQLite file in which emulators and the local provider keep faces, durable at once."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from audit.errors import UserError

Embedding = NDArray[np.float32]


def opened(folder: Path | None, service: str, network: str, schema: str) -> sqlite3.Connection:
    """Return an open database in a folder, or in memory; made in one thread, used by one other.

    Each service and network has a file of its own: embeddings of two networks never meet. What
    is deleted is overwritten. Raises UserError if the folder cannot be used.
    """
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = (
            ":memory:"
            if folder is None
            else str(folder / f"{service}-{quote(network, safe='')}.db")
        )
        database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA secure_delete = ON")
        database.executescript(schema)
    except (OSError, sqlite3.Error) as error:
        raise UserError(
            f"The folder {folder} for {service}'s state cannot be used: {error}.",
            expected="a folder that can be written, empty or filled by this version",
            remedy="choose another folder (of `audit emulate`: --state)",
        ) from error
    return database


def blob(values: Sequence[float]) -> bytes:
    """Return an embedding as it is stored: float32."""
    return np.asarray(values, np.float32).tobytes()


def embedding(stored: bytes) -> Embedding:
    """Return a stored embedding, D values."""
    return np.frombuffer(stored, np.float32)


def matrix(stored: Iterable[bytes]) -> Embedding:
    """Return stored embeddings as N x D; 0 x 0 without any."""
    rows = [embedding(one) for one in stored]
    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)
