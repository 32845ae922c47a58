"""One run as a comparison sees it: who was asked, when, with which photos and cloaked bytes."""

import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from reports.manifest import Manifest, ManifestArm
from reports.run_folder import (
    read_cloaks,
    read_experiment,
    read_manifest,
    read_observations_of,
    read_photos,
)
from reports.services import answerer

_USED = ("train", "probe", "decoy")
_LOCAL = "local"


class Use(NamedTuple):
    """What a photo was used for, and where it lay."""

    role: str
    path: str


Cloaked = Mapping[tuple[str, str], Mapping[str, frozenset[str]]]
"""By system and level, then by the source photo's hash: the hashes of its cloaked bytes."""


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """A run of a comparison. `photos` are those enrolled or asked about, by person and hash.

    `settings` are the experiment's; `observations` have one row per probe and arm.
    """

    folder: Path
    manifest: Manifest
    settings: Mapping[str, Any]
    observations: pd.DataFrame
    photos: Mapping[tuple[str, str], Use]
    cloaked: Cloaked

    @property
    def id(self) -> str:
        """Return the run's id: its folder's name, as every command takes it."""
        return self.folder.name

    @property
    def started_utc(self) -> str:
        """Return when it began; "" if the manifest doesn't say."""
        return self.manifest.started_utc or ""

    @property
    def date(self) -> str:
        """Return the day it began on (UTC), or its id where the manifest doesn't say."""
        return self.started_utc[:10] or self.id

    @cached_property
    def days(self) -> float:
        """Return when it began in days since 1970, NaN if the manifest doesn't say."""
        try:
            return datetime.fromisoformat(self.started_utc).timestamp() / 86400
        except ValueError:
            return float("nan")

    @property
    def service(self) -> str:
        """Name who answered, the same for runs of one service whatever its model is."""
        service = self.manifest.service
        if service.provider == _LOCAL:
            return f"a recogniser on this machine ({service.matching or 'nearest'})"
        return answerer(service)

    @property
    def model(self) -> str:
        """Name the service's model as far as it tells: its version, our emulator's network."""
        service = self.manifest.service
        behind = service.recogniser if service.emulated else ""
        return ", ".join(part for part in (service.service_model, behind) if part) or "not told"

    @cached_property
    def thresholds(self) -> frozenset[float]:
        """Return the thresholds that the probes were asked with."""
        return frozenset(self.observations["threshold"].dropna().unique())

    @property
    def arms(self) -> Mapping[str, ManifestArm]:
        """Return the arms by name, the control first."""
        return {arm.name: arm for arm in (self.manifest.control, *self.manifest.cloaked_arms)}


def read_compared_runs(folders: Sequence[Path]) -> list[ComparedRun]:
    """Read what a comparison needs of run folders.

    Raises UserError naming a file that is missing or broken.
    """
    observations = read_observations_of(folders)
    return [_read(*parts) for parts in zip(folders, observations, strict=True)]


def _read(run: Path, observations: pd.DataFrame) -> ComparedRun:
    manifest, _ = read_manifest(run)
    return ComparedRun(
        folder=run,
        manifest=manifest,
        settings=tomllib.loads(read_experiment(run)),
        observations=observations,
        photos={
            (row["person"], row["sha256"]): Use(row["role"], row["path"])
            for row in read_photos(run)
            if not row["rejected"] and row["role"] in _USED
        },
        cloaked=_cloaked(read_cloaks(run)),
    )


def _cloaked(rows: Sequence[Mapping[str, Any]]) -> Cloaked:
    found = defaultdict[tuple[str, str], dict[str, frozenset[str]]](dict)
    for row in rows:
        files, source = found[row["system"], row["level"]], row["source_sha256"]
        files[source] = files.get(source, frozenset()) | {row["cloaked_sha256"]}
    return found
