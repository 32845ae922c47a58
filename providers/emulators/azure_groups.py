"""Large person groups: create, read, update, delete, train."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from providers.emulators.azure_store import AzureStore, Gallery
from providers.emulators.azure_wire import (
    RECOGNITION_MODELS,
    ServiceError,
    bad_argument,
    flag,
    is_group_id,
    json_body,
    model,
    name_and_user_data,
    page,
    text_field,
)
from providers.emulators.log import timestamp
from providers.emulators.options import Options


def find_group(store: AzureStore, request: Request) -> Gallery:
    """Return the group that a path names."""
    group = request.path_params["group"]
    if not is_group_id(group):
        raise ServiceError(404, "LargePersonGroupNotFound", "Large person group ID is invalid.")
    gallery = store.gallery(group)
    if gallery is None:
        raise ServiceError(404, "LargePersonGroupNotFound", "Large person group is not found.")
    return gallery


def refuse_while_training(gallery: Gallery, now: float) -> None:
    """Raise the service's 409 while a group is being trained."""
    if gallery.training_ends is not None and now < gallery.training_ends:
        code = "LargePersonGroupTrainingNotFinished"
        raise ServiceError(409, code, "Large person group is under training.")


class Groups:
    """The operations on groups themselves."""

    def __init__(self, store: AzureStore, options: Options) -> None:
        self._store = store
        self._clock = options.clock
        self._training_s = options.training_s

    async def create(self, request: Request) -> Response:
        """PUT /largepersongroups/{group}."""
        group = request.path_params["group"]
        if not is_group_id(group):
            raise bad_argument("Large person group ID is invalid.")
        body = await json_body(request)
        name, user_data = name_and_user_data(body)
        chosen = text_field(body, "recognitionModel", longest=64)
        kept = model(chosen, RECOGNITION_MODELS, "recognitionModel")
        if self._store.gallery(group):
            message = "Large person group already exists."
            raise ServiceError(409, "LargePersonGroupExists", message)
        self._store.add_gallery(group, name or "", user_data, kept, self._clock())
        return Response()

    async def get(self, request: Request) -> Response:
        """GET /largepersongroups/{group}."""
        with_model = flag(request, "returnRecognitionModel", default=False)
        return JSONResponse(_shown(find_group(self._store, request), with_model=with_model))

    async def list_all(self, request: Request) -> Response:
        """GET /largepersongroups."""
        with_model = flag(request, "returnRecognitionModel", default=False)
        groups = self._store.galleries(*page(request))
        return JSONResponse([_shown(group, with_model=with_model) for group in groups])

    async def update(self, request: Request) -> Response:
        """PATCH /largepersongroups/{group}."""
        gallery = self._writable(request)
        changes = name_and_user_data(await json_body(request), updating=True)
        self._store.update_gallery(gallery.id, *changes)
        return Response()

    async def delete(self, request: Request) -> Response:
        """DELETE /largepersongroups/{group}."""
        self._store.delete_gallery(self._writable(request).id)
        return Response()

    async def train(self, request: Request) -> Response:
        """POST /largepersongroups/{group}/train."""
        now = self._clock()
        gallery = self._writable(request)
        self._store.start_training(gallery.id, now, now + self._training_s)
        location = str(request.url.replace(path=request.url.path + "ing", query=""))
        return Response(status_code=202, headers={"operation-Location": location})

    async def training(self, request: Request) -> Response:
        """GET /largepersongroups/{group}/training."""
        gallery = find_group(self._store, request)
        began, ends = gallery.training_began, gallery.training_ends
        if began is None or ends is None:
            message = "Large person group not trained."
            raise ServiceError(404, "LargePersonGroupNotTrained", message)
        running = self._clock() < ends
        failed = bool(gallery.training_failed) and not running
        success = gallery.last_success
        status: dict[str, Any] = {
            "status": "running" if running else "failed" if failed else "succeeded",
            "createdDateTime": timestamp(gallery.created),
            "lastActionDateTime": timestamp(began if running else ends),
            "lastSuccessfulTrainingDateTime": None
            if running or success is None
            else timestamp(success),
            "message": "There is no person with a persisted face in the group." if failed else None,
        }
        return JSONResponse(status)

    def _writable(self, request: Request) -> Gallery:
        gallery = find_group(self._store, request)
        refuse_while_training(gallery, self._clock())
        return gallery


def _shown(gallery: Gallery, *, with_model: bool) -> dict[str, Any]:
    shown = {
        "largePersonGroupId": gallery.id,
        "name": gallery.name,
        "userData": gallery.user_data,
    }
    return shown | ({"recognitionModel": gallery.model} if with_model else {})
