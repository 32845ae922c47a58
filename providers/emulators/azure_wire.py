"""Azure Face on the wire: its error bodies, and what it accepts in queries and JSON bodies.

Texts: learn.microsoft.com, "Azure AI Face API error codes" (2025-08-21).
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

RECOGNITION_MODELS = tuple(f"recognition_0{n}" for n in (1, 2, 3, 4))
DETECTION_MODELS = tuple(f"detection_0{n}" for n in (1, 2, 3))
_GROUP_ID = re.compile(r"[a-z0-9\-_]{1,64}")
_NAME_MAX = 128
_USER_DATA_MAX = 16384
_LIST_MAX = 1000


class ServiceError(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def response(self, retry_after_s: float | None = None) -> Response:
        """Return the error as the service words it."""
        headers = {"x-ms-error-code": self.code}
        if retry_after_s is not None:
            headers["Retry-After"] = str(math.ceil(retry_after_s))
        error = {"code": self.code, "message": self.message}
        return JSONResponse({"error": error}, self.status, headers)


def bad_argument(message: str) -> ServiceError:
    """Return the error for a request that is not well-formed."""
    return ServiceError(400, "BadArgument", message)


def is_group_id(text: str) -> bool:
    """Tell whether a text can be the id of a large person group."""
    return _GROUP_ID.fullmatch(text) is not None


async def json_body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object that a request carries."""
    try:
        document = json.loads(await request.body())
    except ValueError as error:
        raise bad_argument("JSON parsing error.") from error
    if not isinstance(document, dict):
        raise bad_argument("Request body is invalid.")
    return document


def text_field(body: Mapping[str, Any], field: str, *, longest: int) -> str | None:
    """Return a text field, None if it is left out or null."""
    text = body.get(field)
    if text is not None and not isinstance(text, str):
        raise bad_argument("Request body is invalid.")
    if text is not None and len(text) > longest:
        raise bad_argument(f"'{field}' is too long.")
    return text


def name_and_user_data(
    body: Mapping[str, Any], *, updating: bool = False
) -> tuple[str | None, str | None]:
    """Return the two fields that groups and persons have; an update may leave out one."""
    name = text_field(body, "name", longest=_NAME_MAX)
    user_data = text_field(body, "userData", longest=_USER_DATA_MAX)
    if updating and not name and not user_data:
        raise bad_argument("Both 'name' and 'userData' are empty.")
    if not updating and not name:
        raise bad_argument("'name' is empty.")
    return name, user_data


def model(text: str | None, known: tuple[str, ...], field: str) -> str:
    """Return a model's name; the service's default is the oldest one."""
    if text is not None and text not in known:
        raise bad_argument(f"'{field}' is invalid.")
    return text or known[0]


def flag(request: Request, field: str, *, default: bool) -> bool:
    """Return a boolean of the query."""
    text = request.query_params.get(field)
    if text is None:
        return default
    if text.lower() not in {"true", "false"}:
        raise bad_argument(f"'{field}' is invalid.")
    return text.lower() == "true"


def page(request: Request) -> tuple[str, int]:
    """Return the id after which a listing starts and how many items it may have."""
    start = request.query_params.get("start", "")
    if len(start) > 64:
        raise bad_argument("'start' is too long.")
    top = request.query_params.get("top", str(_LIST_MAX))
    if not top.isdecimal() or not 1 <= int(top) <= _LIST_MAX:
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
