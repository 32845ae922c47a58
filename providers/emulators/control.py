"""The paths under /__emulator__/: look into an emulator and disturb it. They need no key."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from providers.base import Rate
from providers.emulators.faults import Faults, parse_rules
from providers.emulators.log import Log
from providers.emulators.service import Service
from providers.emulators.throttle import Throttle

PREFIX = "/__emulator__/"


class Control:
    """Answers GET log, GET galleries, POST faults, POST rate and POST clear."""

    def __init__(self, service: Service, log: Log, faults: Faults, throttle: Throttle) -> None:
        self._service = service
        self._log = log
        self._faults = faults
        self._throttle = throttle
        self._first_rate = throttle.rate
        self._reads: Mapping[str, Callable[[], Any]] = {
            "log": lambda: self._log.entries,
            "galleries": self._service.galleries,
        }
        self._writes: Mapping[str, Callable[[Any], None]] = {
            "faults": self._change_faults,
            "rate": self._change_rate,
            "clear": self._clear,
        }

    async def handle(self, request: Request) -> Response:
        """Answer in JSON; what is wrong with a request is told in `error`."""
        name = request.url.path.removeprefix(PREFIX)
        if request.method == "GET" and name in self._reads:
            return JSONResponse(self._reads[name]())
        if request.method != "POST" or name not in self._writes:
            known = [f"GET {read}" for read in self._reads]
            known += [f"POST {write}" for write in self._writes]
            return JSONResponse({"error": f"there are: {', '.join(known)}"}, 404)
        try:
            self._writes[name](json.loads(await request.body() or b"null"))
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({})

    def _change_faults(self, document: Any) -> None:
        self._faults.change(parse_rules(document, self._service.operations))

    def _change_rate(self, document: Any) -> None:
        """Put a rate in force; null means none."""
        self._throttle.change(None if document is None else _rate(document))

    def _clear(self, _: Any) -> None:
        """Forget what is stored, the log and the faults; go back to the first rate."""
        self._service.clear()
        self._log.entries.clear()
        self._faults.change([])
        self._throttle.change(self._first_rate)


def _rate(document: Any) -> Rate:
    if not isinstance(document, Mapping) or set(document) != {"calls", "per_s"}:
        raise ValueError('expected {"calls": 20, "per_s": 60}, or null for no limit')
    calls, per_s = document["calls"], document["per_s"]
    if not isinstance(calls, int) or calls < 1 or not float(per_s) > 0:
        raise ValueError(f"calls is a whole number from 1, per_s is above 0; seen: {document!r}")
    return Rate(calls, float(per_s))
