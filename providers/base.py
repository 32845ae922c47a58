"""What every service adapter offers: its capabilities as data, and a few verbs.

An adapter knows nothing of runs, retries, rates or files: photo bytes in, answer out, and the
SDK's own retries off. It lets the SDK's exceptions pass; `classify` says what they mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` in any window of `per_s` seconds."""

    calls: int
    per_s: float


@dataclass(frozen=True, slots=True)
class Tier:
    """A service plan: its limits and its price. `calls_per_month` None = no monthly quota."""

    name: str
    rates: tuple[Rate, ...]
    usd_per_call: float
    calls_per_month: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service can do and must not be asked to do.

    `operations` maps each verb to the service's own operation name; a verb that is absent makes
    no call. `priced_on` (ISO date) dates the price table.
    """

    service: str
    tiers: Mapping[str, Tier]
    default_tier: str
    priced_on: str
    operations: Mapping[str, str]
    unpriced_operations: frozenset[str]
    image_bytes_max: int
    image_side_max_px: int
    image_formats: tuple[str, ...]
    face_side_min_px: int
    identify_batch: int
    candidates_max: int
    faces_per_person_max: int
    score_scale: tuple[float, float]
    trains: bool
    detects: bool
    verifies: bool
    enrolment_is_idempotent: bool


@dataclass(frozen=True, slots=True)
class RemoteItem:
    """Something a service holds: its own id and the tag that we gave it."""

    id: str
    tag: str


class TrainingState(StrEnum):
    """How far a gallery's training is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Provider(Protocol):
    """A face-recognition service. `tag`s are our own ids, stored at the service for recovery."""

    @property
    def capabilities(self) -> Capabilities:
        """The service's limits, tiers and abilities."""
        ...

    @property
    def service_model(self) -> str:
        """API version, recognition and detection model, as one line."""
        ...

    @property
    def account(self) -> str:
        """Where and as whom calls are made, without any secret: the key of pacing."""
        ...

    def create_gallery(self, gallery: str) -> None:
        """Create an empty gallery."""
        ...

    def add_person(self, gallery: str, tag: str) -> str:
        """Create a person without faces; return the service's id."""
        ...

    def enrol(self, gallery: str, person_id: str, photo: bytes, tag: str) -> str:
        """Add a photo's one face to a person; return the service's face id."""
        ...

    def train(self, gallery: str) -> None:
        """Start training; `training_state` tells when it is done."""
        ...

    def training_state(self, gallery: str) -> TrainingState:
        """Ask how far the training is."""
        ...

    def detect(self, photo: bytes) -> str:
        """Return a short-lived face id of the largest face of a probe."""
        ...

    def identify(
        self, gallery: str, face_ids: Sequence[str], threshold: float, candidates: int
    ) -> Sequence[Sequence[Candidate]]:
        """Return for each face id the people offered, best first; their ids are the service's."""
        ...

    def verify(self, gallery: str, face_id: str, person_id: str) -> Candidate:
        """Return the score of one face against one person; never censored."""
        ...

    def list_galleries(self) -> Sequence[str]:
        """Return the names of all galleries of this account."""
        ...

    def list_people(self, gallery: str) -> Sequence[RemoteItem]:
        """Return everyone in a gallery."""
        ...

    def list_faces(self, gallery: str, person_id: str) -> Sequence[str]:
        """Return the service's ids of the faces enrolled for a person, in one request."""
        ...

    def delete_gallery(self, gallery: str) -> None:
        """Delete a gallery and everything in it."""
        ...

    def classify(self, error: Exception) -> Failure:
        """Say what an exception raised by a verb means."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
