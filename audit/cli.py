"""The command line: each command reads its input, calls the room that does it, prints.

Nothing heavy is imported here: `audit --help` needs neither torch nor pandas.
"""

import functools
import json
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from audit.errors import AuditError, UserError
from audit.options import (
    DEFAULT_RUNS,
    JSON,
    QUIET,
    RUN,
    RUNS,
    train_size,
    with_experiment_options,
)

app = typer.Typer(
    help="Measure whether cloaked photos protect a person from face-recognition services.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
weights_app = typer.Typer(help="Network weights on this machine.", no_args_is_help=True)
photos_app = typer.Typer(help="Photo sets.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")
app.add_typer(photos_app, name="photos")

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; `kill` ends a run as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def command(group: typer.Typer, name: str | None = None) -> Callable[..., Callable[..., None]]:
    """Register a command whose failures are one message and the contract's exit code."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                function(*args, **kwargs)
            except AuditError as error:
                _fail(str(error), error.exit_code)
            except KeyboardInterrupt:
                _fail("interrupted; `audit resume RUN` continues a run", _INTERRUPTED)
            except Exception:  # noqa: BLE001 - the last door: a defect of ours
                traceback.print_exc()
                _fail("this is a defect of cloak-audit; please report the lines above", 1)

        return group.command(name)(guarded)

    return register


def _fail(message: str, code: int) -> None:
    print(f"audit: {message}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)


def _print(text: object) -> None:
    print(text, flush=True)  # noqa: T201 - results go to stdout


def _table(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows with aligned columns, or as JSON."""
    if as_json:
        _print(json.dumps(rows, indent=2, default=str))
        return
    if not rows:
        return
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        _print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


@command(app)
@with_experiment_options
def run(
    given: dict[str, Any],
    runs: RUNS = DEFAULT_RUNS,
    out: Annotated[str | None, typer.Option(help="The run's id. [date, time, provider]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Like `audit plan`.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to uploading the photos.")] = False,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Run one experiment from photos to report; the last line printed is the run folder."""
    from audit import consent, runner, services
    from audit.progress import Progress

    experiment = _experiment(given)
    progress = Progress(quiet=quiet)
    if dry_run:
        _print_plan(runner.plan(experiment, progress)[2], as_json=as_json)
        return
    services.check_keys(experiment)
    agreed = consent.ask(experiment, yes=yes)
    folder = runner.start(experiment, runs, out or _run_id(experiment.provider), agreed, progress)
    _print_end(folder, quiet=quiet)


@command(app)
@with_experiment_options
def plan(given: dict[str, Any], as_json: JSON = False, quiet: QUIET = False) -> None:
    """Count, time and price every call of a run without making one."""
    from audit import runner
    from audit.progress import Progress

    _print_plan(runner.plan(_experiment(given), Progress(quiet=quiet))[2], as_json=as_json)


@command(app)
def resume(
    run: RUN,
    runs: RUNS = DEFAULT_RUNS,
    max_calls: Annotated[int | None, typer.Option(help="A new limit of calls.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="A new limit in USD.")] = None,
    quiet: QUIET = False,
) -> None:
    """Continue an interrupted run; nothing that is done is done again."""
    from audit import runner
    from audit.folders import find_run
    from audit.progress import Progress

    folder = find_run(runs, run)
    runner.resume(folder, Progress(quiet=quiet), max_calls=max_calls, max_cost=max_cost)
    _print_end(folder, quiet=quiet)


@command(app)
def report(run: RUN, runs: RUNS = DEFAULT_RUNS, quiet: QUIET = False) -> None:
    """Rebuild the report from the run folder alone."""
    import reports
    from audit.folders import find_run

    del quiet
    _print(reports.build(find_run(runs, run).path))


@command(app)
def export(
    run: RUN,
    format: Annotated[str, typer.Option(help="csv, parquet or jsonl.")] = "csv",  # noqa: A002
    to: Annotated[Path | None, typer.Option(help="The folder for the tables. [RUN/export]")] = None,
    runs: RUNS = DEFAULT_RUNS,
    quiet: QUIET = False,
) -> None:
    """Write the run's observations and calls as tables."""
    import reports
    from audit.folders import find_run

    del quiet
    folder = find_run(runs, run).path
    for path in reports.export(folder, format, to or folder / "export"):
        _print(path)


@command(app)
def status(
    run: Annotated[str | None, typer.Argument(help="A run's id or folder. [the latest]")] = None,
    runs: RUNS = DEFAULT_RUNS,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Show what a run does now; works from another shell while it runs."""
    from audit import status as run_status

    del quiet
    _table([run_status.of(run_status.chosen(runs, run))], as_json=as_json)


@command(app, "list")
def list_(runs: RUNS = DEFAULT_RUNS, as_json: JSON = False, quiet: QUIET = False) -> None:
    """List the runs there are."""
    from audit import status as run_status
    from audit.folders import list_runs

    del quiet
    _table([run_status.of(folder) for folder in list_runs(runs)], as_json=as_json)


@command(app)
def cloak(
    photos: Annotated[Path, typer.Argument(help="One folder per person.")],
    level: Annotated[str, typer.Option(help="min, low, mid or high.")],
    out: Annotated[Path, typer.Option(help="The folder for the cloaked photos.")],
    system: Annotated[str, typer.Option(help="Cloaking system.")] = "fawkes-0.3",
    network: Annotated[str, typer.Option(help="The network that cloaks.")] = "bundled-mixer",
    targets: Annotated[str, typer.Option(help="same or separate.")] = "same",
    seed: Annotated[int, typer.Option(help="Seed of the cloaks.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Cloak a folder of photos at full resolution; no service is involved."""
    from audit.cloak_folder import cloak_folder
    from audit.experiment import resolve
    from audit.progress import Progress

    given = {"network": network, "targets": targets, "seed": seed, "device": device}
    experiment = resolve(None, {"provider": "mock", "system": [system], "level": [level]} | given)
    _table(cloak_folder(photos, out, experiment, Progress(quiet=quiet)), as_json=as_json)


@command(app)
def purge(
    run: Annotated[str | None, typer.Argument(help="A run's id or folder.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything that any run left at --provider.")
    ] = False,
    provider: Annotated[str | None, typer.Option(help="With --all: the service.")] = None,
    runs: RUNS = DEFAULT_RUNS,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Delete at the service everything that runs created there."""
    from audit import purge as purging
    from audit.folders import find_run
    from audit.progress import Progress

    if everything == bool(run) or everything != bool(provider):
        raise UserError("say what to purge.", expected="RUN, or --all with --provider NAME")
    progress = Progress(quiet=quiet)
    if run:
        rows = purging.purge_run(find_run(runs, run), progress)
    else:
        rows = purging.purge_all(str(provider), progress)
    _table(rows, as_json=as_json)


@command(app)
def emulate(
    provider: Annotated[str, typer.Option(help="azure.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    rate: Annotated[str | None, typer.Option(help="CALLS/SECONDS, e.g. 20/60.")] = None,
    latency_ms: Annotated[float, typer.Option(help="Added to every answer.")] = 0.0,
    network: Annotated[str, typer.Option(help="The network behind it.")] = "bundled-conv",
    state: Annotated[Path | None, typer.Option(help="A folder that survives a restart.")] = None,
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
        options=emulation.behaviour(rate, latency_ms, state),
    )


@command(app)
def doctor(
    provider: Annotated[str | None, typer.Option(help="Check this service's keys too.")] = None,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Check this machine, the weights and the keys: one line a check, with the remedy."""
    from audit import doctor as checks

    del quiet
    rows = checks.check(provider)
    _table(rows, as_json=as_json)


@command(weights_app, "list")
def weights_list(as_json: JSON = False, quiet: QUIET = False) -> None:
    """List the networks, and which are installed."""
    from cloaker import weights

    del quiet
    _table([asdict(row) for row in weights.list_weights()], as_json=as_json)


@command(weights_app, "fetch")
def weights_fetch(name: str, quiet: QUIET = False) -> None:
    """Download a network's weights; an interrupted download goes on where it was."""
    from audit.progress import Progress
    from cloaker import weights

    with Progress(quiet=quiet).stage(f"{name}, bytes", 0) as advance:
        _print_stored(weights.fetch(name, on_progress=advance))


@command(weights_app, "add")
def weights_add(name: str, file: Path, quiet: QUIET = False) -> None:
    """Install a network's weights from a file, for machines without internet."""
    from cloaker import weights

    del quiet
    _print_stored(weights.add(name, file))


@command(photos_app, "check")
def photos_check(
    folder: Annotated[Path, typer.Argument(help="One folder per person.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N.")] = "auto",
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Show what a photo set holds: people, photos, rejected files and why, duplicates."""
    from audit import preparation
    from audit.progress import Progress

    photo_set = preparation.load_photos(folder, device, Progress(quiet=quiet))
    _table(preparation.summary(photo_set), as_json=as_json)


def _print_stored(files: Any) -> None:
    for stored in files:
        trusted = "  (no hash is published: trusted now, held to from here on)"
        _print(f"{stored.path}  sha256 {stored.sha256}{trusted if stored.pinned else ''}")


def _experiment(given: dict[str, Any]) -> Any:
    from audit.experiment import resolve

    file = given.pop("experiment", None)
    if "train" in given:
        given["train"] = train_size(given["train"])
    return resolve(file, given)


def _run_id(provider: str) -> str:
    from datetime import UTC, datetime
    from secrets import token_hex

    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{provider}-{token_hex(2)}"


def _print_plan(planned: Any, *, as_json: bool) -> None:
    from audit.plan import as_rows

    _table(as_rows(planned), as_json=as_json)


def _print_end(folder: Any, *, quiet: bool) -> None:
    if not quiet:
        _print(f"report: {folder.report}")
    _print(folder.path)
