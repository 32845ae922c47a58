"""An Azure Face resource: key, approval, and every operation's path and handler.

Paths and methods: REST reference v1.2; any version segment is answered alike.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from audit.types import Recogniser
from providers.emulators.azure_groups import Groups
from providers.emulators.azure_persons import Persons
from providers.emulators.azure_recognition import Recognition
from providers.emulators.azure_store import AzureStore
from providers.emulators.azure_wire import ServiceError, flag
from providers.emulators.calibration import Calibration
from providers.emulators.options import Options
from providers.emulators.recognition import FaceFinder

Handler = Callable[[Request], Awaitable[Response]]

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
_NO_RESOURCE = ServiceError(404, "404", "Resource not found")


class AzureEmulator:
    """Answers as an Azure Face resource does, with a local recogniser behind it."""

    def __init__(self, recogniser: Recogniser, calibration: Calibration, options: Options) -> None:
        self._options = options
        self._store = AzureStore(options.state)
        finder = FaceFinder(recogniser)
        groups = Groups(self._store, options)
        persons = Persons(self._store, finder, options.clock)
        recognition = Recognition(self._store, finder, calibration, options.clock, options.matching)
        self._routes = [
            Route("/face/{version}" + path, handler, methods=[method], name=name)
            for name, method, path, handler in _operations(groups, persons, recognition)
        ]

    @property
    def operations(self) -> frozenset[str]:
        """The names of all operations."""
        return frozenset(route.name for route in self._routes)

    def operation(self, request: Request) -> str:
        """Return the name of the operation that a request asks for."""
        route = self._route(request)
        return route.name if route else UNKNOWN

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request without a valid key."""
        key = request.headers.get("Ocp-Apim-Subscription-Key", "")
        keys = self._options.keys
        known = key in keys if keys is not None else bool(key)
        return None if known else _NO_KEY.response()

    async def handle(self, request: Request) -> Response:
        """Carry out an operation and return its answer, be it an error."""
        route = self._route(request)
        try:
            if route is None:
                raise _NO_RESOURCE
            if self._options.gated and _needs_approval(route.name, request):
                raise _NOT_APPROVED
            answer: Response = await route.endpoint(request)
        except ServiceError as error:
            return error.response()
        return answer

    def failure(self, status: int, retry_after_s: float | None) -> Response:
        """Return the answer with status 429, 500 or 503."""
        return _FAILURES[status].response(retry_after_s)

    def galleries(self) -> list[dict[str, Any]]:
        """Return all that is stored, by group and person, without embeddings."""
        return [
            {"gallery": gallery.id, "persons": [self._shown(person) for person in persons]}
            for gallery in self._store.galleries()
            for persons in [self._store.persons(gallery.id)]
        ]

    def clear(self) -> None:
        """Forget all that is stored."""
        self._store.clear()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _shown(self, person: Any) -> dict[str, Any]:
        faces = self._store.faces(person.id)
        return {
            "person": person.name,
            "person_id": person.id,
            "faces": [{"face_id": face, "user_data": data} for face, data in faces],
        }

    def _route(self, request: Request) -> Route | None:
        for route in self._routes:
            match, scope = route.matches(request.scope)
            if match is Match.FULL:
                request.scope["path_params"] = scope["path_params"]
                return route
        return None


def _needs_approval(operation: str, request: Request) -> bool:
    if operation == "Detect":
        return flag(request, "returnFaceId", default=True)
    return operation in {"Identify", "Verify"}


def _operations(
    groups: Groups, persons: Persons, recognition: Recognition
) -> list[tuple[str, str, str, Handler]]:
    group = "/largepersongroups/{group}"
    person = f"{group}/persons/{{person}}"
    face = f"{person}/persistedfaces/{{face}}"
    return [
        ("Detect", "POST", "/detect", recognition.detect),
        ("Identify", "POST", "/identify", recognition.identify),
        ("Verify", "POST", "/verify", recognition.verify),
        ("GetLargePersonGroups", "GET", "/largepersongroups", groups.list_all),
        ("CreateLargePersonGroup", "PUT", group, groups.create),
        ("GetLargePersonGroup", "GET", group, groups.get),
        ("UpdateLargePersonGroup", "PATCH", group, groups.update),
        ("DeleteLargePersonGroup", "DELETE", group, groups.delete),
        ("TrainLargePersonGroup", "POST", f"{group}/train", groups.train),
        ("GetLargePersonGroupTrainingStatus", "GET", f"{group}/training", groups.training),
        ("CreateLargePersonGroupPerson", "POST", f"{group}/persons", persons.create),
        ("GetLargePersonGroupPersons", "GET", f"{group}/persons", persons.list_all),
        ("GetLargePersonGroupPerson", "GET", person, persons.get),
        ("UpdateLargePersonGroupPerson", "PATCH", person, persons.update),
        ("DeleteLargePersonGroupPerson", "DELETE", person, persons.delete),
        ("AddLargePersonGroupPersonFace", "POST", f"{person}/persistedfaces", persons.add_face),
        ("GetLargePersonGroupPersonFace", "GET", face, persons.get_face),
        ("UpdateLargePersonGroupPersonFace", "PATCH", face, persons.update_face),
        ("DeleteLargePersonGroupPersonFace", "DELETE", face, persons.delete_face),
    ]
