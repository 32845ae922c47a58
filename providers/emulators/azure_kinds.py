"""The four kinds of containers of Azure Face: their paths, limits and words.

Limits: learn.microsoft.com, Face "identity quotas and limits" (2026-01-30). Groups and lists named
large have the paid tier's limits, the others the free tier's, so that either quota can be met.
Texts: "Azure AI Face API error codes" (2025-08-21).
"""

from dataclasses import dataclass

from providers.emulators.azure_wire import ServiceError, bad_argument

FACES_PER_PERSON = 248


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of container. `containers_max` is a resource's quota, `members_max` a container's.

    Members are persons in groups, faces in lists.
    """

    path: str
    noun: str
    words: str
    has_persons: bool
    trains: bool
    containers_max: int
    members_max: int

    @property
    def id_field(self) -> str:
        """The JSON key of a container's id."""
        return f"{self.noun[0].lower()}{self.noun[1:]}Id"

    def bad_id(self) -> ServiceError:
        """Return the error for an id with other characters, or too long."""
        return bad_argument(f"{self.words} ID is invalid.")

    def not_found(self, status: int, message: str = "") -> ServiceError:
        """Return the error for a container that there is not."""
        message = message or f"{self.words} is not found."
        return ServiceError(status, f"{self.noun}NotFound", message)

    def exists(self) -> ServiceError:
        """Return the error for an id that is taken."""
        return ServiceError(409, f"{self.noun}Exists", f"{self.words} already exists.")

    def in_training(self) -> ServiceError:
        """Return the error for what must wait until training is over."""
        message = f"{self.words} is under training."
        return ServiceError(409, f"{self.noun}TrainingNotFinished", message)

    def not_trained(self, status: int) -> ServiceError:
        """Return the error for a container that never was trained."""
        return ServiceError(status, f"{self.noun}NotTrained", f"{self.words} not trained.")

    def too_many(self) -> ServiceError:
        """Return the error for one container too many."""
        if self.has_persons:
            return quota(f"{self.words} number reached subscription level limit.")
        return quota(f"{self.words.title()} number reached limit.")


def quota(message: str = "Persisted face number reached limit.") -> ServiceError:
    """Return the error for a quota that is used up, by default that of faces."""
    return ServiceError(403, "QuotaExceeded", message)


LARGE_PERSON_GROUP = Kind(
    "largepersongroups",
    "LargePersonGroup",
    "Large person group",
    has_persons=True,
    trains=True,
    containers_max=1_000_000,
    members_max=1_000_000,
)
PERSON_GROUP = Kind(
    "persongroups",
    "PersonGroup",
    "Person group",
    has_persons=True,
    trains=True,
    containers_max=1_000,
    members_max=1_000,
)
LARGE_FACE_LIST = Kind(
    "largefacelists",
    "LargeFaceList",
    "Large face list",
    has_persons=False,
    trains=True,
    containers_max=1_000_000,
    members_max=1_000_000,
)
FACE_LIST = Kind(
    "facelists",
    "FaceList",
    "Face list",
    has_persons=False,
    trains=False,
    containers_max=64,
    members_max=1_000,
)
KINDS = {kind.path: kind for kind in (LARGE_PERSON_GROUP, PERSON_GROUP, LARGE_FACE_LIST, FACE_LIST)}
