"""The parts of manifest.json that a report speaks about; unknown keys are kept out of the way."""

from typing import NamedTuple, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

CONTROL_LEVEL = "none"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ManifestArm(_Part):
    """One arm as it was run. `enrolled` counts photos in the gallery that the service took."""

    name: str = Field(alias="arm")
    game: str
    system: str
    level: str
    targets: str | None = None
    cloaked_fraction: float | None = None
    transforms: tuple[str, ...] = ()
    sybils: int = 0
    settings: tuple[str, ...] = ()
    enrolled: int | None = None
    enrol_rejected: int | None = None

    @property
    def is_control(self) -> bool:
        """Tell whether nothing is cloaked in this arm."""
        return self.level == CONTROL_LEVEL

    @property
    def bare_name(self) -> str:
        """Return its name without the settings of its cloak alone."""
        return self.name.replace("".join(f"-{setting}" for setting in self.settings), "", 1)

    @property
    def is_partly_cloaked(self) -> bool:
        """Tell whether some of the photos that could be cloaked are left as they are."""
        return self.cloaked_fraction is not None and 0 < self.cloaked_fraction < 1

    @property
    def group_title(self) -> str:
        """Name what this arm shares with its neighbours in a figure."""
        changed = f", {self.tracker}" if self.transforms else ""
        if self.is_control:
            return f"No cloak{changed}"
        settings = "".join(f", {setting}" for setting in self.settings)
        game = ", probes cloaked" if self.game == "evade" else ""
        return f"Level {self.level}, {self.system}{settings}{game}{changed}"

    @property
    def tracker(self) -> str:
        """Name what the tracker does to photos."""
        return f"photos through {', '.join(self.transforms)}"

    @property
    def variant(self) -> str:
        """Name what tells this arm from others of its level, in plain words."""
        if self.is_control:
            return f"No cloak, {self.tracker}" if self.transforms else "No cloak"
        target = {"same": "Same target", "separate": "Separate targets"}.get(
            self.targets or "", "Cloaked"
        )
        if self.is_partly_cloaked:
            target = f"{target}, {100 * (self.cloaked_fraction or 0):.0f} % cloaked"
        return f"{target}, {self.sybils} sybils" if self.sybils else target


class Limit(_Part):
    """At most `calls` in any `per_s` seconds, of each operation that fits a pattern by itself.

    "" are all operations together that fit no pattern before.
    """

    operations: str
    calls: int
    per_s: float


class Service(_Part):
    """Who answered: a service, our local emulator of it, or a recogniser on this machine.

    `compares_faces`: `verify` compares a probe with single faces, not with the person's best.
    Manifests of version 1 call the recogniser the emulator's network.
    """

    provider: str
    name: str = ""
    compares_faces: bool = False
    emulated: bool = False
    api_version: str | None = None
    region: str | None = None
    gallery: str | None = None
    service_model: str | None = None
    recogniser: str | None = Field(
        default=None, validation_alias=AliasChoices("recogniser", "emulator_network")
    )
    tier: str = ""
    limits: tuple[Limit, ...] = ()
    matching: str | None = Field(
        default=None, validation_alias=AliasChoices("matching", "emulator_matching")
    )


class Counts(_Part):
    """How many photos and people took part."""

    train: int | None = None
    probe: int | None = None
    decoy_people: int | None = None


class Manifest(_Part):
    """What the report needs to know of a run beside its rows."""

    schema_version: int = 0
    run_id: str
    exit_state: str
    exit_message: str | None = None
    started_utc: str | None = None
    photo_set_generated: bool = False
    cloak_networks: tuple[str, ...] = ()
    cloaking_startup_s: dict[str, tuple[float, ...]] = {}
    service: Service
    counts: Counts = Counts()
    arms: tuple[ManifestArm, ...]

    @model_validator(mode="after")
    def _has_control(self) -> Self:
        if not any(arm.is_control for arm in self.arms):
            raise ValueError("no control arm (level none) among the arms")
        return self

    @property
    def control(self) -> ManifestArm:
        """Return the arm in which nothing is cloaked."""
        return next(arm for arm in self.arms if arm.is_control)

    def control_of(self, arm: ManifestArm) -> ManifestArm:
        """Return what an arm is compared with: nothing cloaked, photos changed alike.

        A control whose photos the tracker changes is compared with the one whose photos it doesn't.
        """
        alike = (
            each for each in self.arms if each.is_control and each.transforms == arm.transforms
        )
        found = None if arm.is_control else next(alike, None)
        return found or self.control

    @property
    def cloaked_arms(self) -> tuple[ManifestArm, ...]:
        """Return every arm but the control, in order."""
        return tuple(arm for arm in self.arms if arm is not self.control)

    @property
    def groups(self) -> tuple["Group", ...]:
        """Return the cloaked arms by game, system and level, each level beside the control.

        A run of nothing but controls is one group.
        """
        others = self.cloaked_arms
        titles = dict.fromkeys(arm.group_title for arm in others) or (self.control.group_title,)
        return tuple(
            Group(title, (self.control_of(arms[0]) if arms else self.control, *arms))
            for title in titles
            for arms in [[arm for arm in others if arm.group_title == title]]
        )


class Group(NamedTuple):
    """The arms of one level, the control first."""

    title: str
    arms: tuple[ManifestArm, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return one name per arm that tells it from its neighbours."""
        variants = [arm.variant for arm in self.arms]
        return tuple(
            variant if variants.count(variant) == 1 else f"{variant} ({arm.name})"
            for variant, arm in zip(variants, self.arms, strict=True)
        )
