"""The commands that need no run: cloak, emulate, doctor, providers, weights, photos."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.options import JSON, QUIET
from audit.terminal import command, show, table

tools_app = typer.Typer()
weights_app = typer.Typer(help="Network weights on this machine.", no_args_is_help=True)
photos_app = typer.Typer(help="Photo sets.", no_args_is_help=True)
tools_app.add_typer(weights_app, name="weights")
tools_app.add_typer(photos_app, name="photos")


@command(tools_app)
def cloak(
    photos: Annotated[Path, typer.Argument(help="One folder per person.")],
    level: Annotated[str, typer.Option(help="min, low, mid or high.")],
    out: Annotated[Path, typer.Option(help="The folder for the cloaked photos.")],
    system: Annotated[str, typer.Option(help="Cloaking system.")] = "fawkes-0.3",
    network: Annotated[
        list[str] | None, typer.Option(help="A network that cloaks. Repeatable. [bundled-mixer]")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the system, key=value. Repeatable."),
    ] = None,
    targets: Annotated[str, typer.Option(help="same or separate.")] = "same",
    towards: Annotated[
        Path | None,
        typer.Option(help="Photos of whom to cloak towards. [the other people of PHOTOS]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the cloaks.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    ray: Annotated[
        str | None,
        typer.Option(help="Cloak on this Ray cluster: auto (that of this machine) or HOST:PORT."),
    ] = None,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Cloak a folder of photos at full resolution; no service is involved.

    Each file is written when it is finished, and the same command goes on after an interruption.
    """
    from audit.cloak_folder import cloak_folder
    from audit.experiment import resolve
    from audit.progress import Progress

    given: dict[str, Any] = {"targets": targets, "seed": seed, "device": device}
    given |= {"network": network} if network else {}
    given |= {"set": parameters} if parameters else {}
    experiment = resolve(None, {"provider": "mock", "system": [system], "level": [level]} | given)
    progress = Progress(quiet=quiet)
    rows = cloak_folder(photos, out, experiment, progress, towards=towards, ray=ray)
    table(rows, as_json=as_json)


@command(tools_app)
def emulate(
    provider: Annotated[str, typer.Option(help="azure, rekognition or facepp.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    rate: Annotated[str | None, typer.Option(help="CALLS/SECONDS, e.g. 20/60.")] = None,
    latency_ms: Annotated[float, typer.Option(min=0, help="Added to every answer.")] = 0.0,
    network: Annotated[str, typer.Option(help="The network behind it.")] = "bundled-conv",
    matching: Annotated[
        str, typer.Option(help="A person's score: that of the nearest face, or of the centroid.")
    ] = "nearest",
    state: Annotated[Path | None, typer.Option(help="A folder that survives a restart.")] = None,
    training_s: Annotated[float, typer.Option(min=0, help="How long a training takes.")] = 0.0,
    faces_max: Annotated[
        int | None,
        typer.Option(min=1, help="Faces that the account may hold. [the service's limit]"),
    ] = None,
    gated: Annotated[
        bool, typer.Option("--gated", help="An account that the service has not approved.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    quiet: QUIET = False,
) -> None:
    """Serve a local server that speaks a service's wire protocol."""
    from audit import emulation

    del quiet
    emulation.serve(
        provider,
        host=host,
        port=port,
        network=network,
        device=device,
        options=emulation.behaviour(
            rate,
            matching,
            state,
            latency_ms=latency_ms,
            training_s=training_s,
            faces_max=faces_max,
            gated=gated,
        ),
    )


@command(tools_app)
def doctor(
    provider: Annotated[str | None, typer.Option(help="Check this service's keys too.")] = None,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Check this machine, the weights and the keys: one line a check, with the remedy.

    Ends with 2 if a check failed, 4 if it is the service that refuses.
    """
    from audit import doctor as checks

    del quiet
    found = checks.check(provider)
    table([check.told for check in found], as_json=as_json)
    checks.require_good(found)


@command(tools_app)
def providers(as_json: JSON = False, quiet: QUIET = False) -> None:
    """List the services, their tiers, limits and prices: what the plan reckons with."""
    from audit import catalogue

    del quiet
    table(catalogue.rows(), as_json=as_json)


@command(weights_app, "list")
def weights_list(as_json: JSON = False, quiet: QUIET = False) -> None:
    """List the networks, and which are installed."""
    from cloaker import weights

    del quiet
    table([asdict(row) for row in weights.list_weights()], as_json=as_json)


@command(weights_app, "fetch")
def weights_fetch(name: str, quiet: QUIET = False) -> None:
    """Download a network's weights; an interrupted download goes on where it was."""
    from audit.progress import Progress
    from cloaker import weights

    with Progress(quiet=quiet).stage(f"{name}, bytes", 0) as advance:
        _show_stored(weights.fetch(name, on_progress=advance))


@command(weights_app, "add")
def weights_add(name: str, file: Path, quiet: QUIET = False) -> None:
    """Install a network's weights from a file, for machines without internet."""
    from cloaker import weights

    del quiet
    _show_stored(weights.add(name, file))


@command(photos_app, "check")
def photos_check(
    folder: Annotated[Path, typer.Argument(help="One folder per person.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Show what a photo set holds: people, photos, rejected files and why, duplicates.

    Ends with 2 if not a single file can be used.
    """
    from audit import preparation
    from audit.progress import Progress

    photo_set = preparation.read_photos(folder, device, Progress(quiet=quiet))
    table(preparation.summary(photo_set), as_json=as_json)
    preparation.require_photos(photo_set)


def _show_stored(files: Any) -> None:
    for stored in files:
        trusted = "  (no hash is published: trusted now, held to from here on)"
        show(f"{stored.path}  sha256 {stored.sha256}{trusted if stored.pinned else ''}")
