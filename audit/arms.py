"""The arms of an experiment: what each cloaks, what leaks, and what the tracker does to photos."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from audit.errors import UserError
from audit.types import Arm, Game, Targets, arm_suffix

Fraction = Annotated[float, Field(gt=0, le=1)]
Chain = tuple[str, ...]
"""Transforms, carried out one after the other."""

SAY_THE_SAME = "leaked and cloaked_fraction say the same: leave one out"


def _read_chain(value: object) -> Chain:
    """Read an arm's list of transforms, or one text of them joined by `+`."""
    from datasets import transforms

    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError('transforms are a list of texts, e.g. ["blur:1", "jpeg:30"]')
    return tuple(step for part in parts for step in transforms.chain(part))


Transforms = Annotated[Chain, BeforeValidator(_read_chain)]


class ArmChoice(BaseModel):
    """One cloaked arm of an experiment whose arms are told one by one: a table `[[arm]]`.

    `leaked` is `cloaked_fraction` as a count: so many of the person's training photos are clean.
    `set` are parameters of its cloak alone, which win over those of the experiment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    level: str
    targets: Targets = Targets.SAME
    cloaked_fraction: Fraction = 1.0
    leaked: Annotated[int, Field(ge=0)] | None = None
    sybils: Annotated[int, Field(ge=0)] = 0
    transforms: Transforms = ()
    set: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> "ArmChoice":
        if self.leaked is not None and self.cloaked_fraction < 1:
            raise ValueError(SAY_THE_SAME)
        return self

    @property
    def cloak_name(self) -> str:
        """Return a name that tells its cloaked files from others of its system and level."""
        apart = "-separate" if self.targets is Targets.SEPARATE else ""
        part = f"-{100 * self.cloaked_fraction:g}pc" if self.cloaked_fraction < 1 else ""
        leaked = f"-{self.leaked}leaked" if self.leaked else ""
        settings = "".join(f"-{setting}" for setting in self.set)
        return f"{self.system}-{self.level}{settings}{apart}{part}{leaked}"

    @property
    def name(self) -> str:
        """Return a name that tells it from other arms."""
        return f"{self.cloak_name}{arm_suffix(self.sybils, self.transforms)}"

    def share(self, train: float) -> float:
        """Return which share of the person's photos is cloaked.

        Raises UserError if a count leaked and `train` is no count, or a smaller one.
        """
        if not self.leaked:
            return self.cloaked_fraction
        if not isinstance(train, int) or train < self.leaked:
            raise UserError(
                f"leaked = {self.leaked} clean photos, and train = {train}.",
                expected="as many training photos or more, as a number: --train 20",
            )
        return 1 - self.leaked / train

    def arm(self, game: Game, train: float, others: Iterable[str]) -> Arm:
        """Return the arm; `others` are the systems that cloak other people's photos."""
        return Arm(
            self.name,
            game,
            self.system,
            self.level,
            self.targets,
            self.share(train),
            changes_decoys=self.system in others,
            transforms=self.transforms,
            sybils=self.sybils,
            settings=self.set,
        )


def controls(game: Game, chains: Iterable[Chain]) -> Sequence[Arm]:
    """Return the control, and one more for each way in which a tracker changes photos.

    What a tracker still recognises of changed photos is known from no other arm.
    """
    return [
        Arm(f"control{arm_suffix(0, chain)}", game, "none", "none", None, 0.0, transforms=chain)
        for chain in dict.fromkeys([(), *chains])
    ]


def by_transform(choices: Iterable[ArmChoice], chains: Sequence[Chain]) -> Mapping[str, ArmChoice]:
    """Return each choice by its name, once for each chain; those with their own keep that."""
    each = (
        choice.model_copy(update={"transforms": choice.transforms or chain})
        for choice in choices
        for chain in chains
    )
    return {choice.name: choice for choice in each}
