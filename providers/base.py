"""What every service adapter offers: its capabilities as data, and a few verbs.

An adapter knows nothing of runs, retries, rates or files: photo bytes in, answer out, one request
a verb, and the SDK's own retries off. It lets the SDK's exceptions pass; `classify` says what
they mean.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from audit.types import Candidate


class FailureKind(StrEnum):
    """What the runner does about a failed call."""

    TRANSIENT = "transient"  # send again later
    THROTTLED = "throttled"  # slow the whole service down, then send again
    PHOTO = "photo"  # this photo is refused; the run goes on
    CONFLICT = "conflict"  # it exists already
    BUSY = "busy"  # another operation runs (training): wait and send again
    ABSENT = "absent"  # the thing named does not exist (any more)
    QUOTA = "quota"  # stop the run; it can be resumed another day
    REFUSED = "refused"  # keys, approval: stop the run
    FATAL = "fatal"  # a defect: stop the run


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception's meaning. `code` is the service's own; `message` holds no secret, no photo."""

    kind: FailureKind
    code: str
    message: str
    retry_after_s: float | None = None
    no_face: bool = False


EXPIRED = "expired"
"""Why `attach` refuses a face whose id is no longer known."""


class PhotoRefusedError(Exception):
    """A photo that a service answered with success and did not take.

    `code` is the service's own word for it.
    """

    def __init__(self, code: str, message: str, *, no_face: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.no_face = no_face

    @property
    def failure(self) -> Failure:
        """Return what it means."""
        return Failure(FailureKind.PHOTO, self.code, str(self), no_face=self.no_face)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` in any window of `per_s` seconds."""

    calls: int
    per_s: float


@dataclass(frozen=True, slots=True)
class Tier:
    """A service plan: its limits and its price.

    `calls_per_month` None = no monthly quota, `concurrency` None = any number in flight.

    `rates` hold for all operations together, but for those in `operation_rates`, which have a
    limit of their own. Prices are USD; `operation_usd` goes before `usd_per_call`. Both tables
    are keyed by patterns of operation names, the first that fits counts.
    """

    name: str
    rates: tuple[Rate, ...]
    usd_per_call: float
    calls_per_month: int | None = None
    concurrency: int | None = None
    operation_rates: Mapping[str, tuple[Rate, ...]] = field(default_factory=dict)
    operation_usd: Mapping[str, float] = field(default_factory=dict)

    def limit(self, operation: str) -> tuple[str, tuple[Rate, ...]]:
        """Return the name of the limit that an operation counts against, and its rates.

        The name is "" for the limit that all operations share.
        """
        for pattern, rates in self.operation_rates.items():
            if fnmatchcase(operation, pattern):
                return operation, rates
        return "", self.rates

    def usd(self, operation: str) -> float:
        """Return the price of one call."""
        for pattern, price in self.operation_usd.items():
            if fnmatchcase(operation, pattern):
                return price
        return self.usd_per_call


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service can do and must not be asked to do.

    `operations` maps each verb to the service's own operation name; a verb that is absent makes
    no call. `priced_on` (ISO date) dates the price table.

    The adapter is made with these arguments: `settings`, each from the first of its environment
    variables that is set; `optional_settings` likewise, if any is; `options`, which are keys of
    the experiment. `emulator_settings` are their values for an emulator. `galleries` are the
    kinds of gallery that the service has, if it has several.

    `attach_batch` faces are attached to a gallery in one call, of one person only if
    `attaches_by_person`; `remove_batch` faces are removed in one. `list_page` entries of a gallery
    are listed in one call: people if `lists_people`, else faces. `serial_by_person`: faces are
    added to one person one after another. `compares_faces`: verify takes a face of a person
    instead of the person.
    `enrolment_is_idempotent`: an enrolment sent twice leaves one face. `on_device`: photos stay
    on this machine, and the adapter is handed a recogniser, its calibration and a folder.
    """

    service: str
    tiers: Mapping[str, Tier]
    default_tier: str
    priced_on: str
    operations: Mapping[str, str]
    image_bytes_max: int
    image_side_max_px: int
    image_formats: tuple[str, ...]
    face_side_min_px: int
    score_scale: tuple[float, float]
    candidates_max: int
    faces_per_person_max: int
    enrolment_is_idempotent: bool
    image_side_min_px: int = 1
    identify_batch: int = 1
    attach_batch: int = 1
    attaches_by_person: bool = False
    remove_batch: int = 1
    list_page: int = 1000
    lists_people: bool = False
    serial_by_person: bool = False
    compares_faces: bool = False
    gate_probe: bool = False
    on_device: bool = False
    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional_settings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    emulator_settings: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    galleries: tuple[str, ...] = ()

    def has(self, verb: str) -> bool:
        """Tell whether a verb makes a call at this service."""
        return verb in self.operations


@dataclass(frozen=True, slots=True)
class RemotePerson:
    """A person in a gallery: the service's id, the tag that we gave, and the faces' ids.

    Faces that are nobody's, or that a service lists without their people, have id and tag "".
    """

    id: str
    tag: str
    face_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GalleryPage:
    """A part of what a gallery holds; a person may go on on the next page.

    `next` is where that page starts, "" on the last one.
    """

    people: tuple[RemotePerson, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class EnrolledFace:
    """The service's id of an enrolled face; `note` is what the service said beside it."""

    id: str
    note: str = ""


class TrainingState(StrEnum):
    """How far a gallery's training is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Provider(ABC):
    """A face-recognition service. `tag`s are our own ids, stored at the service for recovery.

    An adapter implements what is abstract here and the verbs that its `capabilities.operations`
    names; nobody calls the others. Faces are enrolled one by one (`enrol`), where the service
    wants it joined to a gallery or person (`attach`) and given its person's tag (`label`).
    """

    @classmethod
    @abstractmethod
    def describe(cls, gallery: str | None = None) -> Capabilities:
        """Return the service's capabilities for a kind of gallery, None = the usual one."""

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of this account's kind of gallery."""
        return self.describe()

    @property
    @abstractmethod
    def service_model(self) -> str:
        """API version and models as one line; empty while the service has not told them."""

    @property
    @abstractmethod
    def account(self) -> str:
        """Where and as whom calls are made, without any secret: the key of pacing."""

    @abstractmethod
    def create_gallery(self, gallery: str) -> None:
        """Create an empty gallery."""

    @abstractmethod
    def enrol(self, gallery: str, person_id: str, photo: bytes, tag: str) -> EnrolledFace:
        """Add a photo's face to a person; raises PhotoRefusedError if nothing was enrolled."""

    @abstractmethod
    def list_galleries(self) -> Sequence[str]:
        """Return the names of all galleries of this account."""

    @abstractmethod
    def delete_gallery(self, gallery: str) -> None:
        """Delete a gallery and everything in it."""

    @abstractmethod
    def classify(self, error: Exception) -> Failure:
        """Say what an exception raised by a verb means."""

    def close(self) -> None:  # noqa: B027 - most have connections, some have none
        """Close the connections."""

    def add_person(self, gallery: str, tag: str) -> str:
        """Create a person without faces; return the service's id. Without it, the tag is the id."""
        raise NotImplementedError

    def attach(self, gallery: str, person_id: str, face_ids: Sequence[str]) -> Mapping[str, str]:
        """Join up to `attach_batch` enrolled faces to a gallery; return why some were refused.

        `person_id` is "" unless `attaches_by_person`. The refused face ids map to the service's
        word, or to EXPIRED.
        """
        raise NotImplementedError

    def label(self, gallery: str, face_id: str, person_id: str) -> None:
        """Tell the service whose face an enrolled face is."""
        raise NotImplementedError

    def train(self, gallery: str) -> None:
        """Start training; `training_state` tells when it is done."""
        raise NotImplementedError

    def training_state(self, gallery: str) -> TrainingState:
        """Ask how far the training is."""
        raise NotImplementedError

    def detect(self, photo: bytes) -> str:
        """Return a short-lived id of a probe's largest face; PhotoRefusedError without a face."""
        raise NotImplementedError

    def identify(
        self, gallery: str, face_ids: Sequence[str], threshold: float, candidates: int
    ) -> Sequence[Sequence[Candidate]]:
        """Return for each of up to `identify_batch` face ids the people offered, best first.

        Each person is offered once, with an id as `enrol` got it and a score of at least
        `threshold` (0..1).
        """
        raise NotImplementedError

    def identify_photo(
        self, gallery: str, photo: bytes, threshold: float, candidates: int
    ) -> Sequence[Candidate]:
        """Do the same for the largest face of a photo; PhotoRefusedError without a face."""
        raise NotImplementedError

    def verify(self, gallery: str, face_id: str, enrolled_id: str) -> Candidate:
        """Return the score of a probe's face against one person; never censored.

        `enrolled_id` is the person's id, or that of an enrolled face if `compares_faces`.
        """
        raise NotImplementedError

    def list_gallery(self, gallery: str, start: str = "") -> GalleryPage:
        """Return what a gallery holds, from `start` (of the page before) on, in one request."""
        raise NotImplementedError

    def remove_person(self, gallery: str, person_id: str) -> None:
        """Delete a person, where the service has people, with the faces if they go with it."""
        raise NotImplementedError

    def remove_faces(self, gallery: str, face_ids: Sequence[str]) -> None:
        """Delete up to `remove_batch` faces of a gallery; those that are gone already don't matter."""
        raise NotImplementedError

    def list_faces(self, gallery: str, person_id: str) -> Sequence[str]:
        """Return the service's ids of the faces enrolled for a person.

        One request where an enrolment sent twice leaves two faces: the answer tells what is there.
        """
        raise NotImplementedError
