"""A Face++ account over API v3: keys, approval, and every operation's handler."""

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from audit.types import Recogniser
from providers.emulators.calibration import Calibration
from providers.emulators.facepp_faces import Faces
from providers.emulators.facepp_facesets import FaceSets
from providers.emulators.facepp_pictures import Pictures
from providers.emulators.facepp_recognition import Recognition
from providers.emulators.facepp_store import FaceppStore
from providers.emulators.facepp_tasks import Tasks
from providers.emulators.facepp_wire import (
    REQUEST_BYTES_MAX,
    Answer,
    Fields,
    ServiceError,
    read_fields,
    required,
)
from providers.emulators.options import Options
from providers.emulators.recognition import FaceFinder

Handler = Callable[[Fields], Awaitable[Answer]]

UNKNOWN = "unknown"
_PREFIX = "/facepp/v3/"
_SLASHES = re.compile("/+")
_HEADERS = {"Access-Control-Allow-Origin": "*"}
"""Web pages call the service themselves."""

_DOWN = (
    "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n"
    "<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


class FaceppEmulator:
    """Answers as Face++ does, with a local recogniser behind it.

    `Options.matching` has no bearing: the service ranks single faces.
    """

    def __init__(self, recogniser: Recogniser, calibration: Calibration, options: Options) -> None:
        self._options = options
        self._store = FaceppStore(options.state, recogniser.name, options.faces_max)
        self._tasks = Tasks(self._store, options)
        pictures = Pictures(self._store, FaceFinder(recogniser), options.clock)
        self._handlers = _operations(
            Recognition(self._store, pictures, calibration, options.clock),
            FaceSets(self._store, options.clock),
            Faces(self._store, options.clock),
            self._tasks,
        )

    @property
    def operations(self) -> frozenset[str]:
        """The names of all operations: their paths below /facepp/v3/."""
        return frozenset(self._handlers)

    def operation(self, request: Request) -> str:
        """Return the name of the operation that a request asks for."""
        path = _SLASHES.sub("/", request.url.path)
        name = path.removeprefix(_PREFIX).rstrip("/") if path.startswith(_PREFIX) else ""
        return name if request.method == "POST" and name in self._handlers else UNKNOWN

    def refusal(self, request: Request) -> Response | None:  # noqa: ARG002 - the key is in the form
        """Return None: the key is a field of the form, so `handle` looks at it."""
        return None

    async def handle(self, request: Request) -> Response:
        """Carry out an operation and return its answer, be it an error."""
        began = time.monotonic()
        if len(await request.body()) > REQUEST_BYTES_MAX:
            return PlainTextResponse("Request Entity Too Large", 413)
        try:
            answer, status = await self._answer(request), 200
        except ServiceError as error:
            answer, status = {"error_message": error.message}, error.status
            if not error.numbered:
                return JSONResponse(answer, status, _HEADERS)
        return self._numbered(answer, status, began)

    def failure(self, status: int, retry_after_s: float | None) -> Response:  # noqa: ARG002 - the service never says when to come back
        """Return the answer to one call too many (429), a defect (500) or from a gateway (503)."""
        if status == 503:
            return HTMLResponse(_DOWN, status)
        if status == 429:
            answer, status = {"error_message": "CONCURRENCY_LIMIT_EXCEEDED"}, 403
        else:
            answer = {"error_message": "INTERNAL_ERROR"}
        return self._numbered(answer, status, time.monotonic())

    def galleries(self) -> list[dict[str, Any]]:
        """Return all that is stored, by FaceSet and user_id, without embeddings."""
        self._tasks.run_due()
        return [
            {
                "gallery": faceset.outer_id or faceset.token,
                "persons": _persons(self._store.labels(self._store.members(faceset.token))),
            }
            for faceset in self._store.facesets()
        ]

    def clear(self) -> None:
        """Forget all that is stored."""
        self._store.clear()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    async def _answer(self, request: Request) -> Answer:
        name = self.operation(request)
        if name == UNKNOWN:
            raise ServiceError(404, "API_NOT_FOUND", numbered=False)
        fields = await read_fields(request)
        key, _ = required(fields, "api_key"), required(fields, "api_secret")
        if self._options.keys is not None and key not in self._options.keys:
            raise ServiceError(401, "AUTHENTICATION_ERROR")
        if self._options.gated:
            raise ServiceError(403, "AUTHORIZATION_ERROR:Denied by Admin", numbered=False)
        self._tasks.run_due()
        return await self._handlers[name](fields)

    def _numbered(self, answer: Answer, status: int, began: float) -> Response:
        request_id = f"{int(self._options.clock())},{uuid.uuid4()}"
        used_ms = round(1000 * (time.monotonic() - began))
        return JSONResponse(
            answer | {"request_id": request_id, "time_used": used_ms}, status, _HEADERS
        )


def _persons(labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Group faces by user_id, in order of arrival; the service knows no persons of their own."""
    persons: dict[str, list[dict[str, str]]] = {}
    for token, user_id in labels.items():
        persons.setdefault(user_id, []).append({"face_id": token, "user_data": user_id})
    return [
        {"person": user_id, "person_id": user_id, "faces": faces}
        for user_id, faces in persons.items()
    ]


def _operations(
    recognition: Recognition, facesets: FaceSets, faces: Faces, tasks: Tasks
) -> dict[str, Handler]:
    return {
        "detect": recognition.detect,
        "compare": recognition.compare,
        "search": recognition.search,
        "faceset/create": facesets.create,
        "faceset/addface": facesets.add_face,
        "faceset/removeface": facesets.remove_face,
        "faceset/getdetail": facesets.get_detail,
        "faceset/getfacesets": facesets.get_facesets,
        "faceset/update": facesets.update,
        "faceset/delete": facesets.delete,
        "faceset/async/addface": tasks.add_face,
        "faceset/async/removeface": tasks.remove_face,
        "faceset/async/task_status": tasks.status,
        "face/setuserid": faces.set_user_id,
        "face/getdetail": faces.get_detail,
        "face/analyze": faces.analyze,
    }
