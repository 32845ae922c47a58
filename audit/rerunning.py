"""What a rerun takes from the run that it repeats: settings, photos, split and cloaked bytes."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit import cloaks, manifest, preparation, records, services, trained
from audit.errors import UserError
from audit.experiment import Experiment, read_toml, resolve
from audit.folders import RunFolder, disk_errors, require_unchanged
from audit.preparation import Prepared

CHANGEABLE = frozenset(
    {"photos", "endpoint", "tier", "prices", "recogniser", "device"}
    | {"max_calls", "max_cost", "purge_after"}
)
"""Where the photos and the service are today, what it costs and may cost; and, where a recogniser
on this machine stands for the service, which network it is: so a change of model is rehearsed."""

_CLOAKED_WITH = ("cloaks", "cloak_networks", "photo_set_generated")


def checked(old: RunFolder, given: Mapping[str, Any]) -> tuple[Experiment, Prepared]:
    """Return the old run's experiment and photos, once all of it is known to be as it was.

    Raises UserError naming a photo or cloaked file that is missing or has changed, or a setting
    that a rerun can't have.
    """
    from cloaker.device import resolve as resolve_device

    experiment = _experiment(old, given)
    services.check(experiment)
    resolve_device(experiment.device)
    generated = bool(manifest.read(old).get("photo_set_generated"))
    prepared = preparation.restore(old, experiment, generated=generated)
    for photo in prepared.photo_set.photos:
        require_unchanged(photo.path, photo.sha256)
    judges = preparation.judges_of(experiment)
    preparation.refuse_bundled_networks(prepared.photo_set, judges)
    trained.refuse_known_people(judges, prepared.split, lambda _: None)
    records.weights(judges)
    cloaks.read_back(experiment, old, prepared)
    return experiment, prepared


def _experiment(old: RunFolder, given: Mapping[str, Any]) -> Experiment:
    if unknown := sorted(given.keys() - CHANGEABLE):
        raise AssertionError(f"a rerun keeps {', '.join(unknown)}")
    experiment = resolve(None, read_toml(old.experiment) | dict(given))
    if "recogniser" in given and not services.recognises_here(experiment):
        raise UserError(
            f"{old.id} asked {services.capabilities_of(experiment).service}, whose network nobody "
            "here can choose.",
            expected="--recogniser only where an emulator or a recogniser on this machine answers",
        )
    if "photos" not in given:
        return experiment
    return experiment.model_copy(update={"photos": given["photos"].expanduser().resolve()})


def notes(old: RunFolder) -> dict[str, Any]:
    """Return what the new run's manifest has from the old one's: with what the photos were cloaked.

    Manifests of before something was written lack it.
    """
    told = manifest.read(old)
    carried = {key: told[key] for key in _CLOAKED_WITH if key in told}
    networks = told.get("cloak_networks", ())
    weights = {name: sha for name, sha in told.get("weights", {}).items() if name in networks}
    return {"rerun_of": old.id, **carried, "weights": weights}


def carry_over(old: RunFolder, new: RunFolder) -> None:
    """Bring the photos' list and map, the cloaked files and the examples into the new run's folder."""
    with disk_errors(new.path):
        shutil.copyfile(old.photos, new.photos)
        if old.embedding_map.exists():
            shutil.copyfile(old.embedding_map, new.embedding_map)
        for source, target in ((old.cloaked, new.cloaked), (old.examples, new.examples)):
            if source.exists():
                shutil.copytree(source, target, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    Path(target).unlink(missing_ok=True)  # of an earlier attempt that was cut off
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, target)
