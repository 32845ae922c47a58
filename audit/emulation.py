"""`audit emulate`: a service's wire protocol on this machine, for rehearsals."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from audit import services
from audit.errors import UserError
from audit.folders import private_folder
from audit.preparation import knows_generated_only
from audit.trained import calibration_of
from providers.base import Rate

if TYPE_CHECKING:
    from providers.emulators.options import Options


def serve(
    provider: str, *, host: str, port: int, network: str, device: str, options: "Options"
) -> None:
    """Serve until interrupted; the first line on stdout is `listening on URL`."""
    from providers.emulators import server

    server.require_known(provider)
    if knows_generated_only(network):
        typer.echo(
            f"{network} knows only the bundled generated faces: on photos of real people its "
            "scores mean nothing. --network NAME takes a real one (`audit weights list`).",
            err=True,
        )
    server.serve(
        provider,
        services.recogniser(network, device),
        calibration_of(network),
        host=host,
        port=port,
        options=options,
    )


def behaviour(rate: str | None, matching: str, state: Path | None, **more: Any) -> "Options":
    """Return how the emulator shall behave; `more` are fields of its Options.

    Raises UserError for an unknown `matching` or a `rate` that is none.
    """
    from providers.emulators.options import Options

    return Options(
        rate=parse_rate(rate) if rate else None,
        state=private_folder(state) if state else None,
        matching=services.matching(matching),
        **more,
    )


def parse_rate(text: str) -> Rate:
    """Read CALLS/SECONDS, such as 20/60; raises UserError."""
    calls, _, seconds = text.partition("/")
    try:
        rate = Rate(int(calls), float(seconds))
    except ValueError:
        rate = Rate(0, 0)
    if rate.calls < 1 or not 0 < rate.per_s < math.inf:
        raise UserError(f"--rate {text!r} is no rate.", expected="CALLS/SECONDS, such as 20/60")
    return rate
