"""Built-in studies: what a paper tried, as one TOML file of one experiment or of several.

The file's keys are those of an experiment. Each table `[[run]]` is an experiment of its own that
sets some of them anew; its `trains` are networks that are trained for it. `small` tables hold what
makes a study fit the bundled people; `[[finding]]` is what the paper found, as a comparison of arms,
and `[[absent]]` what can't be run, and why.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.errors import UserError
from audit.experiment import Experiment, read_toml, resolve, to_toml
from audit.study_training import Trained, Training
from audit.types import content_hash

_FOLDER = Path(__file__).parent / "studies"
_ABOUT_STUDY = frozenset({"paper", "run", "small", "finding", "absent"})
_ABOUT_RUN = frozenset({"name", "about", "tracker", "trains", "small"})
_HASH_DIGITS = 8


@dataclass(frozen=True, slots=True)
class StudyRun:
    """One experiment of a study. `name` is its own; runs that differ in their tracker share `of`.

    `trains` says which of the experiment's networks are trained before it begins.
    """

    name: str
    of: str
    about: str
    experiment: Experiment
    trains: Mapping[Trained, Training] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Study:
    """A study, ready to be run. `findings` and `absent` are as in its file.

    `paper` names the published numbers that it stands beside.
    """

    name: str
    paper: str
    small: bool
    runs: tuple[StudyRun, ...]
    findings: Sequence[Mapping[str, Any]]
    absent: Sequence[Mapping[str, Any]]

    @property
    def is_one_experiment(self) -> bool:
        """Tell whether it is an ordinary run."""
        return not self.runs[0].of

    @property
    def learners(self) -> int:
        """Return of how many people, at most, a network of the study learns."""
        return max((each.people for run in self.runs for each in run.trains.values()), default=0)

    @property
    def default_id(self) -> str:
        """Return a name that the same study with the same settings has again: so it goes on."""
        told = [[run.name, to_toml(run.experiment)] for run in self.runs]
        small = "-small" if self.small else ""
        return f"{self.name}{small}-{content_hash(told)[:_HASH_DIGITS]}"


def names() -> list[str]:
    """Return the studies that there are."""
    return sorted(file.stem for file in _FOLDER.glob("*.toml"))


def read(
    name: str, given: Mapping[str, Any], file: Path | None = None, *, small: bool = False
) -> Study:
    """Return a built-in study; its runs' own keys win over flags, those over `file`, that over it.

    Only `set` adds up: the study's settings, the run's, then those given. Raises UserError for a
    study that there isn't, or an experiment that can't be run.
    """
    if name not in names():
        raise UserError(f"there is no study {name!r}.", expected=f"one of {', '.join(names())}")
    told = read_toml(_FOLDER / f"{name}.toml")
    common = {key: value for key, value in told.items() if key not in _ABOUT_STUDY}
    common |= told.get("small", {}) if small else {}
    settings = common.pop("set", [])
    common |= (read_toml(file) if file else {}) | dict(given)
    more = _several(common.pop("set", ()))
    runs = [
        run
        for table in told.get("run", [{"name": ""}])
        for run in _runs(table, common, (settings, more), small)
    ]
    findings, absent = told.get("finding", []), told.get("absent", [])
    return Study(name, told.get("paper", name), small, tuple(runs), findings, absent)


def _runs(
    table: Mapping[str, Any],
    common: Mapping[str, Any],
    settings: tuple[Sequence[str], Sequence[str]],
    small: bool,  # noqa: FBT001 - private
) -> Iterator[StudyRun]:
    """Yield a run for each recogniser and way of matching."""
    own = {key: value for key, value in table.items() if key not in _ABOUT_RUN}
    if small and "arm" in table.get("small", {}):
        own = {key: value for key, value in own.items() if key not in ("system", "level")}
    own |= table.get("small", {}) if small else {}
    trains = {**table.get("trains", {}), **own.pop("trains", {})}
    before, given = settings
    values = {**common, **own, "set": [*before, *own.get("set", ()), *given]}
    recognisers = _several(values.pop("recogniser", None))
    if table.get("tracker") == "same":
        recognisers = _several(values.get("network", Experiment.model_fields["network"].default))[
            :1
        ]
    matchings = _several(values.pop("matching", None))
    for recogniser, matching in itertools.product(recognisers, matchings):
        suffixes = [recogniser] * (len(recognisers) > 1) + [matching] * (len(matchings) > 1)
        tracker = {"recogniser": recogniser, "matching": matching}
        experiment = resolve(None, values | {k: v for k, v in tracker.items() if v is not None})
        name = "-".join([table["name"], *suffixes])
        training = {key: Training.model_validate(told) for key, told in trains.items()}
        yield StudyRun(name, table["name"], table.get("about", ""), experiment, training)


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
