"""Persons of a group of either kind and their persisted faces."""

from typing import Any

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
from providers.emulators.azure_kinds import FACES_PER_PERSON, Kind, quota
from providers.emulators.azure_store import AzureStore, Container, Face, Person
from providers.emulators.azure_wire import (
    ServiceError,
    as_uuid,
    json_body,
    name_and_user_data,
    page,
    text_field,
)
from providers.emulators.options import Options
from providers.emulators.recognition import FaceFinder


class Persons:
    """The operations below /{kind}/{container}/persons."""

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

    async def create(self, request: Request) -> Response:
        """POST .../persons."""
        group = find_container(self._store, self._kind, request)
        refuse_while_training(group, self._options.clock())
        name, user_data = name_and_user_data(await json_body(request))
        if self._store.count_persons(group.key) >= self._kind.members_max:
            raise quota(f"Person number reached {self._kind.words.lower()} level limit.")
        person = self._store.add_person(group.key, name or "", user_data)
        return JSONResponse({"personId": person})

    async def get(self, request: Request) -> Response:
        """GET .../persons/{person}."""
        _, person = self._find(request)
        return JSONResponse(_shown(person))

    async def list_page(self, request: Request) -> Response:
        """GET .../persons."""
        group = find_container(self._store, self._kind, request)
        persons = self._store.persons(group.key, *page(request))
        return JSONResponse([_shown(person) for person in persons])

    async def update(self, request: Request) -> Response:
        """PATCH .../persons/{person}."""
        _, person = self._find(request, writing=True)
        changes = name_and_user_data(await json_body(request), updating=True)
        self._store.update_person(person.id, *changes)
        return Response()

    async def delete(self, request: Request) -> Response:
        """DELETE .../persons/{person}."""
        group, person = self._find(request, writing=True)
        self._additions.refuse_deletion(resource_name(group, person.id))
        self._store.delete_person(person.id)
        return Response()

    async def add_face(self, request: Request) -> Response:
        """POST .../persons/{person}/persistedfaces."""
        group, person = self._find(request, writing=True)
        self._refuse_too_many(person)
        with self._additions.to(resource_name(group), resource_name(group, person.id)):
            face = await new_face(self._finder, request)
        # Training may have begun, or other faces arrived, while the photo was looked at.
        group, person = self._find(request, writing=True)
        self._refuse_too_many(person)
        stored = self._store.add_face(group.key, person.id, face.user_data, face.embedding)
        return JSONResponse({"persistedFaceId": stored})

    async def get_face(self, request: Request) -> Response:
        """GET .../persistedfaces/{face}."""
        return JSONResponse(shown_face(self._find_face(request)))

    async def update_face(self, request: Request) -> Response:
        """PATCH .../persistedfaces/{face}."""
        face = self._find_face(request, writing=True)
        body = await json_body(request)
        self._store.update_face(face.id, text_field(body, "userData", longest=FACE_USER_DATA_MAX))
        return Response()

    async def delete_face(self, request: Request) -> Response:
        """DELETE .../persistedfaces/{face}."""
        self._store.delete_face(self._find_face(request, writing=True).id)
        return Response()

    def _refuse_too_many(self, person: Person) -> None:
        if len(person.face_ids) >= FACES_PER_PERSON:
            raise quota()
        refuse_when_account_is_full(self._store, self._options)

    def _find(self, request: Request, *, writing: bool = False) -> tuple[Container, Person]:
        group = find_container(self._store, self._kind, request)
        wanted = as_uuid(request.path_params["person"])
        if wanted is None:
            raise ServiceError(404, "PersonNotFound", "Person ID is invalid.")
        person = self._store.person(group.key, wanted)
        if person is None:
            raise ServiceError(404, "PersonNotFound", f"Person {wanted} is not found.")
        if writing:
            refuse_while_training(group, self._options.clock())
        return group, person

    def _find_face(self, request: Request, *, writing: bool = False) -> Face:
        group, person = self._find(request, writing=writing)
        wanted = as_uuid(request.path_params["face"])
        if wanted is None:
            raise ServiceError(404, "PersistedFaceNotFound", "Persisted face ID is invalid.")
        face = self._store.face(group.key, person.id, wanted)
        if face is None:
            message = f"Persisted face {wanted} is not found."
            raise ServiceError(404, "PersistedFaceNotFound", message)
        return face


def _shown(person: Person) -> dict[str, Any]:
    return {
        "personId": person.id,
        "name": person.name,
        "userData": person.user_data,
        "persistedFaceIds": list(person.face_ids),
    }
