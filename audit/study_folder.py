"""A study on disk: `studies/ID` beside the run folders, with its runs' experiments and its page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.errors import UserError
from audit.experiment import Experiment, read_toml, resolve, to_toml
from audit.folders import RunFolder, private_folder, write_whole
from audit.study import Study

_STUDIES = "studies"


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """The paths of a study: its own folder, and where its runs are."""

    path: Path
    runs: Path

    @property
    def id(self) -> str:
        """The study's id is its folder's name."""
        return self.path.name

    @property
    def told(self) -> Path:
        """The file that says which study this is and what its runs are."""
        return self.path / "study.toml"

    def run(self, name: str) -> RunFolder:
        """Return the run folder of a run of the study; a study of one experiment is its run."""
        return RunFolder(self.runs / (f"{self.id}.{name}" if name else self.id))

    def experiment(self, name: str) -> Experiment:
        """Return a run's experiment as it was resolved when the study began."""
        return resolve(None, read_toml(self._experiment(name)))

    def names(self) -> list[str]:
        """Return the names of the study's runs, in order."""
        return [str(run["name"]) for run in read_toml(self.told)["run"]]

    def _experiment(self, name: str) -> Path:
        return self.path / "experiments" / f"{name or self.id}.toml"

    def refuse_other(self, study: Study) -> None:
        """Raise UserError if a study with other settings is here."""
        if not self.told.exists():
            return
        kept = {name: self._experiment(name).read_text("utf-8") for name in self.names()}
        if kept != _experiments(study):
            raise UserError(
                f"the study {self.id} exists already, with other settings.",
                expected="the same settings, to go on with it",
                remedy=f"`audit resume {self.id}` goes on with it; another --out starts anew",
            )

    def write(self, study: Study) -> None:
        """Write what the study is, unless it is here."""
        if self.told.exists():
            return
        private_folder(self.path / "experiments")
        for name, text in _experiments(study).items():
            write_whole(self._experiment(name), text)
        write_whole(self.told, _toml(study))


def _experiments(study: Study) -> dict[str, str]:
    return {run.name: to_toml(run.experiment) for run in study.runs}


def _toml(study: Study) -> str:
    import tomli_w

    told: Mapping[str, Any] = {
        "study": study.name,
        "paper": study.paper,
        "small": study.small,
        "run": [{"name": run.name, "of": run.of, "about": run.about} for run in study.runs],
        "finding": study.findings,
        "absent": study.absent,
    }
    return tomli_w.dumps(json.loads(json.dumps(told)))


def folder_of(runs: Path, study_id: str) -> StudyFolder:
    """Return where a study of this id is, or will be."""
    return StudyFolder(runs / _STUDIES / study_id, runs)


def find(runs: Path, study: str) -> StudyFolder | None:
    """Return a study's folder by its id or path, None if there is none."""
    for path in (runs / _STUDIES / study, Path(study)):
        if (path / "study.toml").is_file():
            return StudyFolder(path, path.parent.parent)
    return None
