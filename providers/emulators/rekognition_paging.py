"""Rekognition's pagination tokens: opaque, and good for the listing that they came from alone."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from providers.emulators.rekognition_wire import ServiceError

_SCOPE_BYTES = 8


class Numbered(Protocol):
    """What is listed in the order of its numbers."""

    @property
    def number(self) -> int:
        """A number from 1."""
        ...


Item = TypeVar("Item", bound=Numbered)


def page(
    parameters: Mapping[str, Any],
    scope: Sequence[object],
    page_max: int,
    read: Callable[[int, int], Sequence[Item]],
) -> tuple[Sequence[Item], dict[str, str]]:
    """Return one page of a listing and {"NextToken": ...} if there is more.

    `scope` tells the listing from others; `read` returns the items numbered above its first
    argument, as many as its second. MaxResults 0, which the service model allows, is taken to mean
    `page_max`.
    """
    most = min(parameters.get("MaxResults", 0) or page_max, page_max)
    token = parameters.get("NextToken")
    items = read(_number(token, scope) if token is not None else 0, most + 1)
    if len(items) <= most:
        return items, {}
    return items[:most], {"NextToken": _token(items[most - 1].number, scope)}


def _token(number: int, scope: Sequence[object]) -> str:
    return base64.b64encode(_mark(scope) + number.to_bytes(8)).decode()


def _number(token: str, scope: Sequence[object]) -> int:
    try:
        data = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != _SCOPE_BYTES + 8 or data[:_SCOPE_BYTES] != _mark(scope):
        raise ServiceError("InvalidPaginationTokenException", "Invalid Pagination Token")
    return int.from_bytes(data[_SCOPE_BYTES:])


def _mark(scope: Sequence[object]) -> bytes:
    return hashlib.sha256(repr(list(scope)).encode()).digest()[:_SCOPE_BYTES]
