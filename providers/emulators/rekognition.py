"""An Amazon Rekognition account: signature, permission, and every operation's handler.

Operations: service model of 2016-06-27, as far as faces, collections and users go.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from audit.types import Recogniser
from providers.emulators.calibration import Calibration
from providers.emulators.options import Options
from providers.emulators.recognition import FaceFinder
from providers.emulators.rekognition_collections import Collections
from providers.emulators.rekognition_compare import Comparison
from providers.emulators.rekognition_faces import Faces
from providers.emulators.rekognition_shapes import REQUESTS
from providers.emulators.rekognition_store import Face, RekognitionStore
from providers.emulators.rekognition_user_search import UserSearch
from providers.emulators.rekognition_users import Users
from providers.emulators.rekognition_users_store import UserStore
from providers.emulators.rekognition_validation import checked
from providers.emulators.rekognition_wire import (
    ACCOUNT,
    Call,
    ServiceError,
    answer,
    json_body,
    signer,
    target,
)

Handler = Callable[[Call], Awaitable[dict[str, Any]]]

UNKNOWN = "Unknown"
_FAILURES = {
    429: ServiceError("ProvisionedThroughputExceededException", "Provisioned Rate exceeded."),
    500: ServiceError("InternalServerError", "Internal server error", 500),
    503: ServiceError("ServiceUnavailableException", "Service Unavailable", 503),
}


class RekognitionEmulator:
    """Answers as Amazon Rekognition does, with a local recogniser behind it."""

    def __init__(self, recogniser: Recogniser, calibration: Calibration, options: Options) -> None:
        self._options = options
        self._store = RekognitionStore(options.state, recogniser.name)
        self._users = UserStore(self._store)
        self._handlers = self._operations(FaceFinder(recogniser), calibration)

    @property
    def operations(self) -> frozenset[str]:
        """The names of all operations."""
        return frozenset(self._handlers)

    def operation(self, request: Request) -> str:
        """Return the name of the operation that a request asks for."""
        named = target(request)
        return named if named is not None and named in self._handlers else UNKNOWN

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request without a signature by a known key."""
        try:
            key, _ = signer(request)
        except ServiceError as error:
            return error.response()
        if self._options.keys is None or key in self._options.keys:
            return None
        message = "The security token included in the request is invalid."
        return ServiceError("UnrecognizedClientException", message).response()

    async def handle(self, request: Request) -> Response:
        """Carry out an operation and return its answer, be it an error."""
        operation = self.operation(request)
        if operation == UNKNOWN:
            message = f"Unknown operation: {target(request) or request.url.path}"
            return ServiceError("UnknownOperationException", message).response()
        if self._options.gated:
            return _denied(operation).response()
        try:
            parameters = checked(REQUESTS[operation], await json_body(request))
            _, region = signer(request)
            return answer(await self._handlers[operation](Call(region, parameters)))
        except ServiceError as error:
            return error.response()

    def failure(self, status: int, retry_after_s: float | None) -> Response:
        """Return the answer when it throttles (429: HTTP 400), fails (500) or is down (503)."""
        return _FAILURES[status].response(retry_after_s)

    def galleries(self) -> list[dict[str, Any]]:
        """Return all that is stored: persons are users, and external ids of faces without one."""
        return [
            {"gallery": collection.id, "persons": self._persons(collection.number)}
            for collection in self._store.collections()
        ]

    def clear(self) -> None:
        """Forget all that is stored."""
        self._store.clear()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _persons(self, collection: int) -> list[dict[str, Any]]:
        faces: dict[str, list[Face]] = {user.id: [] for user in self._users.users(collection)}
        for face in self._store.faces(collection):
            faces.setdefault(face.user or face.external_id or "", []).append(face)
        return [
            {
                "person": person,
                "person_id": person,
                "faces": [{"face_id": face.id, "external_id": face.external_id} for face in own],
            }
            for person, own in faces.items()
        ]

    def _operations(self, finder: FaceFinder, calibration: Calibration) -> Mapping[str, Handler]:
        store, users, options = self._store, self._users, self._options
        collections = Collections(store, users, options.clock)
        faces = Faces(store, finder, calibration, options.faces_max)
        people = Users(store, users, calibration, options)
        search = UserSearch(store, users, finder, calibration, options)
        comparison = Comparison(finder, calibration)
        return {
            "CreateCollection": collections.create,
            "DescribeCollection": collections.describe,
            "ListCollections": collections.list_all,
            "DeleteCollection": collections.delete,
            "IndexFaces": faces.index,
            "ListFaces": faces.list_all,
            "DeleteFaces": faces.delete,
            "SearchFaces": faces.search,
            "SearchFacesByImage": faces.search_by_image,
            "CreateUser": people.create,
            "ListUsers": people.list_all,
            "DeleteUser": people.delete,
            "AssociateFaces": people.associate,
            "DisassociateFaces": people.disassociate,
            "SearchUsers": search.search,
            "SearchUsersByImage": search.search_by_image,
            "CompareFaces": comparison.compare,
            "DetectFaces": comparison.detect,
        }


def _denied(operation: str) -> ServiceError:
    user = f"arn:aws:iam::{ACCOUNT}:user/audit"
    message = f"User: {user} is not authorized to perform: rekognition:{operation}"
    return ServiceError("AccessDeniedException", message)
