"""The options of `run` and `plan`: one list for both, the same names as the experiment's keys."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.errors import UserError

RUNS = Annotated[
    Path, typer.Option("--runs", envvar="AUDIT_RUNS", help="The folder of all run folders.")
]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
QUIET = Annotated[bool, typer.Option("--quiet", help="Print results only, no progress.")]
RUN = Annotated[str, typer.Argument(help="A run's id or folder.")]
SMALL = Annotated[
    bool,
    typer.Option("--small", help="Of a study: as small as the bundled generated people allow."),
]
DEFAULT_RUNS = Path("audit-runs")


def _experiment_options(  # noqa: PLR0913 - each is an option that the contract names
    *,
    experiment: Annotated[
        Path | None, typer.Option(help="A TOML file with these options; flags win over it.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="A built-in study: facecure-2022, faceoff-2021, fawkes-2020, ulixes-2022, uva-2021 "
            "or uva-2021-table-5. Flags replace what its runs don't set themselves."
        ),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            help="azure, rekognition, facepp, local (no service: a recogniser on this machine), "
            "mock (Azure's adapter, emulator and generated people), or one that a package adds."
        ),
    ] = None,
    level: Annotated[
        list[str] | None,
        typer.Option(help="Cloaking level: none, min, low, mid, high. Repeatable. [high]"),
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option(help="Cloaking system. Repeatable. [fawkes-0.3]")
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="One folder per person.")] = None,
    person: Annotated[
        list[str] | None, typer.Option(help="The protected person: a folder's name. Repeatable.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(help="Cloak all photos towards the same target person, or separate. [same]"),
    ] = None,
    cloaked_fraction: Annotated[
        float | None, typer.Option(help="Share of the training photos that is cloaked. [1]")
    ] = None,
    leaked: Annotated[
        int | None,
        typer.Option(help="The same as a number: so many training photos are clean. [0]"),
    ] = None,
    sybils: Annotated[
        int | None,
        typer.Option(help="Decoys who play made-up identities like the person. [0]"),
    ] = None,
    transform: Annotated[
        list[str] | None,
        typer.Option(
            help="What the tracker does to every photo: jpeg:QUALITY, resize:FACTOR, blur:SIGMA, "
            "noise:SIGMA, crop:SHARE, flip, median:SIZE, or to those it enrols: augment:SHARE, also "
            "mirrored, cropped, and both. Several joined by +, or none. Each has arms of its own, "
            "one with nothing cloaked. Repeatable. [none]"
        ),
    ] = None,
    game: Annotated[
        str | None,
        typer.Option(help="poison: enrol cloaked, probe clean. evade: the reverse. [poison]"),
    ] = None,
    train: Annotated[
        str | None, typer.Option(help="Training photos: a number, or a fraction below 1. [0.7]")
    ] = None,
    probes: Annotated[int | None, typer.Option(help="Probe photos at most. [all left]")] = None,
    decoys: Annotated[int | None, typer.Option(help="Decoy people enrolled. [all]")] = None,
    decoy_photos: Annotated[
        int | None, typer.Option(help="Photos of each decoy at most. [all]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split and the cloaks. [0]")] = None,
    tier: Annotated[
        str | None,
        typer.Option(
            help="The service's plan, which has its rates and prices. [azure: F0, facepp: trial, "
            "rekognition: the region]"
        ),
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(help="A TOML file with your own dated prices and rates, by tier."),
    ] = None,
    max_calls: Annotated[int | None, typer.Option(help="Stop before the call after these.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Stop before spending more, USD.")] = None,
    emulate: Annotated[
        bool | None, typer.Option("--emulate", help="Use the local emulator; no key needed.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="The service's address.")] = None,
    set: Annotated[  # noqa: A002 - the option is called so
        list[str] | None,
        typer.Option(help="A parameter of the cloaking systems, key=value. Repeatable."),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="An embedding network that cloaks. Repeatable. [bundled-mixer]"),
    ] = None,
    recogniser: Annotated[
        list[str] | None,
        typer.Option(
            help="The network behind the emulator, or of provider local. Of a study: repeatable, "
            "it is run with each. [bundled-conv]"
        ),
    ] = None,
    matching: Annotated[
        str | None,
        typer.Option(
            help="How it tells people apart: by the nearest face or the centroid; local only: "
            "linear, k-nearest, weighted-k-nearest, bounded-nearest, svm, network. [nearest]"
        ),
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Of rekognition. [AWS_REGION, or the profile's]")
    ] = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            help="fresh: one for each arm, instead of one whose person is exchanged. Of "
            "rekognition: faces, or users (one vector a person), or users-fresh. [faces]"
        ),
    ] = None,
    quality_filter: Annotated[
        str | None,
        typer.Option(help="Of rekognition: which faces it drops. NONE, AUTO, LOW, ... [NONE]"),
    ] = None,
    api_version: Annotated[str | None, typer.Option(help="Of azure. [v1.2]")] = None,
    fit_photos: Annotated[
        bool | None,
        typer.Option(
            "--fit-photos/--no-fit-photos",
            help="Change a photo that is beyond the service's limits, or let it be refused. [fit]",
        ),
    ] = None,
    verify_photos: Annotated[
        int | None,
        typer.Option(
            help="Of facepp: with how many of the person's enrolled photos a probe is compared. [1]"
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Confidence below which the service hides. [0]")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="People asked for at most. [as many as the service gives]")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N. [auto]")] = None,
    purge_after: Annotated[
        bool | None, typer.Option("--purge-after", help="Delete at the service when done.")
    ] = None,
) -> None:
    """Hold the options; never called."""


def with_experiment_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command every option of an experiment; it gets those that were set, as `given`."""
    own = inspect.signature(command)
    options = inspect.signature(_experiment_options)

    def wrapper(**values: Any) -> None:
        given = {key: values.pop(key) for key in options.parameters}
        command(given={k: v for k, v in given.items() if v is not None and v != []}, **values)

    mine = [parameter for parameter in own.parameters.values() if parameter.name != "given"]
    everything = [*mine, *options.parameters.values()]
    functools.update_wrapper(wrapper, command)
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in everything}
    vars(wrapper)["__signature__"] = own.replace(parameters=everything, return_annotation=None)
    return wrapper


def train_size(text: str) -> int | float:
    """Read `--train`; raises UserError for what is no number."""
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise UserError(
            f"--train {text!r} is no number.",
            expected="a number of photos such as 70, or a fraction such as 0.7",
        ) from None
