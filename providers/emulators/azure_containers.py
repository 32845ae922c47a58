"""Groups and lists themselves, whatever their kind: create, read, update, delete, train."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from providers.emulators.azure_kinds import KINDS, Kind, quota
from providers.emulators.azure_store import AzureStore, Container, Face
from providers.emulators.azure_wire import (
    RECOGNITION_MODELS,
    ServiceError,
    flag,
    is_container_id,
    json_body,
    model,
    name_and_user_data,
    page,
    text_field,
)
from providers.emulators.log import timestamp
from providers.emulators.options import Options

_WITHOUT_OPERATION_LOCATION = "v1.0"
"""The version whose published example of training answers with the bare status 202."""


class Additions:
    """The containers and persons to which a face is being added while its photo is looked at."""

    def __init__(self) -> None:
        self._in_progress: Counter[str] = Counter()

    @contextlib.contextmanager
    def to(self, *resources: str) -> Iterator[None]:
        """Hold resources (names of our own making) meanwhile."""
        self._in_progress.update(resources)
        try:
            yield
        finally:
            self._in_progress.subtract(resources)

    def refuse_deletion(self, resource: str) -> None:
        """Raise the service's 409 for a resource that is held."""
        if self._in_progress[resource] > 0:
            message = f"There is a conflict operation on resource {resource}, please try later."
            raise ServiceError(409, "ConcurrentOperationConflict", message)


def find_container(store: AzureStore, kind: Kind, request: Request) -> Container:
    """Return the container that a path names."""
    name = request.path_params["container"]
    if not is_container_id(name):
        raise kind.not_found(404, f"{kind.words} ID is invalid.")
    container = store.container(kind.path, name)
    if container is None:
        raise kind.not_found(404)
    return container


def refuse_while_training(container: Container, now: float) -> None:
    """Raise the service's 409 while a container is being trained."""
    if container.is_training(now):
        raise KINDS[container.kind].in_training()


def refuse_when_account_is_full(store: AzureStore, options: Options) -> None:
    """Raise the service's 403 when the resource holds all the faces that it may."""
    if options.faces_max is not None and store.count_faces() >= options.faces_max:
        raise quota()


def resource_name(container: Container, person: str | None = None) -> str:
    """Return the path of a container or person below the version."""
    name = f"{container.kind}/{container.id}"
    return f"{name}/persons/{person}" if person else name


def shown_face(face: Face) -> dict[str, Any]:
    """Return a persisted face as the service shows it."""
    return {"persistedFaceId": face.id, "userData": face.user_data}


class Containers:
    """The operations on the containers of one kind."""

    def __init__(
        self, kind: Kind, store: AzureStore, additions: Additions, options: Options
    ) -> None:
        self._kind = kind
        self._store = store
        self._additions = additions
        self._clock = options.clock
        self._training_s = options.training_s

    async def create(self, request: Request) -> Response:
        """PUT /{kind}/{container}."""
        kind, name = self._kind, request.path_params["container"]
        if not is_container_id(name):
            raise kind.bad_id()
        body = await json_body(request)
        fields = name_and_user_data(body)
        chosen = text_field(body, "recognitionModel", longest=64)
        kept = model(chosen, RECOGNITION_MODELS, "recognitionModel")
        if self._store.container(kind.path, name):
            raise kind.exists()
        if self._store.count_containers(kind.path) >= kind.containers_max:
            raise kind.too_many()
        self._store.add_container(kind.path, name, (*fields, kept), self._clock())
        return Response()

    async def get(self, request: Request) -> Response:
        """GET /{kind}/{container}: a face list with all its faces."""
        container = find_container(self._store, self._kind, request)
        shown = self._shown(request, container)
        if not self._kind.has_persons and not self._kind.trains:
            faces = self._store.faces_of_list(container.key)
            shown["persistedFaces"] = [shown_face(face) for face in faces]
        return JSONResponse(shown)

    async def list_page(self, request: Request) -> Response:
        """GET /{kind}: a page of containers."""
        containers = self._store.containers(self._kind.path, *page(request))
        return JSONResponse([self._shown(request, container) for container in containers])

    async def list_all(self, request: Request) -> Response:
        """GET /facelists: all of them, as there are few."""
        containers = self._store.containers(self._kind.path)
        return JSONResponse([self._shown(request, container) for container in containers])

    async def update(self, request: Request) -> Response:
        """PATCH /{kind}/{container}."""
        container = self._writable(request)
        changes = name_and_user_data(await json_body(request), updating=True)
        self._store.update_container(container.key, *changes)
        return Response()

    async def delete(self, request: Request) -> Response:
        """DELETE /{kind}/{container}."""
        container = self._writable(request)
        self._additions.refuse_deletion(resource_name(container))
        self._store.delete_container(container.key)
        return Response()

    async def train(self, request: Request) -> Response:
        """POST /{kind}/{container}/train."""
        now = self._clock()
        container = self._writable(request)
        self._store.start_training(container, now, now + self._training_s)
        if request.path_params["version"].lower() == _WITHOUT_OPERATION_LOCATION:
            return Response(status_code=202)
        path = request.url.path.rstrip("/") + "ing"
        location = str(request.url.replace(path=path, query=""))
        return Response(status_code=202, headers={"operation-Location": location})

    async def training(self, request: Request) -> Response:
        """GET /{kind}/{container}/training."""
        container = find_container(self._store, self._kind, request)
        began, ends = container.training_began, container.training_ends
        if began is None or ends is None:
            raise self._kind.not_trained(404)
        now = self._clock()
        running = container.is_training(now)
        failed = bool(container.training_failed) and not running
        succeeded = container.trained(now)
        status: dict[str, Any] = {
            "status": "running" if running else "failed" if failed else "succeeded",
            "createdDateTime": timestamp(container.created),
            "lastActionDateTime": timestamp(began if running else ends),
            "lastSuccessfulTrainingDateTime": None if succeeded is None else timestamp(succeeded),
            "message": "There is no persisted face to train on." if failed else None,
        }
        return JSONResponse(status)

    def _writable(self, request: Request) -> Container:
        container = find_container(self._store, self._kind, request)
        refuse_while_training(container, self._clock())
        return container

    def _shown(self, request: Request, container: Container) -> dict[str, Any]:
        shown: dict[str, Any] = {
            self._kind.id_field: container.id,
            "name": container.name,
            "userData": container.user_data,
        }
        with_model = flag(request, "returnRecognitionModel", default=False)
        return shown | ({"recognitionModel": container.model} if with_model else {})
