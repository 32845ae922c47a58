"""What a run does now, read from its folder; works beside the process that runs it."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from audit import manifest
from audit.errors import UserError
from audit.folders import RunFolder, find_run, list_runs


def chosen(runs: Path, run: str | None) -> RunFolder:
    """Return the named run, or the latest one; raises UserError when there is none."""
    if run:
        return find_run(runs, run)
    folders = list_runs(runs)
    if not folders:
        raise UserError(
            f"there is no run in {runs}.", remedy="`audit run --provider mock` makes one"
        )
    return max(folders, key=lambda folder: folder.experiment.stat().st_mtime)


def of(folder: RunFolder) -> Mapping[str, Any]:
    """Return one row: state, calls done and planned, and when it started and ended."""
    notes = manifest.read(folder)
    state = notes.get("exit_state", "")
    if state == "running" and not folder.is_locked:
        state = "died"  # killed before it could say so; `audit resume` continues it
    return {
        "run": folder.id,
        "provider": notes.get("service", {}).get("provider", ""),
        "state": state,
        **_calls(folder.ledger),
        "started_utc": notes.get("started_utc", ""),
        "ended_utc": notes.get("ended_utc", "") if state != "running" else "",
        "message": notes.get("exit_message", "").split("\n")[0],
    }


def _calls(ledger: Path) -> dict[str, Any]:
    """Count calls by state, and tell the last one sent; reading never blocks the writer."""
    if not ledger.exists():
        return {"calls_done": 0, "calls_planned": 0, "last_call": ""}
    with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)) as database:
        states = dict(
            database.execute("SELECT state, count(*) FROM calls GROUP BY state").fetchall()
        )
        last = database.execute(
            "SELECT verb, arm, sent_utc, state FROM calls WHERE sent_utc IS NOT NULL"
            " ORDER BY sent_utc DESC LIMIT 1"
        ).fetchone()
    done = sum(states.get(state, 0) for state in ("done", "failed", "skipped"))
    return {
        "calls_done": done,
        "calls_planned": sum(states.values()),
        "last_call": " ".join(part for part in last if part) if last else "",
    }
