"""Face++ on the wire: the fields of a request, the arguments in them, and the error bodies.

Texts: the error tables of console.faceplusplus.com, documents 4888373 (detect), 4888381 (search)
and 4888391 (FaceSet).
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

REQUEST_BYTES_MAX = 8 * 1024 * 1024
"""The documents say 2 MB, yet compare takes two pictures of 2 MB each, also as base64."""

Answer = dict[str, Any]

_NUMBER = re.compile(r"[0-9]{1,9}")
_FORBIDDEN = frozenset("^@,&=*'\"")
_OUTER_ID_MAX = 255
_DISPLAY_NAME_MAX = 256
_TAGS_MAX = 255
_USER_DATA_BYTES_MAX = 16 * 1024


class ServiceError(Exception):
    """An answer with an error status, with request_id and time_used if it is `numbered`."""

    def __init__(self, status: int, message: str, *, numbered: bool = True) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.numbered = numbered


@dataclass(frozen=True, slots=True)
class Fields:
    """What a request carries, by field name. An empty field counts as one that was left out."""

    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a text field, None if it was left out."""
        return self.texts.get(name)

    def file(self, name: str) -> bytes | None:
        """Return an uploaded file, None if there is none.

        A part without a file name is text to form parsers: a picture's bytes are no UTF-8 and so
        came through as Latin-1.
        """
        text = self.texts.get(name)
        return self.files.get(name) if text is None else text.encode("latin-1", "replace")


async def read_fields(request: Request) -> Fields:
    """Return the fields of the query and of the form; a form that cannot be read has none."""
    texts = dict(request.query_params)
    files: dict[str, bytes] = {}
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        # Starlette takes what is not percent-encoded for Latin-1; `curl -d` sends it as UTF-8.
        body = (await request.body()).decode(errors="replace")
        texts |= dict(parse_qsl(body, keep_blank_values=True))
    else:
        await _read_multipart(request, texts, files)
    return Fields(
        {name: text for name, text in texts.items() if text},
        {name: data for name, data in files.items() if data},
    )


async def _read_multipart(request: Request, texts: dict[str, str], files: dict[str, bytes]) -> None:
    with contextlib.suppress(MultiPartException):
        async with request.form(max_part_size=REQUEST_BYTES_MAX) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files[name] = await value.read()
                else:
                    texts[name] = value


def missing(*names: str) -> ServiceError:
    """Return the error for arguments that are needed, or one of which is."""
    return ServiceError(400, f"MISSING_ARGUMENTS: {', '.join(names)}")


def bad(name: str) -> ServiceError:
    """Return the error for an argument that cannot be understood."""
    return ServiceError(400, f"BAD_ARGUMENTS: {name}")


def required(fields: Fields, name: str) -> str:
    """Return a text field that must be there."""
    text = fields.text(name)
    if text is None:
        raise missing(name)
    return text


def whole_number(fields: Fields, name: str, *, default: int, low: int, high: int) -> int:
    """Return a whole number that must lie within a range."""
    text = fields.text(name)
    if text is None:
        return default
    if _NUMBER.fullmatch(text) is None or not low <= int(text) <= high:
        raise bad(name)
    return int(text)


def face_tokens(fields: Fields, *, most: int) -> list[str]:
    """Return the tokens of a comma-separated field, each once."""
    text = required(fields, "face_tokens")
    tokens = list(dict.fromkeys(token.strip() for token in text.split(",") if token.strip()))
    if not 1 <= len(tokens) <= most:
        raise ServiceError(400, "INVALID_FACE_TOKENS_SIZE")
    return tokens


def label(fields: Fields, name: str) -> str | None:
    """Return an outer_id, new_outer_id or user_id, None if it was left out."""
    return _checked(fields, name, longest=_OUTER_ID_MAX)


def display_name(fields: Fields) -> str | None:
    """Return a FaceSet's name, None if it was left out."""
    return _checked(fields, "display_name", longest=_DISPLAY_NAME_MAX)


def tags(fields: Fields) -> str | None:
    """Return a FaceSet's tags, separated by commas, None if they were left out."""
    return _checked(fields, "tags", longest=_TAGS_MAX, allowed=",")


def user_data(fields: Fields) -> str | None:
    """Return a FaceSet's user data, None if it was left out."""
    text = _checked(fields, "user_data", longest=_USER_DATA_BYTES_MAX)
    if text is not None and len(text.encode()) > _USER_DATA_BYTES_MAX:
        raise bad("user_data")
    return text


def refuse_paid(fields: Fields, *names: str) -> None:
    """Refuse the parameters that a trial key may not use; 0 and nothing are no use."""
    for name in names:
        if fields.text(name) not in {None, "0"}:
            raise ServiceError(403, f"INSUFFICIENT_PERMISSION:{name}")


def _checked(fields: Fields, name: str, *, longest: int, allowed: str = "") -> str | None:
    text = fields.text(name)
    if text is not None and (len(text) > longest or (_FORBIDDEN - set(allowed)) & set(text)):
        raise bad(name)
    return text
