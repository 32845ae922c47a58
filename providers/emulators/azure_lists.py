"""The persisted faces of a face list of either kind."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from providers.emulators.azure_containers import (
    Additions,
    find_container,
    refuse_when_account_is_full,
    refuse_while_training,
    resource_name,
    shown_face,
)
from providers.emulators.azure_faces import FACE_USER_DATA_MAX, new_face
from providers.emulators.azure_kinds import Kind, quota
from providers.emulators.azure_store import AzureStore, Container, Face
from providers.emulators.azure_wire import ServiceError, as_uuid, json_body, page, text_field
from providers.emulators.options import Options
from providers.emulators.recognition import FaceFinder


class ListFaces:
    """The operations below /{kind}/{container}/persistedfaces."""

    def __init__(
        self,
        kind: Kind,
        store: AzureStore,
        finder: FaceFinder,
        additions: Additions,
        options: Options,
    ) -> None:
        self._kind = kind
        self._store = store
        self._finder = finder
        self._additions = additions
        self._options = options

    async def add(self, request: Request) -> Response:
        """POST .../persistedfaces."""
        container = self._writable(request)
        self._refuse_too_many(container)
        with self._additions.to(resource_name(container)):
            face = await new_face(self._finder, request)
        # Training may have begun, or other faces arrived, while the photo was looked at.
        container = self._writable(request)
        self._refuse_too_many(container)
        stored = self._store.add_face(container.key, None, face.user_data, face.embedding)
        return JSONResponse({"persistedFaceId": stored})

    async def list_page(self, request: Request) -> Response:
        """GET .../persistedfaces."""
        container = find_container(self._store, self._kind, request)
        faces = self._store.faces_of_list(container.key, *page(request))
        return JSONResponse([shown_face(face) for face in faces])

    async def get(self, request: Request) -> Response:
        """GET .../persistedfaces/{face}."""
        container = find_container(self._store, self._kind, request)
        return JSONResponse(shown_face(self._find(request, container)))

    async def update(self, request: Request) -> Response:
        """PATCH .../persistedfaces/{face}."""
        face = self._find(request, self._writable(request))
        body = await json_body(request)
        self._store.update_face(face.id, text_field(body, "userData", longest=FACE_USER_DATA_MAX))
        return Response()

    async def delete(self, request: Request) -> Response:
        """DELETE .../persistedfaces/{face}."""
        self._store.delete_face(self._find(request, self._writable(request)).id)
        return Response()

    def _writable(self, request: Request) -> Container:
        container = find_container(self._store, self._kind, request)
        refuse_while_training(container, self._options.clock())
        return container

    def _refuse_too_many(self, container: Container) -> None:
        if self._store.count_faces(container.key) >= self._kind.members_max:
            raise quota()
        refuse_when_account_is_full(self._store, self._options)

    def _find(self, request: Request, container: Container) -> Face:
        wanted = as_uuid(request.path_params["face"])
        if wanted is None:
            raise ServiceError(404, "PersistedFaceNotFound", "Persisted face ID is invalid.")
        face = self._store.face(container.key, None, wanted)
        if face is None:
            raise ServiceError(404, "PersistedFaceNotFound", self._not_found(wanted))
        return face

    def _not_found(self, face: str) -> str:
        """Return the text that the service has for each kind of list."""
        if self._kind.trains:
            return f"Large Face List Face {face} is not found."
        return "Persisted face is not found."
