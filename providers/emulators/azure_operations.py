"""Every operation of the emulated resource: its name, method, path and handler.

Paths and methods: REST reference v1.2. Any version segment is answered alike; letters' case, extra
slashes and one at the end don't matter, as clients differ in them.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from providers.emulators.azure_containers import Containers
from providers.emulators.azure_kinds import Kind
from providers.emulators.azure_lists import ListFaces
from providers.emulators.azure_persons import Persons

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a method on a path does."""

    name: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler


def operation(name: str, method: str, path: str, handler: Handler) -> Operation:
    """Return an operation at a path below the version; `{name}` is a parameter."""
    segments = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", f"/face/{{version}}{path}")
    pattern = re.compile(segments.replace("/", "/+") + "/*", re.IGNORECASE)
    return Operation(name, method, pattern, handler)


def find_operation(operations: Sequence[Operation], request: Request) -> Operation | None:
    """Return the operation that a request asks for, its parameters noted in the request."""
    for candidate in operations:
        if candidate.method == request.method:
            found = candidate.pattern.fullmatch(request.scope["path"])
            if found:
                request.scope["path_params"] = found.groupdict()
                return candidate
    return None


def container_operations(kind: Kind, containers: Containers) -> Iterator[Operation]:
    """Yield the operations on the containers of a kind."""
    noun, top = kind.noun, f"/{kind.path}"
    one = f"{top}/{{container}}"
    listing = containers.list_page if kind.trains else containers.list_all
    yield operation(f"Get{noun}s", "GET", top, listing)
    yield operation(f"Create{noun}", "PUT", one, containers.create)
    yield operation(f"Get{noun}", "GET", one, containers.get)
    yield operation(f"Update{noun}", "PATCH", one, containers.update)
    yield operation(f"Delete{noun}", "DELETE", one, containers.delete)
    if kind.trains:
        yield operation(f"Train{noun}", "POST", f"{one}/train", containers.train)
        yield operation(f"Get{noun}TrainingStatus", "GET", f"{one}/training", containers.training)


def person_operations(kind: Kind, persons: Persons) -> Iterator[Operation]:
    """Yield the operations on the persons of groups of a kind."""
    noun, top = f"{kind.noun}Person", f"/{kind.path}/{{container}}/persons"
    one = f"{top}/{{person}}"
    face = f"{one}/persistedfaces/{{face}}"
    yield operation(f"Create{noun}", "POST", top, persons.create)
    yield operation(f"Get{noun}s", "GET", top, persons.list_page)
    yield operation(f"Get{noun}", "GET", one, persons.get)
    yield operation(f"Update{noun}", "PATCH", one, persons.update)
    yield operation(f"Delete{noun}", "DELETE", one, persons.delete)
    yield operation(f"Add{noun}Face", "POST", f"{one}/persistedfaces", persons.add_face)
    yield operation(f"Get{noun}Face", "GET", face, persons.get_face)
    yield operation(f"Update{noun}Face", "PATCH", face, persons.update_face)
    yield operation(f"Delete{noun}Face", "DELETE", face, persons.delete_face)


def list_operations(kind: Kind, faces: ListFaces) -> Iterator[Operation]:
    """Yield the operations on the faces of lists of a kind."""
    noun, top = f"{kind.noun}Face", f"/{kind.path}/{{container}}/persistedfaces"
    one = f"{top}/{{face}}"
    yield operation(f"Add{noun}", "POST", top, faces.add)
    yield operation(f"Delete{noun}", "DELETE", one, faces.delete)
    if kind.trains:
        yield operation(f"Get{noun}s", "GET", top, faces.list_page)
        yield operation(f"Get{noun}", "GET", one, faces.get)
        yield operation(f"Update{noun}", "PATCH", one, faces.update)
