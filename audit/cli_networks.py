"""The commands around networks, which need no service: evaluate, tracker, cache."""

from pathlib import Path
from typing import Annotated, Any

import typer

from audit.errors import UserError
from audit.options import JSON, QUIET, train_size
from audit.terminal import command, table

networks_app = typer.Typer()
tracker_app = typer.Typer(help="Networks trained against cloaks.", no_args_is_help=True)
networks_app.add_typer(tracker_app, name="tracker")
cache_app = typer.Typer(help="What this machine keeps about photos.", no_args_is_help=True)
networks_app.add_typer(cache_app, name="cache")


@command(networks_app)
def evaluate(
    photos: Annotated[Path, typer.Argument(help="One folder per person.")],
    out: Annotated[Path, typer.Option(help="The folder for the tables and the cloaked photos.")],
    network: Annotated[
        list[str], typer.Option(help="Cloaks, by itself, and judges every cloak. Repeatable.")
    ],
    system: Annotated[
        list[str] | None, typer.Option(help="Cloaking system. Repeatable. [fawkes-0.3]")
    ] = None,
    level: Annotated[
        list[str] | None, typer.Option(help="min, low, mid or high. Repeatable. [high]")
    ] = None,
    judge: Annotated[
        list[str] | None, typer.Option(help="A network that only judges. Repeatable.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of a system, key=value. Repeatable."),
    ] = None,
    person: Annotated[
        list[str] | None, typer.Option(help="A protected person: a folder's name. Repeatable.")
    ] = None,
    protected: Annotated[
        int,
        typer.Option(min=1, help="Without --person: protect this many, those with most photos."),
    ] = 10,
    train: Annotated[
        str, typer.Option(help="Photos of each that are cloaked: a number or a fraction.")
    ] = "0.5",
    probes: Annotated[
        int | None, typer.Option(help="Photos of each that are held out. [all others]")
    ] = None,
    decoys: Annotated[int | None, typer.Option(help="Other people. [all]")] = None,
    decoy_photos: Annotated[int | None, typer.Option(help="Photos of each of them. [all]")] = None,
    seed: Annotated[int, typer.Option(help="Seed of split, pairs and cloaks.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Let networks judge cloaks: identification, verification, clustering, detection.

    Prints the transfer matrix in short; the tables are in OUT. The same command goes on after an
    interruption.
    """
    from audit import evaluating
    from audit.experiment import resolve
    from audit.progress import Progress

    given: dict[str, Any] = {
        "provider": "local", "photos": photos, "network": network, "system": system,
        "level": level, "set": parameters, "person": person, "train": train_size(train),
        "probes": probes, "decoys": decoys, "decoy_photos": decoy_photos, "seed": seed,
        "device": device,
    }  # fmt: skip
    experiment = resolve(None, {key: value for key, value in given.items() if value is not None})
    request = evaluating.Request(experiment, out, judge or (), protected)
    table(evaluating.evaluate(request, Progress(quiet=quiet)), as_json=as_json)


@command(tracker_app, "train")
def tracker_train(
    kind: Annotated[str, typer.Option(help="fine-tuned, robust or adaptive.")],
    network: Annotated[str, typer.Option(help="The network to begin with.")],
    photos: Annotated[Path, typer.Option(help="One folder per person; people who are in no test.")],
    name: Annotated[str, typer.Option("--as", help="What the new network is called.")],
    without: Annotated[
        list[str] | None, typer.Option(help="A person of the folder to leave out. Repeatable.")
    ] = None,
    photos_each: Annotated[
        int | None, typer.Option(min=1, help="Photos of each person at most. [all]")
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option(help="Adaptive: the cloaks it learns. Repeatable.")
    ] = None,
    level: Annotated[
        list[str] | None, typer.Option(help="Adaptive: their levels. Repeatable. [high]")
    ] = None,
    cloaked_on: Annotated[
        list[str] | None,
        typer.Option(help="Adaptive: a network that they are made on. Repeatable. [--network]"),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of a system, key=value. Repeatable."),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="A parameter of the training, e.g. epochs=5. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training and the cloaks.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Train a network as a tracker would, and install it for --recogniser, --network, --judge."""
    from audit import tracking
    from audit.experiment import resolve
    from audit.progress import Progress

    if kind == "adaptive" and not system:
        raise UserError("an adaptive tracker learns from cloaks.", expected="--system NAME")
    given: dict[str, Any] = {
        "provider": "local", "photos": photos, "network": cloaked_on or [network],
        "system": system, "level": level if system else ["none"], "set": parameters,
        "seed": seed, "device": device,
    }  # fmt: skip
    experiment = resolve(None, {key: value for key, value in given.items() if value is not None})
    request = tracking.Request(
        name, kind, network, experiment, recipe or (), without or (), photos_each
    )
    table(tracking.train(request, Progress(quiet=quiet)), as_json=as_json)


@command(cache_app, "list")
def cache_list(as_json: JSON = False, quiet: QUIET = False) -> None:
    """List what is kept between runs: embeddings, places of faces, cloaked photos."""
    from audit import stores

    del quiet
    table(stores.rows(), as_json=as_json)


@command(cache_app, "clear")
def cache_clear(
    store: Annotated[
        list[str] | None, typer.Argument(help="embeddings, faces or cloaks. [all]")
    ] = None,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Delete what is kept, and say what was deleted; weights and run folders stay."""
    from audit import stores

    del quiet
    table(stores.clear(store or ()), as_json=as_json)
