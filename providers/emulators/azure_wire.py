"""Azure Face on the wire: its error bodies, and what it accepts in queries and JSON bodies.

Texts: learn.microsoft.com, "Azure AI Face API error codes" (2025-08-21).
"""

import json
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

RECOGNITION_MODELS = tuple(f"recognition_0{n}" for n in (1, 2, 3, 4))
DETECTION_MODELS = tuple(f"detection_0{n}" for n in (1, 2, 3))
_CONTAINER_ID = re.compile(r"[a-z0-9\-_]{1,64}")
_NAME_MAX = 128
_USER_DATA_MAX = 16384
_LIST_MAX = 1000


class ServiceError(Exception):
    """An answer with an error status. `inner` is the error that it wraps."""

    def __init__(
        self, status: int, code: str, message: str, inner: "ServiceError | None" = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body: dict[str, Any] = {"code": code, "message": message}
        if inner:
            self.body["innererror"] = inner.body

    def response(self, retry_after_s: float | None = None) -> Response:
        """Return the error as the service words it."""
        headers = {"x-ms-error-code": self.code}
        if retry_after_s is not None:
            headers["Retry-After"] = str(math.ceil(retry_after_s))
        return JSONResponse({"error": self.body}, self.status, headers)


def bad_argument(message: str) -> ServiceError:
    """Return the error for a request that is not well-formed."""
    return ServiceError(400, "BadArgument", message)


def is_container_id(text: str) -> bool:
    """Tell whether a text can be the id of a group or list."""
    return _CONTAINER_ID.fullmatch(text) is not None


def as_uuid(text: object) -> str | None:
    """Return an id that the service made, as the service writes it; None if it cannot be one."""
    try:
        return str(uuid.UUID(text)) if isinstance(text, str) else None
    except ValueError:
        return None


async def json_body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object that a request carries."""
    try:
        document = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise bad_argument("JSON parsing error.") from error
    if not isinstance(document, dict):
        raise bad_argument("Request body is invalid.")
    return document


def text_field(body: Mapping[str, Any], field: str, *, longest: int) -> str | None:
    """Return a text field, None if it is left out or null."""
    text = body.get(field)
    if text is None:
        return None
    # Half a surrogate pair is valid JSON, but no text that can be stored.
    if not isinstance(text, str) or _has_surrogate(text):
        raise bad_argument("Request body is invalid.")
    if len(text) > longest:
        raise bad_argument(f"'{field}' is too long.")
    return text


def name_and_user_data(
    body: Mapping[str, Any], *, updating: bool = False
) -> tuple[str | None, str | None]:
    """Return the two fields that containers and persons have; an update may leave out one."""
    name = text_field(body, "name", longest=_NAME_MAX)
    user_data = text_field(body, "userData", longest=_USER_DATA_MAX)
    if updating and not name and not user_data:
        raise bad_argument("Both 'name' and 'userData' are empty.")
    if not updating and not name:
        raise bad_argument("'name' is empty.")
    return name, user_data


def model(text: str | None, known: tuple[str, ...], field: str) -> str:
    """Return a model's name; the service's default is the oldest one."""
    if text and text not in known:
        raise bad_argument(f"'{field}' is invalid.")
    return text or known[0]


def flag(request: Request, field: str, *, default: bool) -> bool:
    """Return a boolean of the query."""
    text = request.query_params.get(field)
    if not text:
        return default
    if text.lower() not in {"true", "false"}:
        raise bad_argument(f"'{field}' is invalid.")
    return text.lower() == "true"


def page(request: Request) -> tuple[str, int]:
    """Return the id after which a listing starts and how many items it may have."""
    start = request.query_params.get("start", "")
    if len(start) > 64:
        raise bad_argument("'start' is too long.")
    top = request.query_params.get("top") or str(_LIST_MAX)
    if not _is_digits(top) or not 1 <= int(top) <= _LIST_MAX:
        raise bad_argument("'top' is invalid.")
    return start, int(top)


def number(
    body: Mapping[str, Any], field: str, *, default: float, low: float, high: float
) -> float:
    """Return a number of a JSON body that must lie within a range."""
    value = body.get(field)
    if value is None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise bad_argument(f"The argument {field} is not valid.")
    return float(value)


def whole_number(request: Request, field: str, *, default: int, low: int, high: int) -> int:
    """Return a whole number of the query that must lie within a range."""
    text = request.query_params.get(field)
    if not text:
        return default
    if not _is_digits(text) or not low <= int(text) <= high:
        raise bad_argument(f"'{field}' is invalid.")
    return int(text)


def face_ids(body: Mapping[str, Any], *, low: int, high: int) -> Sequence[str]:
    """Return the field `faceIds`, between `low` and `high` of them."""
    listed = body.get("faceIds")
    if not isinstance(listed, list) or not low <= len(listed) <= high:
        raise bad_argument("The length of faceIds is not in a valid range.")
    found = [as_uuid(face_id) for face_id in listed]
    if not all(found):
        raise bad_argument("Face ID is invalid.")
    return [face_id for face_id in found if face_id]


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)
