"""Reading a run's ledger, never writing: calls, attempts, and whom the service offered."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from audit.errors import UserError

CALLS_MAX = 20_000
_ATTEMPTS = ["operation", "sent_s", "outcome"]
_SHOWN = ["arm", "probe_sha256", "place", "score"]
_SENT = """
SELECT operation, (julianday(attempts.sent_utc) - 2440587.5) * 86400 AS sent_s, outcome
FROM attempts JOIN calls ON call_seq = seq
"""
_ASKED = (
    "SELECT count(*) FROM calls WHERE verb IN ('identify', 'identify_photo') AND state = 'done'"
)
_CANDIDATES = """
SELECT arm, photo.key, candidate.key + 1, json_extract(candidate.value, '$.score')
FROM calls, json_each(result) AS photo, json_each(photo.value) AS candidate
WHERE verb IN ('identify', 'identify_photo') AND state = 'done' AND seq % ? = 0 ORDER BY seq
"""


def read_calls(run: Path) -> pd.DataFrame:
    """Read the ledger's calls, whatever their columns.

    Raises UserError if the ledger is missing or can't be read.
    """
    path = run / "ledger.db"
    if not path.is_file():
        raise _unreadable(path, "the file is missing")
    with _opened(path) as ledger:
        cursor = ledger.execute("SELECT * FROM calls ORDER BY seq")
        names = [column[0] for column in cursor.description]
        return pd.DataFrame(cursor.fetchall(), columns=names)


def read_attempts(run: Path) -> pd.DataFrame:
    """Read every request that was sent: its operation, when (Unix seconds), and what came of it.

    `outcome` is `done`, the service's code, or missing where no answer came. No rows if the folder
    has no ledger. Raises UserError if the ledger can't be read.
    """
    path = run / "ledger.db"
    if not path.is_file():
        return pd.DataFrame(columns=_ATTEMPTS)
    with _opened(path) as ledger:
        frame = pd.DataFrame(ledger.execute(_SENT), columns=_ATTEMPTS)
    return frame.sort_values("sent_s", kind="stable", ignore_index=True)


def read_shown(run: Path) -> pd.DataFrame:
    """Read whom the service offered: a row per probe, arm and candidate, its place and score.

    `place` is 1 for the first. Of more than CALLS_MAX questions, about so many spread evenly over
    the run. No rows if the folder has no ledger. Raises UserError if the ledger can't be read.
    """
    path = run / "ledger.db"
    if not path.is_file():
        return pd.DataFrame(columns=_SHOWN)
    with _opened(path) as ledger:
        count = ledger.execute(_ASKED).fetchone()[0]
        every = max(1, -(-count // CALLS_MAX))
        return pd.DataFrame(ledger.execute(_CANDIDATES, [every]), columns=_SHOWN)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    # Whoever writes has a log beside the file. Without one nothing changes, and to tell so spares
    # a lock file, which a full or read-only disk has no room for.
    is_written = path.with_name(f"{path.name}-wal").exists()
    uri = f"{path.resolve().as_uri()}?{'mode=ro' if is_written else 'immutable=1'}"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as ledger:
            yield ledger
    except sqlite3.Error as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} can't be read: {why}",
        expected="the ledger as the run wrote it, with its table `calls`",
        remedy="restore the file",
    )
