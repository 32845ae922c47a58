"""Torn writes and killed threads: what the ledger acknowledged is there, and the file is sound."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from audit.calls import Call
from audit.ledger import Ledger

UTC = "2026-01-01T00:00:00.000+00:00"
CALLS = [
    Call("azure", "create_gallery", "Create", "control", "audit-1-0"),
    *(Call("azure", "enrol", "AddFace", "control", "audit-1-0", "ann", (n,)) for n in "abc"),
]
WAL_HEADER_BYTES = 32
FRAME_BYTES = 24 + 4096
"""A frame of the write-ahead log: its header and a page (https://sqlite.org/fileformat.html)."""

Contents = list[tuple[object, ...]]


def steps(ledger: Ledger) -> Iterator[None]:
    """Write in every way that a run does; what was asked before each yield is acknowledged."""
    changes: list[Callable[[], object]] = [
        lambda: ledger.add(CALLS),
        lambda: ledger.sent(1, UTC),
        lambda: ledger.done(1, UTC, 12.5, {}),
        lambda: ledger.set_gallery("audit-1-0", "created"),
        lambda: ledger.note_change("control", "a", b"smaller", "encoded as PNG"),
        lambda: ledger.sent(2, UTC),
        lambda: ledger.put_off(2, 12.5, "429", doubtful=False),
        lambda: ledger.sent(2, UTC),
        lambda: ledger.done(2, UTC, 12.5, {"face_id": "f" * 5000}),
        lambda: ledger.sent(3, UTC),
        lambda: ledger.failed(3, UTC, 12.5, ("no_face", "InvalidImage", "no face")),
        lambda: ledger.append(CALLS[3]),
        lambda: ledger.sent(5, UTC),
        lambda: ledger.put_off(5, 12.5, "timeout", doubtful=True),
        lambda: ledger.sent(4, UTC),
        ledger.doubt_unanswered,
    ]
    for change in changes:
        change()
        yield


def contents(file: Path) -> Contents:
    """Return every row of a sound file."""
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [
            (table, *row)
            for table in ("calls", "attempts", "galleries", "changed_uploads", "observations")
            for row in database.execute(f"SELECT * FROM {table} ORDER BY rowid")
        ]


def reopened(folder: Path, main: bytes, log: bytes) -> Contents:
    """Open a ledger that a power loss left so; return what it holds, still writable."""
    folder.mkdir()
    file = folder / "ledger.db"
    file.write_bytes(main)
    file.with_name("ledger.db-wal").write_bytes(log)
    with closing(Ledger(file)) as ledger:
        held = contents(file)
        ledger.append(CALLS[0])
    shutil.rmtree(folder)
    return held


class Written:
    """A ledger's two files after each step, and what it held then; the first is empty."""

    def __init__(self, folder: Path) -> None:
        file = folder / "ledger.db"
        log = file.with_name("ledger.db-wal")
        with closing(Ledger(file)) as ledger:
            self.main = file.read_bytes()
            self.lengths = [log.stat().st_size]
            self.contents = [contents(file)]
            for _ in steps(ledger):
                self.lengths.append(log.stat().st_size)
                self.contents.append(contents(file))
            assert file.read_bytes() == self.main, "the log was moved over; its lengths say nothing"
            self.log = log.read_bytes()
        self.checkpointed = file.read_bytes()

    def acknowledged_within(self, length: int) -> Contents:
        """Return what was held after the last step whose log is no longer than this."""
        done = sum(self.lengths[0] < known <= length for known in self.lengths)
        return self.contents[done]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("written"))


def test_each_step_is_in_the_log_when_it_is_acknowledged(written: Written) -> None:
    assert len(written.lengths) == 17
    assert all(before < after for before, after in pairwise(written.lengths))
    assert all((length - WAL_HEADER_BYTES) % FRAME_BYTES == 0 for length in written.lengths)


def test_a_log_torn_anywhere_leaves_every_step_before_the_tear(
    written: Written, tmp_path: Path
) -> None:
    frames = range(WAL_HEADER_BYTES, len(written.log) + 1, FRAME_BYTES)
    odd = [length + extra for length in frames for extra in (-1, 24)]
    for length in {0, 1, 31, *frames, *odd}:
        held = reopened(tmp_path / "torn", written.main, written.log[:length])

        assert held == written.acknowledged_within(length), length


def test_a_log_whose_last_writes_are_garbage_leaves_every_step_before_it(
    written: Written, tmp_path: Path
) -> None:
    for before, after in pairwise(written.lengths):
        for garbage in (bytes(after - before), b"\xa5" * (after - before)):
            torn = written.log[:before] + garbage + written.log[after:]

            held = reopened(tmp_path / "torn", written.main, torn)

            assert held == written.acknowledged_within(before), before


def test_a_log_half_moved_into_the_file_loses_nothing(written: Written, tmp_path: Path) -> None:
    for moved in range(0, len(written.checkpointed) + 1, 4096):
        for torn in (moved, moved + 700):
            main = written.checkpointed[:torn] + written.main[torn:]

            held = reopened(tmp_path / "torn", main, written.log)

            assert held == written.contents[-1], torn


_WRITERS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from audit.calls import Call
from audit.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.add(Call("azure", "enrol", "AddFace", "control", photos=(str(n),)) for n in range(8_000))
def carry_out(seq):
    ledger.sent(seq, sys.argv[2])
    os.write(1, b"sent %d\\n" % seq)
    ledger.done(seq, sys.argv[2], 1.0, {"face_id": str(seq)})
    os.write(1, b"done %d\\n" % seq)
with ThreadPoolExecutor(8) as threads:
    list(threads.map(carry_out, range(1, 8_001)))
"""


@pytest.mark.parametrize("answers", [1, 40, 600])
def test_kill_9_loses_nothing_that_any_thread_was_told_is_written(
    tmp_path: Path, answers: int
) -> None:
    file = tmp_path / "ledger.db"
    command = [sys.executable, "-c", _WRITERS, str(file), UTC]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        told = [process.stdout.readline() for _ in range(2 * answers)]
        process.kill()
        told += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL

    with closing(Ledger(file)) as ledger:
        ledger.doubt_unanswered()
        states = {row.seq: row.state.value for row in ledger.calls()}
        results = {row.seq: row.result for row in ledger.calls()}
    acknowledged = [line.split() for line in told]
    done = {int(seq) for word, seq in acknowledged if word == b"done"}
    sent = {int(seq) for word, seq in acknowledged if word == b"sent"}
    assert len(states) == 8_000
    assert [
        seq for seq in done if states[seq] != "done" or results[seq]["face_id"] != str(seq)
    ] == []
    assert {states[seq] for seq in sent} <= {"done", "unknown"}
    assert list(states.values()).count("unknown") <= 8
