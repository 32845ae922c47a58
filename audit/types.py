"""The values that flow between the rooms: frozen, typed, standard library only.

Scores are 0..1 everywhere. Sizes are pixels, times are seconds. A photo's id is the SHA-256 of
its file's bytes, in hexadecimal.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def content_hash(value: Any) -> str:
    """Return the SHA-256 (hex) of a JSON-able value, equal on every machine."""
    return hashlib.sha256(_CANONICAL.encode(value).encode()).hexdigest()


SCHEMA_VERSION = 6
"""The version of a run folder's files and of the exported tables: it grows when a column or a file
is added, or a meaning changes. Manifests of before version 5 do not tell theirs."""

FREE_OF_LOCK = frozenset(
    {"photos", "prices", "device", "tier", "max_calls", "max_cost", "purge_after"}
)
"""Keys of an experiment that change where it runs and what it costs, not what it measures; which
photos there are is told by their hashes."""


def roles_hash(photos: Iterable[Mapping[Any, Any]]) -> str:
    """Return the hash of what each photo is for, from the rows of photos.jsonl."""
    used = ([row["person"], row["sha256"], row["role"]] for row in photos if not row["rejected"])
    return content_hash(sorted(used))


def experiment_hash(keys: Mapping[str, Any], photo_set_sha256: str, roles_sha256: str) -> str:
    """Return the hash of an experiment: its keys without FREE_OF_LOCK, its photos, their roles."""
    locked = {key: value for key, value in keys.items() if key not in FREE_OF_LOCK}
    return content_hash([locked, photo_set_sha256, roles_sha256])


class Role(StrEnum):
    """What a photo is used for in an experiment."""

    TRAIN = "train"
    PROBE = "probe"
    DECOY = "decoy"
    TARGET = "target"
    UNUSED = "unused"


class Game(StrEnum):
    """`poison`: enrol cloaked, probe clean. `evade`: enrol clean, probe cloaked."""

    POISON = "poison"
    EVADE = "evade"


class Targets(StrEnum):
    """Whether all photos of a person are cloaked towards one target person or each to its own."""

    SAME = "same"
    SEPARATE = "separate"


class Outcome(StrEnum):
    """The service's answer to one probe, seen from the true person."""

    MATCH = "match"
    OTHER_PERSON = "other_person"
    NO_MATCH = "no_match"
    NO_FACE = "no_face"
    REFUSED = "refused"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Photo:
    """A usable photo. `width` and `height` are those after the EXIF turn.

    `fingerprint` (hexadecimal) is a perceptual hash that near duplicates share nearly all bits of.
    """

    sha256: str
    person: str
    path: Path
    width: int
    height: int
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file that cannot be used, and why. `reason` is a fixed code, `detail` is for people."""

    path: Path
    person: str
    reason: str
    detail: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """All usable photos (ordered by person, then hash) and every rejected file."""

    root: Path
    photos: tuple[Photo, ...]
    rejections: tuple[Rejection, ...] = ()
    generated: bool = False

    @property
    def sha256(self) -> str:
        """Return the hash of who is in which photo; file names and places don't count."""
        return content_hash([[photo.person, photo.sha256] for photo in self.photos])

    @property
    def people(self) -> tuple[str, ...]:
        """Return the people who have at least one usable photo, in order."""
        return tuple(sorted({photo.person for photo in self.photos}))

    def of(self, person: str) -> tuple[Photo, ...]:
        """Return one person's usable photos, ordered by hash."""
        return tuple(photo for photo in self.photos if photo.person == person)


@dataclass(frozen=True, slots=True)
class Split:
    """Who is enrolled with which photos, and which photos are held out as probes.

    `targets` are photos of people who are not enrolled: cloaking may choose among them.
    `rejections` are probes refused because they duplicate an enrolled photo.
    """

    seed: int
    train: Mapping[str, tuple[Photo, ...]]
    probe: Mapping[str, tuple[Photo, ...]]
    decoy: Mapping[str, tuple[Photo, ...]]
    target: Mapping[str, tuple[Photo, ...]] = field(default_factory=dict)
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True)
class Cloak:
    """How photos are cloaked. Its id with a photo's hash is the key of the cloaked bytes.

    `parameters` are the resolved numbers of the level; `networks` maps each network's name to
    the SHA-256 of its weights.
    """

    system: str
    level: str
    parameters: Mapping[str, float | int | bool | str]
    networks: Mapping[str, str]
    targets: Targets
    seed: int

    @property
    def id(self) -> str:
        """Return the content hash of everything that shapes the cloaked pixels but the photo."""
        return content_hash(asdict(self))


