"""A run beside what a study printed: its numbers, and what differs between the two set-ups."""

import tomllib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pandas as pd

from audit.errors import UserError
from reports.compared_run import ComparedRun
from reports.curves import by_rank
from reports.tables import faces_found, summarise

_FOLDER = resources.files("reports") / "published"
_MEASURED = ("mean_score", "min_score", "protection_success_rate", "identified", "top3_share")
_TOP = 3
_TEXTS = dict.fromkeys(("level", "targets", "bound", "run", "arm", "variant", "note"), str)
_ASPECTS = {
    "service": "Who answered",
    "photos": "Whose photos",
    "train": "Photos of the person enrolled",
    "probe": "Probes",
    "decoy_people": "Other people in the gallery",
    "game": "Game",
    "cloak": "Cloak",
    "threshold": "Threshold asked with",
}
_GAMES = {"poison": "cloaked enrolled, clean asked", "evade": "clean enrolled, cloaked asked"}


@dataclass(frozen=True, eq=False)
class Study:
    """A published study: its set-up as far as it tells, and one row per number that it printed.

    `facts` has the columns that reports/published/README.md documents.
    """

    name: str
    title: str
    authors: str
    year: int
    setup: Mapping[str, Any]
    facts: pd.DataFrame


def read_study(name: str) -> Study:
    """Return a study that comes with the program; raises UserError for an unknown one."""
    told = tomllib.loads((_FOLDER / "studies.toml").read_text(encoding="utf-8"))
    if name not in told:
        raise UserError(f"there is no published study {name!r} here.", expected=", ".join(told))
    with resources.as_file(_FOLDER / f"{name}.csv") as file:
        facts = pd.read_csv(file, dtype=_TEXTS, keep_default_na=False)
    return Study(name=name, facts=facts, **told[name])


def beside(study: Study, run: ComparedRun) -> pd.DataFrame:
    """Return one row per printed number about an arm that the run has too, or about its service.

    `published` and `measured` are shares 0..1, or counts with what they are `of`; `difference` is
    measured less published, of shares only. A number of an arm that the run lacks has no `measured`.
    """
    rows = list(_rows(_of_service(study.facts, run), measured(run), run))
    return pd.DataFrame(rows)


def measured(run: ComparedRun) -> list[dict[Hashable, Any]]:
    """Return each arm's row of summary.csv, with its probes with a face and its top-3 share."""
    summary = summarise(run.observations, run.manifest.arms)
    ranks = by_rank(run.observations, run.manifest)
    top = ranks[ranks["rank"] == _TOP].set_index("arm")["least"]
    table = summary.assign(faces=faces_found(summary), top3_share=summary["arm"].map(top))
    return table.to_dict("records")


def _of_service(facts: pd.DataFrame, run: ComparedRun) -> pd.DataFrame:
    """Return what is printed about the run's service, or all where it isn't in the study."""
    own = facts[facts["service"] == run.manifest.service.provider]
    return facts if own.empty else own


def _rows(
    facts: pd.DataFrame, arms: list[dict[Hashable, Any]], run: ComparedRun
) -> Iterator[dict[str, Any]]:
    for fact in facts.to_dict("records"):
        matching = [row for row in arms if is_same_arm(fact, row, run)]
        for row in matching or [{}]:
            yield beside_row(fact, row)


def is_same_arm(
    fact: Mapping[Hashable, Any], row: Mapping[Hashable, Any], run: ComparedRun
) -> bool:
    """Tell whether a printed row and an arm are alike in all that the study tells.

    A fact that names an arm, as that is called here, is of this arm alone.
    """
    if fact["arm"]:
        return bool(fact["arm"] == row["arm"])
    arm = run.arms[str(row["arm"])]
    alike = arm.is_control or float(fact["cloaked_fraction"]) == (arm.cloaked_fraction or 1.0)
    return (
        alike
        and not arm.transforms
        and not (arm.sybils or arm.settings)
        and arm.system == fact["system"]
        and arm.game == fact["game"]
        and fact["level"] in {"", arm.level}
        and (arm.is_control or fact["targets"] in {"", arm.targets})
    )


def beside_row(fact: Mapping[Hashable, Any], row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """Return a printed number beside an arm's row of `measured`, which may be empty."""
    is_share = fact["unit"] == "%"
    published = float(fact["value"]) / 100 if is_share else float(fact["value"])
    value = _measured(str(fact["quantity"]), row)
    return {
        "table": fact["table"],
        "service": fact["service"],
        "printed": _title(fact),
        "quantity": fact["quantity"],
        "bound": fact["bound"],
        "published": published,
        "published_of": None if is_share else int(str(fact["unit"]).removeprefix("of ")),
        "arm": row.get("arm", ""),
        "measured": value,
        "measured_of": row.get("faces") if not is_share else None,
        "difference": value - published if is_share and value is not None else None,
        "note": fact["note"],
    }


def _measured(quantity: str, row: Mapping[Hashable, Any]) -> float | None:
    if not row:
        return None
    if quantity == "identified_share":
        return 1 - row["protection_success_rate"] if row["faces"] else None
    if quantity not in _MEASURED:
        raise AssertionError(f"no run measures {quantity}")
    return float(row[quantity])


def _title(fact: Mapping[Hashable, Any]) -> str:
    """Name a printed row in plain words."""
    if fact["system"] == "none":
        return f"no cloak{_bracketed(str(fact['variant']))}"
    targets = {"same": ", same target", "separate": ", separate targets"}
    half = float(fact["cloaked_fraction"])
    share = f", {100 * half:.0f} % cloaked" if half < 1 else ""
    name = " ".join(part for part in (fact["system"], fact["level"]) if part)
    return f"{name}{targets.get(str(fact['targets']), '')}{share}{_bracketed(str(fact['variant']))}"


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""


def setups(study: Study, runs: Sequence[ComparedRun]) -> pd.DataFrame:
    """Return one row per aspect of the set-up: what the study tells, what the runs had."""
    own = [_setup(run) for run in runs]
    rows = [
        {
            "aspect": title,
            "study": _told(key, study.setup.get(key)),
            "run": "; ".join(dict.fromkeys(_told(key, each[key]) for each in own)),
        }
        for key, title in _ASPECTS.items()
    ]
    table = pd.DataFrame(rows)
    return table.assign(differs=table["study"] != table["run"])


def _told(key: str, value: object) -> str:
    if value is None:
        return "not told"
    return _GAMES.get(str(value), str(value)) if key == "game" else str(value)


def _setup(run: ComparedRun) -> dict[str, object]:
    manifest = run.manifest
    generated = manifest.photo_set_generated
    networks = ", ".join(manifest.cloak_networks)
    named = dict.fromkeys(arm.system for arm in manifest.cloaked_arms if not arm.is_control)
    systems = " and ".join(named) or "none"
    return {
        "service": f"{run.service}, {run.model}, {run.date}",
        "photos": "generated people" if generated else "your own photo set",
        "train": manifest.counts.train,
        "probe": manifest.counts.probe,
        "decoy_people": manifest.counts.decoy_people,
        "game": manifest.control.game,
        "cloak": f"{systems}{f' on {networks}' if networks else ''}",
        "threshold": ", ".join(f"{each:g}" for each in sorted(run.thresholds)) or None,
    }
