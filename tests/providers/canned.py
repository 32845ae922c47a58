"""A service that gives one answer to everything: for answers that no emulator gives."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: `target` is the operation that Amazon's clients name in a header."""

    method: str
    path: str
    target: str


@contextmanager
def canned(status: int, body: str, **headers: str) -> Iterator[tuple[str, list[Request]]]:
    """Serve one answer; yield the URL and the list of requests seen."""
    seen: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            seen.append(Request(self.command, self.path, target))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            kind = "text/html" if body.startswith("<") else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of the base class

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()
