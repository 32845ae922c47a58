"""What a run does now, read from its folder; works beside the process that runs it."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from audit import manifest
from audit.errors import UserError
from audit.folders import RunFolder, existing_folder, find_run, list_runs
from audit.progress import duration

Ask = Callable[[str, str], Sequence[tuple[Any, ...]]]
"""Takes a table and a query of it; a table that the ledger does not have yet has no rows."""

_SLOW_S = 60.0
"""A call on its way for longer is shown: whether it hangs, only the service knows."""

_PULSE_MAX_AGE_S = 10.0
"""The runner writes its pulse every second; an older one is an earlier session's."""


def chosen(runs: Path, run: str | None) -> RunFolder:
    """Return the named run, or the latest one; raises UserError when there is none."""
    if run:
        return find_run(runs, run)
    folders = list_runs(existing_folder(runs))
    if not folders:
        raise UserError(
            f"there is no run in {runs}.", remedy="`audit run --provider mock` makes one"
        )
    return max(folders, key=lambda folder: folder.experiment.stat().st_mtime)


def of(folder: RunFolder) -> Mapping[str, Any]:
    """Return one row: state, calls, what is on its way or waited for, what is left at a service.

    `state` is running, waiting (for the rate limit, with nothing on its way), died, interrupted,
    stopped, refused, failed or done. `left_at_service` counts galleries, "" where no real service
    was asked or the run goes on. What does not apply is "".
    """
    notes = manifest.read(folder)
    state = notes.get("exit_state", "running")
    alive = state == "running" and folder.is_locked
    if state == "running" and not alive:
        state = "died"  # killed before it could say so; `audit resume` continues it
    with _reading(folder.ledger) as ask:
        calls, now = _calls(ask), _now(ask, time.time()) if alive else _NOTHING
        left = "" if alive or not notes.get("consent", {}).get("needed") else _galleries_left(ask)
    return {
        "run": folder.id,
        "provider": notes.get("service", {}).get("provider", ""),
        "state": "waiting" if now["waiting_until"] else state,
        **calls,
        **now,
        "left_at_service": left,
        "started_utc": notes.get("started_utc", ""),
        "ended_utc": notes.get("ended_utc", "") if state not in ("running", "died") else "",
        "message": notes.get("exit_message", "").split("\n")[0],
    }


@contextmanager
def _reading(ledger: Path) -> Iterator[Ask]:
    """Yield how to ask a ledger of any version; reading never blocks the one who writes."""
    if not ledger.exists():
        yield lambda _table, _query: []
        return
    with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        yield lambda table, query: database.execute(query).fetchall() if table in tables else []


def _calls(ask: Ask) -> dict[str, Any]:
    """Count calls by state, and tell the last one sent."""
    states: dict[str, int] = dict(ask("calls", "SELECT state, count(*) FROM calls GROUP BY state"))
    last = ask(
        "calls",
        "SELECT verb, arm, sent_utc, state FROM calls WHERE sent_utc IS NOT NULL"
        " ORDER BY sent_utc DESC LIMIT 1",
    )
    return {
        "calls_done": sum(states.get(state, 0) for state in ("done", "failed", "skipped")),
        "calls_planned": sum(states.values()),
        "last_call": " ".join(part for part in last[0] if part) if last else "",
    }


_NOTHING: Mapping[str, Any] = {
    "in_flight": 0,
    "oldest_in_flight_s": "",
    "slow_call": "",
    "waiting_until": "",
    "eta": "",
}


def _now(ask: Ask, now: float) -> Mapping[str, Any]:
    """Tell what a living run does: calls on their way, or what it waits for, and how long still."""
    found = {**_NOTHING, **_on_their_way(ask, now)}
    for utc, waiting_until, left_s in ask("pulse", "SELECT utc, waiting_until, eta_s FROM pulse"):
        if now - _seconds(utc) > _PULSE_MAX_AGE_S:
            continue
        found |= {"eta": "" if left_s is None else duration(left_s)}
        if waiting_until and not found["in_flight"] and _seconds(waiting_until) > now:
            found |= {"waiting_until": waiting_until}
    return found


def _on_their_way(ask: Ask, now: float) -> dict[str, Any]:
    sent = ask(
        "calls", "SELECT operation, sent_utc FROM calls WHERE state = 'sent' ORDER BY sent_utc"
    )
    if not sent:
        return {}
    operation, sent_utc = sent[0]
    age_s = max(now - _seconds(sent_utc), 0.0)
    return {
        "in_flight": len(sent),
        "oldest_in_flight_s": round(age_s, 1),
        "slow_call": f"{operation} for {duration(age_s)}" if age_s > _SLOW_S else "",
    }


def _galleries_left(ask: Ask) -> int:
    """Count the galleries that may exist: also one whose creation was sent and not answered."""
    return len(
        ask(
            "galleries",
            "SELECT name FROM galleries WHERE state = 'created' OR state = 'planned' AND name IN"
            " (SELECT gallery FROM calls WHERE verb = 'create_gallery' AND attempts > 0)",
        )
    )


def _seconds(utc: str) -> float:
    """Return an ISO 8601 instant as seconds since the epoch."""
    return datetime.fromisoformat(utc).timestamp()
