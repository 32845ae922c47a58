"""Whether a run kept to its lock, and whether what was claimed in it came true."""

import hashlib
import tomllib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from audit.errors import UserError
from audit.types import FREE_OF_LOCK, experiment_hash, roles_hash
from reports.run_folder import RunData
from reports.wording import plural

TRUE, FALSE, UNSAID = "yes", "no", "can't be said"
_COLUMNS = ("claim", "arm", "measure", "relation", "bound", "measured", "ci_low", "ci_high", "verdict")  # fmt: skip


class Claim(BaseModel):
    """What a run was to show: an arm's measure above or below a bound."""

    model_config = ConfigDict(frozen=True)

    text: str
    arm: str
    measure: Literal["protection", "change"]
    relation: Literal[">=", ">", "<=", "<"]
    bound: float


class Lock(BaseModel):
    """A lock.toml. `experiment` holds the keys that were locked."""

    model_config = ConfigDict(frozen=True)

    written_utc: datetime
    experiment_sha256: str
    photo_set_sha256: str
    roles_sha256: str
    claims: tuple[Claim, ...] = ()
    experiment: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Registration:
    """What the page says of a lock. `sha256` is that of the file."""

    sha256: str
    written_utc: str
    sentences: tuple[str, ...]


def read_lock(run: Path) -> Lock | None:
    """Read RUN/lock.toml, None if there is none; raises UserError if it is broken."""
    path = run / "lock.toml"
    if not path.exists():
        return None
    try:
        return Lock.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(
            f"{path} can't be used: {why}",
            expected="the lock as `audit plan --lock` wrote it",
            remedy="restore the file",
        ) from error


def claims(data: RunData, paired_changes: pd.DataFrame) -> pd.DataFrame:
    """Return one row per claim: what was measured, its 95 % interval, and whether it came true."""
    lock = read_lock(data.folder)
    measures = {
        "protection": (data.summary, "protection_success_rate"),
        "change": (paired_changes, "median_change"),
    }
    rows = [_judged(claim, *measures[claim.measure]) for claim in (lock.claims if lock else ())]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _judged(claim: Claim, table: pd.DataFrame, value: str) -> Mapping[str, Any]:
    found = table[table["arm"] == claim.arm].to_dict("records")
    row: Mapping[Hashable, Any] = found[0] if found else {}
    low, high = row.get("ci_low"), row.get("ci_high")
    return {
        **claim.model_dump(exclude={"text"}),
        "claim": claim.text,
        "measured": row.get(value),
        "ci_low": low,
        "ci_high": high,
        "verdict": UNSAID if pd.isna(low) or pd.isna(high) else verdict(claim, low, high),
    }


def verdict(claim: Claim, low: float, high: float) -> str:
    """Tell whether a claim holds in all of an interval, in none of it, or in a part."""
    holds = _RELATIONS[claim.relation]
    both = {holds(low, claim.bound), holds(high, claim.bound)}
    return UNSAID if len(both) == 2 else TRUE if both == {True} else FALSE


_RELATIONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": lambda value, bound: value >= bound,
    ">": lambda value, bound: value > bound,
    "<=": lambda value, bound: value <= bound,
    "<": lambda value, bound: value < bound,
}


def judged(data: RunData, verdicts: pd.DataFrame) -> Registration | None:
    """Say whether the run kept to its lock, None if it has none."""
    lock = read_lock(data.folder)
    if lock is None:
        return None
    counts = {word: int((verdicts["verdict"] == word).sum()) for word in (TRUE, FALSE, UNSAID)}
    outcome = (
        f"Of {plural(len(verdicts), 'claimed outcome')}, {counts[TRUE]} came true, {counts[FALSE]} did not, "
        f"and of {counts[UNSAID]} it can't be said."
    )
    return Registration(
        sha256=hashlib.sha256((data.folder / "lock.toml").read_bytes()).hexdigest(),
        written_utc=lock.written_utc.isoformat(timespec="seconds"),
        sentences=(_kept(lock, data), _in_time(lock, data), *([outcome] if lock.claims else [])),
    )


def _kept(lock: Lock, data: RunData) -> str:
    keys = tomllib.loads(data.experiment)
    photo_set = str(data.manifest_json.get("photo_set_sha256", ""))
    roles = roles_hash(data.photos.to_dict("records"))
    told = experiment_hash(lock.experiment, lock.photo_set_sha256, lock.roles_sha256)
    if told != lock.experiment_sha256:
        return "The lock was changed after it was written: its hash does not fit what it says."
    if experiment_hash(keys, photo_set, roles) == lock.experiment_sha256:
        return f"The run kept to the experiment that was locked ({lock.experiment_sha256[:12]})."
    parts = [("the photos", photo_set, lock.photo_set_sha256), ("their roles", roles, lock.roles_sha256)]  # fmt: skip
    differing = [name for name, ours, locked in parts if ours != locked]
    names = sorted((keys.keys() | lock.experiment.keys()) - FREE_OF_LOCK)
    differing += [name for name in names if keys.get(name) != lock.experiment.get(name)]
    return f"The run did not keep to its lock. What differs: {', '.join(differing)}."


def _in_time(lock: Lock, data: RunData) -> str:
    started = data.manifest.started_utc
    if started is None:
        return "When the run began is not known."
    if lock.written_utc < datetime.fromisoformat(started):
        return f"The lock is older than the run's first call: the run began {started}."
    return f"The lock is younger than the run, which began {started}: it registers nothing."
