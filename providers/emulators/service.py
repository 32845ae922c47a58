"""What the server needs of an emulated service."""

from collections.abc import Collection
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response


class Service(Protocol):
    """One emulated service with its state. Used by the event loop's thread alone."""

    @property
    def operations(self) -> Collection[str]:
        """The names of all operations."""
        ...

    def operation(self, request: Request) -> str:
        """Return the name of the operation that a request asks for."""
        ...

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request without a valid key."""
        ...

    async def handle(self, request: Request) -> Response:
        """Carry out an operation, durably, and return its answer, be it an error."""
        ...

    def failure(self, status: int, retry_after_s: float | None) -> Response:
        """Return what the service answers when it throttles (429), fails (500) or is down (503).

        The status on the wire is the service's own: Rekognition throttles with 400, Face++ with
        403.
        """
        ...

    def galleries(self) -> list[dict[str, Any]]:
        """Return all that is stored: galleries, persons, faces with their user data."""
        ...

    def clear(self) -> None:
        """Forget all that is stored."""
        ...

    def close(self) -> None:
        """Let go of the state's file."""
        ...
