"""The commands for a second look, months later: rerun, compare."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from audit.errors import UserError
from audit.options import DEFAULT_RUNS, JSON, QUIET, RUN, RUNS
from audit.terminal import command, show, show_run, table

again_app = typer.Typer()


@command(again_app)
def rerun(
    run: RUN,
    runs: RUNS = DEFAULT_RUNS,
    out: Annotated[
        str | None, typer.Option(help="The new run's id. [date, time, provider]")
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Where the same photos are now. [where they were]")
    ] = None,
    recogniser: Annotated[
        str | None,
        typer.Option(
            help="Another network behind the emulator, or of provider local: rehearses "
            "that the service changed its model. [the same]"
        ),
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="The service's address now.")] = None,
    tier: Annotated[str | None, typer.Option(help="The service's plan now.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Today's prices: a TOML file.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")] = None,
    max_calls: Annotated[int | None, typer.Option(help="Stop before the call after these.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="Stop before spending more, USD.")] = None,
    purge_after: Annotated[
        bool | None, typer.Option("--purge-after", help="Delete at the service when done.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Like `audit plan`.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to uploading the photos.")] = False,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Repeat a run today: the same photos, split, cloaked bytes, arms and settings."""
    from audit import consent, manifest, runner
    from audit.folders import find_run, new_id
    from audit.progress import Progress

    old = find_run(runs, run)
    changed = {
        "photos": photos, "recogniser": recogniser, "endpoint": endpoint, "tier": tier,
        "prices": prices, "device": device, "max_calls": max_calls, "max_cost": max_cost,
        "purge_after": purge_after,
    }  # fmt: skip
    given = {key: value for key, value in changed.items() if value is not None}
    if dry_run:
        table(runner.plan_rerun(old, **given), as_json=as_json)
        return
    provider = manifest.read(old).get("service", {}).get("provider", "rerun")
    run_id = new_id(provider) if out is None else out
    agree = functools.partial(consent.ask, yes=yes)
    folder = runner.rerun(old, runs, run_id, agree, Progress(quiet=quiet), **given)
    show_run(folder, quiet=quiet)


@command(again_app)
def compare(
    run: Annotated[list[str], typer.Argument(help="The runs' ids or folders.")],
    runs: RUNS = DEFAULT_RUNS,
    force: Annotated[
        bool,
        typer.Option("--force", help="Compare what can't be compared; the report says why not."),
    ] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A published study to stand beside, e.g. uva-2021. Repeatable."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="The folder for page and tables. [RUNS/comparisons/...]")
    ] = None,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Compare runs of the same experiment months apart, at several services, or with a study.

    The last line printed is the page.
    """
    import reports
    from audit.folders import comparison_folder, find_run, require_place

    folders = [find_run(runs, name).path for name in run]
    if len(folders) == 1 and not against:
        raise UserError("one run is no comparison.", expected="two runs, or --against STUDY")
    place = to or comparison_folder(runs, [folder.name for folder in folders], against or [])
    require_place(place)
    found = reports.compare(folders, place, force=force, against=against or ())
    if as_json:
        show(found.to_json())
        return
    if not quiet:
        for sentence in found.sentences:
            show(sentence)
    show(found.page)
