"""Emulators over HTTP: one server for all of them, with faults that are real on the wire."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from audit.errors import UserError
from audit.types import Recogniser
from providers.emulators.calibration import Calibration
from providers.emulators.control import PREFIX, Control
from providers.emulators.faults import (
    FaultKind,
    Faults,
    Rule,
    close_without_answer,
    hang,
    send_half,
)
from providers.emulators.log import Entry, Log
from providers.emulators.options import Options
from providers.emulators.service import Service
from providers.emulators.throttle import Throttle

_SERVICES: Mapping[str, tuple[str, str]] = {
    "azure": ("providers.emulators.azure", "AzureEmulator"),
    "facepp": ("providers.emulators.facepp", "FaceppEmulator"),
    "rekognition": ("providers.emulators.rekognition", "RekognitionEmulator"),
}
_LAST_ANSWERS_S = 1.0
_KEEP_ALIVE_S = 75


class Emulator:
    """The ASGI application around an emulated service: log, faults, rate, control paths."""

    def __init__(self, service: Service, options: Options) -> None:
        self.service = service
        self._options = options
        self._log = Log()
        self._faults = Faults()
        self._throttle = Throttle(options.rate, options.clock)
        self._control = Control(service, self._log, self._faults, self._throttle)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        if scope["path"].startswith(PREFIX):
            await (await self._control.handle(request))(scope, receive, send)
            return
        operation = self.service.operation(request)
        entry = self._log.append(self._options.clock(), operation, len(body))
        await asyncio.sleep(self._options.latency_ms / 1000)
        rule = self._faults.next(operation)
        if rule is None:
            await (await self._answer(request, entry))(scope, receive, send)
        else:
            entry["fault"] = rule.kind
            await self._meet(rule, request, entry, send)

    async def _answer(self, request: Request, entry: Entry) -> Response:
        """Return the service's answer, entered in the log before it is sent."""
        response = self.service.refusal(request)
        if response is None and (wait_s := self._throttle.take()):
            response = self.service.failure(429, wait_s)
        response = response or await self.service.handle(request)
        entry["status"] = response.status_code
        return response

    async def _meet(self, rule: Rule, request: Request, entry: Entry, send: Send) -> None:
        """Let a request run into a fault."""
        receive, transport = request.receive, request.scope["state"]["transport"]
        match rule.kind:
            case FaultKind.RESET:
                await close_without_answer(transport, receive, reset=True)
            case FaultKind.LOST_RESPONSE:
                await self._answer(request, entry)
                await close_without_answer(transport, receive, reset=False)
            case FaultKind.HALF_BODY:
                await send_half(await self._answer(request, entry), transport, receive, send)
            case FaultKind.HANG:
                if not await hang(receive, rule.seconds):
                    await (await self._answer(request, entry))(request.scope, receive, send)
            case _:
                response = self.service.failure(int(rule.kind), rule.retry_after_s)
                entry["status"] = response.status_code
                await response(request.scope, receive, send)


class _Protocol(H11Protocol):
    """HTTP/1.1 that hands its transport to the application, for faults on the wire."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}

    def shutdown(self) -> None:
        """Let a request in progress finish, but not for long: it may hang on purpose."""
        super().shutdown()
        self.loop.call_later(_LAST_ANSWERS_S, self.transport.abort)


def serve(
    provider: str,
    recogniser: Recogniser,
    calibration: Calibration,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    options: Options | None = None,
) -> None:
    """Serve until interrupted; print the address as the first line. Port 0 = any free one.

    Raises UserError for a provider that has no emulator, a port in use or unusable state.
    """
    with _prepared(provider, recogniser, calibration, host, port, options) as (server, listener):
        print(f"listening on {_url(listener)}", flush=True)  # noqa: T201 - scripts read this line
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


@contextlib.contextmanager
def running(
    provider: str,
    recogniser: Recogniser,
    calibration: Calibration,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    options: Options | None = None,
) -> Iterator[str]:
    """Serve from a thread of this process meanwhile; yield the URL. Raises as `serve` does."""
    with _prepared(provider, recogniser, calibration, host, port, options) as (server, listener):
        url = _url(listener)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="emulator", daemon=True
        )
        thread.start()
        try:
            yield url
        finally:
            server.should_exit = True
            thread.join()


def require_known(provider: str) -> None:
    """Raise UserError for a service that has no emulator."""
    if provider not in _SERVICES:
        raise UserError(
            f"there is no emulator of {provider!r}.", expected=f"one of: {', '.join(_SERVICES)}"
        )


@contextlib.contextmanager
def _prepared(
    provider: str,
    recogniser: Recogniser,
    calibration: Calibration,
    host: str,
    port: int,
    options: Options | None,
) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    require_known(provider)
    options = options or Options()
    with contextlib.closing(_listen(host, port)) as listener:
        module, emulator = _SERVICES[provider]
        service = getattr(import_module(module), emulator)(recogniser, calibration, options)
        with contextlib.closing(service):
            yield _server(Emulator(service, options)), listener


def _server(app: Any) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=128)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Cannot listen on {host}:{port}: {error}.",
            expected="an address of this machine and a free port",
            remedy="choose another --port, or leave it out for any free one",
        ) from error
    # Connections inherit this. Without it, an answer's body waits 40 ms for the header's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
