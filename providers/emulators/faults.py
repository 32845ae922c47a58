"""Faults on demand, and how they look on the wire."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Send


class FaultKind(StrEnum):
    """What goes wrong."""

    THROTTLED = "429"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    RESET = "reset"  # the connection is reset before any answer; nothing is done
    HANG = "hang"  # silence for `seconds`, then the usual answer if the client still waits
    HALF_BODY = "half_body"  # done, and the connection is closed amid the answer's body
    LOST_RESPONSE = "lost_response"  # done, and the connection is closed without an answer


@dataclass(slots=True)
class Rule:
    """Every so many-th request for an operation (a pattern, `*` = all) meets a fault."""

    operation: str
    kind: FaultKind
    every: int = 1
    retry_after_s: float | None = None
    seconds: float = 3600.0
    seen: int = field(default=0, init=False)

    def strikes(self, operation: str) -> bool:
        """Count a request and tell whether this one meets the fault."""
        if not fnmatchcase(operation.lower(), self.operation.lower()):
            return False
        self.seen += 1
        return self.seen % self.every == 0


class Faults:
    """The rules in force; the first one that strikes counts."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def change(self, rules: list[Rule]) -> None:
        """Put other rules in force; all counting starts anew."""
        self._rules = rules

    def next(self, operation: str) -> Rule | None:
        """Return the rule that strikes this request; every rule counts it."""
        struck = [rule for rule in self._rules if rule.strikes(operation)]
        return struck[0] if struck else None


def parse_rules(document: Any, operations: Collection[str]) -> list[Rule]:
    """Read the body of POST faults; raises ValueError or TypeError with what is wrong."""
    rows = document.get("rules") if isinstance(document, Mapping) else None
    if not isinstance(rows, list):
        raise TypeError('expected {"rules": [...]}')
    return [_parse_rule(row, operations) for row in rows]


def _parse_rule(row: Any, operations: Collection[str]) -> Rule:
    known = ("operation", "every", "kind", "retry_after_s", "seconds")
    if not isinstance(row, Mapping) or not set(row) <= set(known):
        raise ValueError(f"a rule has the fields {', '.join(known)}; seen: {row!r}")
    pattern, every = row.get("operation", "*"), row.get("every", 1)
    if not any(fnmatchcase(name.lower(), str(pattern).lower()) for name in operations):
        raise ValueError(f"no operation {pattern!r}; there are: {', '.join(sorted(operations))}")
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"every is a whole number from 1; seen: {every!r}")
    kinds = [str(kind) for kind in FaultKind]
    if str(row.get("kind")) not in kinds:
        raise ValueError(f"kind is one of {', '.join(kinds)}; seen: {row.get('kind')!r}")
    rule = Rule(str(pattern), FaultKind(str(row["kind"])), every)
    if row.get("retry_after_s") is not None:
        rule.retry_after_s = float(row["retry_after_s"])
    rule.seconds = float(row.get("seconds", rule.seconds))
    return rule


async def close_without_answer(
    transport: asyncio.Transport, receive: Receive, *, reset: bool
) -> None:
    """Drop the connection at once; with `reset`, the client gets a TCP RST."""
    connection = transport.get_extra_info("socket")
    if reset and connection is not None:
        # Lingering for zero seconds makes the kernel send RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await receive()


async def send_half(
    response: Response, transport: asyncio.Transport, receive: Receive, send: Send
) -> None:
    """Announce the whole body, send half of it and close the connection."""
    body = bytes(response.body)
    length = str(max(len(body), 2)).encode()
    headers = [header for header in response.raw_headers if header[0] != b"content-length"]
    headers.append((b"content-length", length))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    half = body[: len(body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    transport.close()
    await receive()


async def hang(receive: Receive, seconds: float) -> bool:
    """Stay silent; return whether the client has gone meanwhile."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await receive()
            return True
    return False
