"""Networks that a study trains for its runs: its tracker's, or the one that cloaks.

They learn as `audit tracker train` has it, of people who are in no gallery and no probe. A network
is named by all that it was made from, so that the same one is trained once.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from audit import preparation, records, tracking
from audit.errors import UserError
from audit.experiment import Experiment, resolve
from audit.progress import Progress
from audit.types import PhotoSet, content_hash

Trained = Literal["network", "recogniser"]
"""The experiment's key whose network is trained."""

_HASH_DIGITS = 8


class Training(BaseModel):
    """How a network is trained: the options of `audit tracker train`, and of how many `people`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    people: int = Field(ge=1)
    photos_each: int | None = None
    system: tuple[str, ...] = ()
    level: tuple[str, ...] = ("high",)
    set: tuple[str, ...] = ()
    recipe: tuple[str, ...] = ()


def with_people_left(experiment: Experiment, people: int, progress: Progress) -> Experiment:
    """Return an experiment that leaves so many people out of its gallery, if it names no number.

    Raises UserError if too few are left for a gallery.
    """
    if not people or experiment.decoys is not None:
        return experiment
    others = len(_photos(experiment, progress).people) - len(experiment.person)
    if others <= people:
        raise UserError(
            f"{experiment.photos} holds {others} people beside the protected, and the study's "
            f"tracker learns from {people} who are in no gallery.",
            expected=f"{people + 1} people more, or --decoys N with {people} people left",
        )
    return experiment.model_copy(update={"decoys": others - people})


def request(
    experiment: Experiment, key: Trained, training: Training, progress: Progress
) -> tracking.Request:
    """Return a training of the network that an experiment has under a key, under its new name.

    The name tells base, kind and the hash of what is learned. An adaptive network learns cloaks
    made on the experiment's own networks.
    """
    prepared = preparation.prepare(experiment, progress)
    base = experiment.recogniser if key == "recogniser" else experiment.network[0]
    chosen = sorted(prepared.split.target)[: training.people]
    network = experiment.network if training.system else (base,)
    learning = {
        "provider": "local",
        "photos": experiment.photos,
        "seed": experiment.seed,
        "device": experiment.device,
        "network": network,
        "system": training.system or ("none",),
        "level": training.level if training.system else ("none",),
        "set": training.set,
    }
    told = [training.model_dump(), records.weights(sorted({base, *network})), experiment.seed]
    photos = [[photo.sha256 for photo in prepared.split.target[who]] for who in chosen]
    return tracking.Request(
        name=f"{base}-{training.kind}-{content_hash([told, photos])[:_HASH_DIGITS]}",
        kind=training.kind,
        base=base,
        experiment=resolve(None, learning),
        settings=training.recipe,
        without=[who for who in prepared.photo_set.people if who not in chosen],
        photos_each=training.photos_each,
    )


def with_trained(experiment: Experiment, key: Trained, name: str) -> Experiment:
    """Return an experiment that has a trained network under a key."""
    return experiment.model_copy(update={key: name if key == "recogniser" else (name,)})


def train(asked: tracking.Request, progress: Progress) -> None:
    """Train a network unless this machine has it. Raises UserError for too few people."""
    from cloaker.trackers import installed

    if installed.find(asked.name) is None:
        progress.say(f"{asked.kind} training of {asked.base}, on people who are in no test")
        tracking.train(asked, progress)


def _photos(experiment: Experiment, progress: Progress) -> PhotoSet:
    assert experiment.photos is not None
    return preparation.load_photos(experiment.photos, experiment.device, progress)