@dataclass(frozen=True, slots=True)
class CloakedPhoto:
    """One row of cloaks.jsonl; every figure is measured on the saved, decoded file.

    `dssim` is over the pasted face region at the photo's resolution, `dssim_crop` over the
    aligned crop, `dssim_photo` over the whole photo; `l2` and `linf` are of pixel differences in
    0..255; `embedding_shift` is the Euclidean distance between unit embeddings, by network mean,
    and `embedding_shifts` holds it for each network that was asked, by name.
    """

    source_sha256: str
    cloaked_sha256: str
    person: str
    file: str
    system: str
    level: str
    seed: int
    target: str
    steps: int
    budget: float
    dssim: float
    dssim_crop: float
    dssim_photo: float
    l2: float
    linf: float
    embedding_shift: float
    seconds: float
    embedding_shifts: Mapping[str, float] = field(default_factory=dict)


def arm_suffix(sybils: int, transforms: Sequence[str]) -> str:
    """Return the end of an arm's name: what it has beside a cloak."""
    played = f"-{sybils}sybil{'s' if sybils > 1 else ''}" if sybils else ""
    return played + (f"-{'+'.join(transforms)}" if transforms else "")


@dataclass(frozen=True, slots=True)
class Arm:
    """One gallery's content and one set of probes. The control arm has level `none`.

    `changes_decoys`: other people's photos are cloaked instead of the protected person's.
    `transforms` are what the tracker does to every photo that it gets; `sybils` is the number of
    decoys who play made-up identities of the person: their photos are cloaked towards hers.
    `settings` are parameters, key=value, of this arm's cloak alone.
    """

    name: str
    game: Game
    system: str
    level: str
    targets: Targets | None
    cloaked_fraction: float
    changes_decoys: bool = False
    transforms: tuple[str, ...] = ()
    sybils: int = 0
    settings: tuple[str, ...] = ()

    @property
    def is_control(self) -> bool:
        """Tell whether nothing is cloaked in this arm."""
        return self.level == "none"

    @property
    def cloak_name(self) -> str:
        """Return what its cloaked files are kept under: arms of one cloak share them."""
        return self.name.removesuffix(arm_suffix(self.sybils, self.transforms))

    @property
    def has_own_gallery(self) -> bool:
        """Tell whether its decoys' photos are others than in the control."""
        return self.changes_decoys or bool(self.sybils) or bool(self.transforms)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person the service offers for a probe. `native_score` is on the service's own scale.

    `thresholds` are those that the service gave with this answer, on its own scale too.
    """

    person_id: str
    score: float
    native_score: float
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """One probe in one arm; the columns of observations.csv, in order. None = not applicable.

    `service_thresholds` is a JSON object: the thresholds that the service gave with the score.
    """

    run_id: str
    utc: str
    provider: str
    service_model: str
    game: str
    arm: str
    system: str
    level: str
    targets: str | None
    cloaked_fraction: float | None
    probe_sha256: str
    true_person: str
    outcome: Outcome
    top_person: str | None = None
    top_score: float | None = None
    rank: int | None = None
    true_score: float | None = None
    true_score_source: str | None = None
    censored: bool = False
    threshold: float | None = None
    native_score: float | None = None
    latency_ms: float | None = None
    attempts: int | None = None
    service_thresholds: str | None = None


@dataclass(frozen=True, slots=True)
class RecognisedFace:
    """A face found by a local recogniser: its box in pixels and its unit embedding.

    `landmarks` (x, y in pixels) are the eye at the photo's left, the eye at its right, the nose
    tip, the mouth corner at the left and the one at the right; empty if they are not known.
    """

    left: int
    top: int
    width: int
    height: int
    confidence: float
    embedding: Sequence[float]
    landmarks: Sequence[tuple[float, float]] = ()


class Recogniser(Protocol):
    """The one door between pixels and people for emulators and local providers.

    Called with a photo's file bytes, it returns the faces found, largest first, none if there
    are none. Raises ValueError when the bytes are no picture it can decode.
    """

    @property
    def name(self) -> str:
        """The embedding network's name."""
        ...

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        """Find and embed every face of a photo."""
        ...
