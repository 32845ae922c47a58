"""One experiment, wholly described by one flat TOML file with every default written out."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from audit import wrong_values
from audit.arms import SAY_THE_SAME, ArmChoice, Chain, Fraction, by_transform, controls
from audit.errors import UserError
from audit.types import Arm, Game, Targets

Seed = Annotated[int, Field(ge=0, lt=2**63)]
_OF_EVERY_ARM = frozenset({"system", "level", "targets", "cloaked_fraction", "leaked", "sybils"})

_FRESH = "fresh"


def _several(names: object) -> object:
    """Read one name as a list of one: so it stands in the files of older runs."""
    return (names,) if isinstance(names, str) else names


def _one(names: object) -> object:
    """Read a list of one name as the name: so the flag that can be repeated comes in."""
    if isinstance(names, list | tuple):
        if len(names) != 1:
            raise ValueError("one recogniser an experiment; a study runs once for each")
        return names[0]
    return names


def _size(value: object, read: ValidatorFunctionWrapHandler) -> float:
    """Read a number of photos, or a share of them."""
    try:
        size: float = read(value)
    except ValidationError:
        size = 0
    if not (size >= 2 if isinstance(size, int) else 0 < size < 1):
        raise ValueError("give a number of photos, 2 or more, or a fraction between 0 and 1")
    return size


class Experiment(BaseModel):
    """What is asked, of whom, with which photos. Its keys are the names of the flags.

    There is a cloaked arm for each `system` and `level`, or for each `arm` that is told; each of
    them once for every `transform`, a chain such as `blur:1+jpeg:30`, or `none`.

    `network` cloaks, and `set` holds parameters of the cloaking systems, key=value. `recogniser` is
    the network of the recogniser on this machine, the one behind an emulator or that of provider
    `local`, and `matching` is how it tells people apart. `gallery`, `region`, `quality_filter` and
    `api_version` are for the services that know them. `photos` None
    means the bundled generated people, `candidates` None as many as the service gives. Without
    `fit_photos`, a photo beyond the service's limits is sent as it is and refused there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    emulate: bool = False
    endpoint: str | None = None
    region: str | None = None
    api_version: str = "v1.2"
    gallery: str | None = None
    quality_filter: Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"] = "NONE"
    tier: str | None = None
    prices: Path | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    candidates: Annotated[int, Field(ge=1)] | None = None
    fit_photos: bool = True
    verify_photos: Annotated[int, Field(ge=0)] = 1

    photos: Path | None = None
    person: tuple[str, ...] = ()
    train: Annotated[int | float, WrapValidator(_size)] = 0.7
    probes: Annotated[int, Field(ge=1)] | None = None
    decoys: Annotated[int, Field(ge=1)] | None = None
    decoy_photos: Annotated[int, Field(ge=1)] | None = None
    seed: Seed = 0

    system: tuple[str, ...] = ("fawkes-0.3",)
    level: tuple[str, ...] = ("high",)
    targets: Targets = Targets.SAME
    cloaked_fraction: Fraction = 1.0
    leaked: Annotated[int, Field(ge=0)] | None = None
    sybils: Annotated[int, Field(ge=0)] = 0
    arm: tuple[ArmChoice, ...] = ()
    transform: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()
    game: Game = Game.POISON
    set: tuple[str, ...] = ()
    network: Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)] = (
        "bundled-mixer",
    )
    recogniser: Annotated[str, BeforeValidator(_one)] = "bundled-conv"
    matching: Literal[
        "nearest",
        "centroid",
        "linear",
        "k-nearest",
        "weighted-k-nearest",
        "bounded-nearest",
        "svm",
        "network",
    ] = "nearest"
    device: str = "auto"

    max_calls: Annotated[int, Field(ge=1)] | None = None
    max_cost: Annotated[float, Field(gt=0)] | None = None
    purge_after: bool = False

    @field_validator("provider")
    @classmethod
    def _exists(cls, provider: str) -> str:
        from providers import registry

        known = ("mock", *registry.names())
        if provider not in known:
            raise ValueError(f"there are {', '.join(known)}")
        return provider

    @field_validator("transform")
    @classmethod
    def _is_a_chain(cls, transform: tuple[str, ...]) -> tuple[str, ...]:
        from datasets import transforms

        chains = (transforms.chain(text) for text in transform)
        return tuple(transforms.JOINED_BY.join(chain) or "none" for chain in chains)

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> "Experiment":
        if self.provider == "mock" and self.endpoint:
            raise ValueError("provider mock runs its own emulator: leave out endpoint")
        if self.emulate and self.endpoint:
            raise ValueError("emulate starts its own server: leave out endpoint")
        if self.provider == "local" and self.endpoint:
            raise ValueError("provider local is on this machine: leave out endpoint")
        if self.arm and _OF_EVERY_ARM & self.model_fields_set:
            raise ValueError(f"each arm has its own: leave out {', '.join(sorted(_OF_EVERY_ARM))}")
        if self.leaked is not None and self.cloaked_fraction < 1:
            raise ValueError(SAY_THE_SAME)
        if self.game is Game.EVADE and any(arm.leaked or arm.sybils for arm in self._choices()):
            raise ValueError("game evade enrols clean photos: leave out leaked and sybils")
        return self

    @property
    def gallery_kind(self) -> str | None:
        """Return the service's kind of gallery, None = its usual one."""
        kind = (self.gallery or "").removesuffix(_FRESH).rstrip("-")
        return kind or None

    @property
    def has_fresh_galleries(self) -> bool:
        """Tell whether each arm has a gallery of its own, also where one could be shared."""
        return (self.gallery or "").endswith(_FRESH)

    @property
    def is_emulated(self) -> bool:
        """Tell whether a local emulator stands in for the service."""
        return self.emulate or self.provider == "mock"

    @property
    def service(self) -> str:
        """Return whose adapter is used; mock is Azure's against the emulator."""
        return "azure" if self.provider == "mock" else self.provider

    def arms(self) -> tuple[Arm, ...]:
        """Return the control arms and the cloaked ones.

        Raises UserError for a number of leaked photos without a number of training photos.
        """
        from cloaker.levels import SYSTEMS

        others = {name for name, row in SYSTEMS.items() if row.photos == "others"}
        chains = self._chains()
        choices = by_transform(self._choices(), chains)
        cloaked = [
            choice.arm(self.game, self.train, others)
            for choice in choices.values()
            if choice.level != "none"
        ]
        seen = [*chains, *(arm.transforms for arm in cloaked)]
        return (*controls(self.game, seen), *cloaked)

    def _chains(self) -> list[Chain]:
        from datasets import transforms

        return [transforms.chain(text) for text in self.transform] or [()]

    def _choices(self) -> tuple[ArmChoice, ...]:
        return self.arm or tuple(
            ArmChoice(
                system=system,
                level=level,
                targets=self.targets,
                cloaked_fraction=self.cloaked_fraction,
                leaked=self.leaked,
                sybils=self.sybils,
            )
            for system in self.system
            for level in self.level
        )


def resolve(file: Path | None, given: dict[str, Any]) -> Experiment:
    """Build an experiment from a TOML file and the flags given, which win.

    Raises UserError that names every key that is unknown or has an impossible value.
    """
    values = (read_toml(file) if file else {}) | given
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        seen, expected = wrong_values.told(error)
        raise UserError(
            f"the experiment can't be run as given: {seen}.",
            expected=expected,
            remedy="`audit run --help` has every option; a TOML file has them under the same names",
        ) from None


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file; raises UserError when it is missing or is no TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{file} can't be read: {error.strerror}.", remedy="check the path"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no valid TOML: {error}.", remedy="mend that place") from None


def to_toml(experiment: Experiment) -> str:
    """Write out the whole experiment; what is None stands as a comment, since TOML has no null."""
    import tomli_w

    unused = _OF_EVERY_ARM if experiment.arm else {"arm"}
    values = experiment.model_dump(mode="json", exclude=set(unused))
    if experiment.arm:
        values["arm"] = [arm.model_dump(mode="json", exclude_none=True) for arm in experiment.arm]
    unset = "".join(f"# {key} is not set\n" for key, value in values.items() if value is None)
    return tomli_w.dumps({k: v for k, v in values.items() if v is not None}) + unset
