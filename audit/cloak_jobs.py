"""Which photos of which people each arm cloaks, and with which cloak."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audit.errors import UserError
from audit.experiment import Experiment
from audit.plan import cloaked_photos
from audit.preparation import Prepared
from audit.types import Arm, Cloak, Game, Photo, Targets

SYBIL, SYBIL_LEVEL = "sybil", "high"
"""What cloaks the photos of identities made up; `high` is the Fawkes paper's budget."""


@dataclass(frozen=True, slots=True)
class Job:
    """One cloaking: which photos, towards whom, where their cloaked files go, for which arms.

    By person: `photos` are cloaked, each as among `all_photos`, whatever the arms' fraction is.
    """

    name: str
    arms: tuple[str, ...]
    cloak: Cloak
    all_photos: Mapping[str, tuple[Photo, ...]]
    photos: Mapping[str, tuple[Photo, ...]]
    candidates: Mapping[str, Sequence[Photo]]
    folder: Path


def jobs(
    experiment: Experiment, folder: Path, prepared: Prepared, networks: Mapping[str, str]
) -> list[Job]:
    """Return what has to be cloaked; arms of one cloak share its files.

    One cloak's files stand in `folder` itself, those of several in a subfolder each.
    """
    found: dict[str, Job] = {}
    for arm in experiment.arms():
        for job in _jobs_of(arm, experiment, prepared, networks):
            arms = found[job.name].arms if job.name in found else ()
            found[job.name] = replace(job, arms=(*arms, arm.name))
    one = len(found) == 1
    return [replace(job, folder=folder if one else folder / job.name) for job in found.values()]


def _jobs_of(
    arm: Arm, experiment: Experiment, prepared: Prepared, networks: Mapping[str, str]
) -> Iterator[Job]:
    """Yield an arm's own cloaking, if it has one, and that of the identities made up."""
    split = prepared.split
    if arm.is_control:
        return
    own = split.train if experiment.game is Game.POISON else split.probe
    people = split.decoy if arm.changes_decoys else own
    yield Job(
        name=arm.cloak_name,
        arms=(),
        cloak=cloak_of(experiment, arm, networks),
        all_photos=people,
        photos={who: cloaked_photos(some, arm.cloaked_fraction) for who, some in people.items()},
        candidates=split.train if arm.changes_decoys else split.target or split.decoy,
        folder=Path(),
    )
    if arm.sybils:
        sybils = {who: split.decoy[who] for who in sorted(split.decoy)[: arm.sybils]}
        yield Job(
            name=f"{SYBIL}-{arm.sybils}",
            arms=(),
            cloak=cloak_of(experiment, _sybil(arm), networks),
            all_photos=sybils,
            photos=sybils,
            candidates=split.train,
            folder=Path(),
        )


def _sybil(arm: Arm) -> Arm:
    return replace(arm, system=SYBIL, level=SYBIL_LEVEL, targets=Targets.SAME, settings=())


def systems_of(experiment: Experiment, arm: Arm) -> list[tuple[str, str, Sequence[str]]]:
    """Return the cloaking systems that an arm needs, each with its level and its settings."""
    settings = settings_of(experiment, arm)
    own = [] if arm.is_control else [(arm.system, arm.level, settings)]
    return own + ([(SYBIL, SYBIL_LEVEL, experiment.set)] if arm.sybils else [])


def settings_of(experiment: Experiment, arm: Arm) -> Sequence[str]:
    """Return the settings of an arm's cloak; its own come last, and the last one counts."""
    return (*experiment.set, *arm.settings)


def check_sybils(experiment: Experiment, prepared: Prepared) -> None:
    """Raise UserError if more identities are to be made up than there are decoys to play them."""
    wanted, there = max(arm.sybils for arm in experiment.arms()), len(prepared.split.decoy)
    if wanted > there:
        raise UserError(
            f"{wanted} sybils, and {there} decoys who could play them.",
            expected=f"--sybils {there} or fewer, or more --decoys",
        )


def cloak_of(experiment: Experiment, arm: Arm, networks: Mapping[str, str]) -> Cloak:
    """Return the cloak of an arm; `networks` maps names to their weights' SHA-256."""
    from cloaker import levels

    if arm.targets is None:
        raise AssertionError("the control has no cloak")
    return Cloak(
        system=arm.system,
        level=arm.level,
        parameters=levels.resolve(arm.system, arm.level, settings_of(experiment, arm)),
        networks=networks,
        targets=arm.targets,
        seed=experiment.seed,
    )


def parameters_by_arm(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """Return every cloaked arm's resolved parameters, None where one is unlimited."""
    from cloaker import levels

    return {
        arm.name if system != SYBIL else f"{SYBIL}-{level}": {
            key: None if value == math.inf else value
            for key, value in levels.resolve(system, level, settings).items()
        }
        for arm in experiment.arms()
        for system, level, settings in systems_of(experiment, arm)
    }
