"""An Azure Face resource: key, approval, and the answers to all operations."""

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from audit.types import Recogniser
from providers.emulators.azure_containers import Additions, Containers
from providers.emulators.azure_detect import Detection
from providers.emulators.azure_kinds import KINDS, Kind
from providers.emulators.azure_lists import ListFaces
from providers.emulators.azure_operations import (
    Operation,
    container_operations,
    find_operation,
    list_operations,
    operation,
    person_operations,
)
from providers.emulators.azure_persons import Persons
from providers.emulators.azure_recognition import Recognition
from providers.emulators.azure_similar import Similarity
from providers.emulators.azure_store import AzureStore, Container, Face, Person
from providers.emulators.azure_wire import ServiceError, flag
from providers.emulators.calibration import Calibration
from providers.emulators.options import Options
from providers.emulators.recognition import FaceFinder

UNKNOWN = "Unknown"
_FAILURES = {
    429: ServiceError(429, "429", "Rate limit is exceeded."),
    500: ServiceError(500, "InternalServerError", "Internal server error."),
    503: ServiceError(503, "ServiceUnavailable", "Service is unavailable, please try later."),
}
_NO_KEY = ServiceError(
    401,
    "401",
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
    "valid key for an active subscription and use a correct regional API endpoint for your "
    "resource.",
)
_NOT_APPROVED = ServiceError(
    403,
    "UnsupportedFeature",
    "Feature is not supported, missing approval for one or more of the following features: "
    "Identification,Verification. Please apply for access at https://aka.ms/facerecognition",
)
_NOT_APPROVED_IN_V1_0 = ServiceError(
    403, "InvalidRequest", "Invalid request has been sent.", inner=_NOT_APPROVED
)
"""[?] Which version wraps the refusal is unpublished; users of v1.0 saw this outer code."""

_NEED_APPROVAL = {"FindSimilar", "Group", "Identify", "Verify"}
_NO_RESOURCE = ServiceError(404, "404", "Resource not found")


class AzureEmulator:
    """Answers as an Azure Face resource does, with a local recogniser behind it."""

    def __init__(self, recogniser: Recogniser, calibration: Calibration, options: Options) -> None:
        self._options = options
        self._store = AzureStore(options.state, recogniser.name)
        finder = FaceFinder(recogniser)
        self._table = _faces_operations(self._store, finder, calibration, options)
        additions = Additions()
        for kind in KINDS.values():
            self._table += _kind_operations(kind, self._store, finder, additions, options)

    @property
    def operations(self) -> frozenset[str]:
        """The names of all operations."""
        return frozenset(operation.name for operation in self._table)

    def operation(self, request: Request) -> str:
        """Return the name of the operation that a request asks for."""
        found = find_operation(self._table, request)
        return found.name if found else UNKNOWN

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request without a valid key."""
        key, keys = _key(request), self._options.keys
        known = key in keys if keys is not None else bool(key)
        return None if known else _stamped(_NO_KEY.response())

    async def handle(self, request: Request) -> Response:
        """Carry out an operation and return its answer, be it an error."""
        found = find_operation(self._table, request)
        try:
            refused = self._refused(found, request)
            if found is None or refused is not None:
                return _stamped((refused or _NO_RESOURCE).response())
            return _stamped(await found.handler(request))
        except ServiceError as error:
            return _stamped(error.response())

    def failure(self, status: int, retry_after_s: float | None) -> Response:
        """Return the answer with status 429, 500 or 503."""
        return _stamped(_FAILURES[status].response(retry_after_s))

    def galleries(self) -> list[dict[str, Any]]:
        """Return all that is stored, without embeddings: groups by person, lists by face."""
        return [
            self._shown(kind, container)
            for kind in KINDS.values()
            for container in self._store.containers(kind.path)
        ]

    def clear(self) -> None:
        """Forget all that is stored."""
        self._store.clear()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _refused(self, found: Operation | None, request: Request) -> ServiceError | None:
        """Return why an operation is not for an account without Microsoft's approval."""
        if found is None or not self._options.gated:
            return None
        asks_id = found.name == "Detect" and flag(request, "returnFaceId", default=True)
        if not asks_id and found.name not in _NEED_APPROVAL:
            return None
        old = request.path_params["version"].lower() == "v1.0"
        return _NOT_APPROVED_IN_V1_0 if old else _NOT_APPROVED

    def _shown(self, kind: Kind, container: Container) -> dict[str, Any]:
        persons = [self._shown_person(person) for person in self._store.persons(container.key)]
        shown: dict[str, Any] = {"gallery": container.id, "persons": persons}
        if not kind.has_persons:
            shown["faces"] = _shown_faces(self._store.faces_of_list(container.key))
        return shown

    def _shown_person(self, person: Person) -> dict[str, Any]:
        faces = self._store.faces_of_person(person.id)
        return {"person": person.name, "person_id": person.id, "faces": _shown_faces(faces)}


def _shown_faces(faces: list[Face]) -> list[dict[str, Any]]:
    return [{"face_id": face.id, "user_data": face.user_data} for face in faces]


def _key(request: Request) -> str:
    """Return the key of the resource or a token of Microsoft Entra ID; both are secrets."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return request.headers.get("Ocp-Apim-Subscription-Key", "") or (
        token.strip() if scheme.lower() == "bearer" else ""
    )


def _stamped(answer: Response) -> Response:
    """Give an answer the id that Microsoft's support asks for."""
    answer.headers["apim-request-id"] = str(uuid.uuid4())
    return answer


def _faces_operations(
    store: AzureStore, finder: FaceFinder, calibration: Calibration, options: Options
) -> list[Operation]:
    detection = Detection(store.detected, finder, options.clock)
    recognition = Recognition(store, calibration, options.clock, options.matching)
    similarity = Similarity(store, calibration, options.clock)
    return [
        operation("Detect", "POST", "/detect", detection.detect),
        operation("Identify", "POST", "/identify", recognition.identify),
        operation("Verify", "POST", "/verify", recognition.verify),
        operation("FindSimilar", "POST", "/findsimilars", similarity.find_similar),
        operation("Group", "POST", "/group", similarity.group),
    ]


def _kind_operations(
    kind: Kind, store: AzureStore, finder: FaceFinder, additions: Additions, options: Options
) -> list[Operation]:
    containers = Containers(kind, store, additions, options)
    operations = list(container_operations(kind, containers))
    if kind.has_persons:
        persons = Persons(kind, store, finder, additions, options)
        return operations + list(person_operations(kind, persons))
    faces = ListFaces(kind, store, finder, additions, options)
    return operations + list(list_operations(kind, faces))
