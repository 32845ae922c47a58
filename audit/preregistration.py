"""What a run is held to: its experiment and what it will show, locked before the first call.

A lock is a TOML file. `experiment_sha256` is the hash of the experiment's keys, of who is in which
photo, and of what each photo is for; the file's own SHA-256 is what to publish in advance.
"""

import re
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from audit.clock import utc
from audit.errors import UserError
from audit.experiment import Experiment, read_toml, to_toml
from audit.folders import RunFolder, require_place, sha256_of, write_whole
from audit.preparation import Prepared
from audit.types import FREE_OF_LOCK, Arm, experiment_hash, roles_hash

_SCHEMA = 1
_CLAIM = re.compile(
    r"(?P<arm>\S+)\s*:\s*(?P<measure>[a-z]+)\s*(?P<relation>>=|<=|>|<)\s*(?P<bound>[-+]?\d*\.?\d+)"
)
_RANGES = {"protection": (0.0, 1.0), "change": (-1.0, 1.0)}
_EXPECTED = (
    "ARM: MEASURE RELATION NUMBER, e.g. 'high: protection >= 0.5' or 'fawkes-0.3-low: change < "
    "-0.1'. ARM is an arm or a level; MEASURE is protection (the success rate, 0 to 1) or change "
    "(the median change of score from the control, -1 to 1); RELATION is >=, >, <= or <"
)


def lock(
    experiment: Experiment, prepared: Prepared, file: Path, claims: Sequence[str]
) -> dict[str, str]:
    """Write a lock and return what to show of it.

    Raises UserError for a claim that can't be read, or if the file is there already.
    """
    require_new(file)
    told = [claim(text, experiment.arms()) for text in claims]
    content = {
        "schema": _SCHEMA,
        "written_utc": utc(time.time()),
        **_hashes(experiment, prepared),
        "claims": told,
        "experiment": _locked_keys(experiment),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, tomli_w.dumps(content))
    return {"lock": str(file), "sha256": sha256_of(file)}


def require_new(file: Path) -> None:
    """Raise UserError if a lock can't be written here: it is there already, or nothing can be."""
    if file.exists():
        raise UserError(
            f"{file} exists already, and a lock is written once.",
            remedy="choose another name, or delete the file if nothing was run under it",
        )
    require_place(file.parent)


def claim(text: str, arms: Sequence[Arm]) -> dict[str, str | float]:
    """Read a claim; raises UserError, telling the grammar, where it can't be understood."""
    found = _CLAIM.fullmatch(text.strip())
    if found is None or found["measure"] not in _RANGES:
        raise UserError(f"the claim {text!r} can't be read.", expected=_EXPECTED)
    low, high = _RANGES[found["measure"]]
    bound = float(found["bound"])
    if not low <= bound <= high:
        raise UserError(
            f"the claim {text!r} can't be read: {found['bound']} is no {found['measure']}.",
            expected=f"a number from {low:g} to {high:g}, so 0.5 for 50 %",
        )
    arm = _arm(found["arm"], text, arms)
    if arm.is_control and found["measure"] == "change":
        raise UserError(f"the claim {text!r} is of the control's change from itself.")
    return {"text": text.strip(), "arm": arm.name, "measure": found["measure"],
            "relation": found["relation"], "bound": bound}  # fmt: skip


def _arm(name: str, text: str, arms: Sequence[Arm]) -> Arm:
    """Return the arm that a claim is about, by its name or else by its level."""
    named = [arm for arm in arms if arm.name == name] or [arm for arm in arms if arm.level == name]
    if len(named) != 1:
        how = f"{len(named)} arms have" if named else "no arm has"
        raise UserError(
            f"the claim {text!r} can't be read: {how} the name or level {name!r}.",
            expected=f"one of {', '.join(arm.name for arm in arms)}",
        )
    return named[0]


def read(file: Path) -> dict[str, Any]:
    """Read a lock; raises UserError for a file that is none."""
    content = read_toml(file)
    if content.get("schema") != _SCHEMA or "experiment_sha256" not in content:
        raise UserError(
            f"{file} is no lock that this version can read.",
            expected="a file that `audit plan --lock` wrote",
        )
    return content


def keep(file: Path, folder: RunFolder) -> None:
    """Put a lock, byte for byte, into the run's folder."""
    write_whole(folder.lock, file.read_bytes().decode("utf-8"))


def is_kept(content: dict[str, Any], experiment: Experiment, prepared: Prepared) -> bool:
    """Tell whether this is the experiment that was locked."""
    now = _hashes(experiment, prepared)["experiment_sha256"]
    return bool(content["experiment_sha256"] == now)


def _hashes(experiment: Experiment, prepared: Prepared) -> dict[str, str]:
    from datasets import split

    photo_set = prepared.photo_set
    roles = roles_hash(split.rows(photo_set, prepared.split, photo_set.root))
    return {
        "experiment_sha256": experiment_hash(_locked_keys(experiment), photo_set.sha256, roles),
        "photo_set_sha256": photo_set.sha256,
        "roles_sha256": roles,
    }


def _locked_keys(experiment: Experiment) -> dict[str, Any]:
    keys = tomllib.loads(to_toml(experiment))
    return {key: value for key, value in keys.items() if key not in FREE_OF_LOCK}
