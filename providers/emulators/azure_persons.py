"""Persons of a large person group and their persisted faces."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from providers.emulators.azure_faces import chosen_face, find_faces, image_body
from providers.emulators.azure_groups import find_group, refuse_while_training
from providers.emulators.azure_store import AzureStore, Person
from providers.emulators.azure_wire import (
    DETECTION_MODELS,
    ServiceError,
    bad_argument,
    json_body,
    model,
    name_and_user_data,
    page,
    text_field,
)
from providers.emulators.recognition import FaceFinder

_FACES_PER_PERSON = 248
_FACE_USER_DATA_MAX = 1024


class Persons:
    """The operations below /largepersongroups/{group}/persons."""

    def __init__(self, store: AzureStore, finder: FaceFinder, clock: Callable[[], float]) -> None:
        self._store = store
        self._finder = finder
        self._clock = clock

    async def create(self, request: Request) -> Response:
        """POST .../persons."""
        gallery = find_group(self._store, request)
        refuse_while_training(gallery, self._clock())
        name, user_data = name_and_user_data(await json_body(request))
        person = self._store.add_person(gallery.id, name or "", user_data)
        return JSONResponse({"personId": person})

    async def get(self, request: Request) -> Response:
        """GET .../persons/{person}."""
        return JSONResponse(_shown(self._find(request)))

    async def list_all(self, request: Request) -> Response:
        """GET .../persons."""
        gallery = find_group(self._store, request)
        persons = self._store.persons(gallery.id, *page(request))
        return JSONResponse([_shown(person) for person in persons])

    async def update(self, request: Request) -> Response:
        """PATCH .../persons/{person}."""
        person = self._find(request, writing=True)
        changes = name_and_user_data(await json_body(request), updating=True)
        self._store.update_person(person.id, *changes)
        return Response()

    async def delete(self, request: Request) -> Response:
        """DELETE .../persons/{person}."""
        self._store.delete_person(self._find(request, writing=True).id)
        return Response()

    async def add_face(self, request: Request) -> Response:
        """POST .../persons/{person}/persistedfaces."""
        query = request.query_params
        person = self._find(request, writing=True)
        model(query.get("detectionModel"), DETECTION_MODELS, "detectionModel")
        user_data = query.get("userData")
        if user_data is not None and len(user_data) > _FACE_USER_DATA_MAX:
            raise bad_argument("'userData' is too long.")
        if len(person.face_ids) >= _FACES_PER_PERSON:
            raise ServiceError(403, "QuotaExceeded", "Persisted face number reached limit.")
        found = await find_faces(self._finder, await image_body(request))
        face = chosen_face(found, query.get("targetFace"))
        # The person may have been deleted, or training begun, while the photo was looked at.
        self._find(request, writing=True)
        stored = self._store.add_face(person.id, user_data, face.embedding)
        return JSONResponse({"persistedFaceId": stored})

    async def get_face(self, request: Request) -> Response:
        """GET .../persistedfaces/{face}."""
        face, user_data = self._find_face(request)
        return JSONResponse({"persistedFaceId": face, "userData": user_data})

    async def update_face(self, request: Request) -> Response:
        """PATCH .../persistedfaces/{face}."""
        face, _ = self._find_face(request, writing=True)
        body = await json_body(request)
        user_data = text_field(body, "userData", longest=_FACE_USER_DATA_MAX)
        self._store.update_face(face, user_data)
        return Response()

    async def delete_face(self, request: Request) -> Response:
        """DELETE .../persistedfaces/{face}."""
        face, _ = self._find_face(request, writing=True)
        self._store.delete_face(face)
        return Response()

    def _find(self, request: Request, *, writing: bool = False) -> Person:
        gallery = find_group(self._store, request)
        wanted = request.path_params["person"]
        person = self._store.person(gallery.id, wanted)
        if person is None:
            raise ServiceError(404, "PersonNotFound", f"Person {wanted} is not found.")
        if writing:
            refuse_while_training(gallery, self._clock())
        return person

    def _find_face(self, request: Request, *, writing: bool = False) -> tuple[str, str | None]:
        person = self._find(request, writing=writing)
        wanted = request.path_params["face"]
        for face, user_data in self._store.faces(person.id):
            if face == wanted:
                return face, user_data
        message = f"Persisted face {wanted} is not found."
        raise ServiceError(404, "PersistedFaceNotFound", message)


def _shown(person: Person) -> dict[str, Any]:
    return {
        "personId": person.id,
        "name": person.name,
        "userData": person.user_data,
        "persistedFaceIds": list(person.face_ids),
    }
