"""The command line: each command reads its input, calls the room that does it, prints.

Nothing heavy is imported here: `audit --help` needs neither torch nor pandas.
"""

import functools
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audit.cli_again import again_app
from audit.cli_networks import networks_app
from audit.cli_tools import tools_app
from audit.errors import UserError
from audit.options import (
    DEFAULT_RUNS,
    JSON,
    QUIET,
    RUN,
    RUNS,
    SMALL,
    train_size,
    with_experiment_options,
)
from audit.terminal import command, show, show_run, show_study, table

if TYPE_CHECKING:
    from audit.experiment import Experiment
    from audit.folders import RunFolder
    from audit.progress import Progress
    from audit.study import Study
    from audit.study_folder import StudyFolder

app = typer.Typer(
    help="Measure whether cloaked photos protect a person from face-recognition services.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(again_app)
app.add_typer(tools_app)
app.add_typer(networks_app)


def main() -> None:
    """Run the command line; `kill` ends a run as Ctrl-C does, also one started in the background."""
    # Before torch is imported. Threads that spin while they wait take the cores from whoever works:
    # on two busy cores a step of cloaking was seen to take 13 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Cores are for photos, each computed by one: see `cloaker.pipeline`.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # What the SDKs have to say is no message for a person; the run's log is another logger.
    logging.getLogger().addHandler(logging.NullHandler())
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)  # shells let background processes ignore it
    app()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@command(app)
@with_experiment_options
def run(
    given: dict[str, Any],
    runs: RUNS = DEFAULT_RUNS,
    out: Annotated[str | None, typer.Option(help="The run's id. [date, time, provider]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Like `audit plan`.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to uploading the photos.")] = False,
    lock: Annotated[
        Path | None, typer.Option(help="What `audit plan --lock` wrote: the report holds it up.")
    ] = None,
    small: SMALL = False,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Run one experiment from photos to report; the last line printed is the run folder.

    A study of several experiments ends with its own folder, which has the page.
    """
    from audit import consent, runner, services, study_runs
    from audit.folders import new_id
    from audit.progress import Progress

    progress, agree = Progress(quiet=quiet), functools.partial(consent.ask, yes=yes)
    study = _study(given, small=small)
    if study and not dry_run:
        begun = study_runs.begin(study, runs, out, progress)
        _carry_out(begun, progress, agree, lock=lock)
        show_study(begun, quiet=quiet)
        return
    if dry_run:
        table(_plan(study, given, progress), as_json=as_json)
        return
    experiment = _experiment(given)
    services.check_keys(experiment)
    run_id = new_id(experiment.provider) if out is None else out
    folder = runner.start(experiment, runs, run_id, agree, progress, lock=lock)
    show_run(folder, quiet=quiet)


@command(app)
@with_experiment_options
def plan(
    given: dict[str, Any],
    lock: Annotated[
        Path | None,
        typer.Option(help="Lock the experiment and the claims in a new file (pre-registration)."),
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(help="What the run will show: 'high: protection >= 0.5'. Repeatable."),
    ] = None,
    small: SMALL = False,
    as_json: JSON = False,
    quiet: QUIET = False,
) -> None:
    """Count, time and price every call of a run without making one."""
    from audit import preregistration
    from audit.progress import Progress

    if claim and not lock:
        raise UserError("a claim is locked in a file.", expected="--lock FILE beside --claim")
    progress = Progress(quiet=quiet)
    register = None
    if lock:
        preregistration.require_new(lock)
        register = functools.partial(preregistration.lock, file=lock, claims=claim or ())
    table(_plan(_study(given, small=small), given, progress, register), as_json=as_json)


@command(app)
def resume(
    run: RUN,
    runs: RUNS = DEFAULT_RUNS,
    max_calls: Annotated[int | None, typer.Option(help="A new limit of calls.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="A new limit in USD.")] = None,
    quiet: QUIET = False,
) -> None:
    """Continue an interrupted run, or study; nothing that is done is done again."""
    from audit import consent, runner, study_folder
    from audit.folders import find_run
    from audit.progress import Progress

    progress, budget = Progress(quiet=quiet), {"max_calls": max_calls, "max_cost": max_cost}
    if study := study_folder.find(runs, run):
        _carry_out(study, progress, functools.partial(consent.ask, yes=False), budget=budget)
        show_study(study, quiet=quiet)
        return
    folder = find_run(runs, run)
    runner.resume(folder, progress, **budget)
    show_run(folder, quiet=quiet)


@command(app)
def report(run: RUN, runs: RUNS = DEFAULT_RUNS, quiet: QUIET = False) -> None:
    """Rebuild the report from the run folder alone, or a study's page from those of its runs."""
    import reports
    from audit import study_folder, study_runs
    from audit.folders import find_run

    del quiet
    study = study_folder.find(runs, run)
    if study and study.names() != [""]:
        show(study_runs.write_page(study))
        return
    show(reports.build(find_run(runs, run).path))


@command(app)
def export(
    run: RUN,
    format: Annotated[  # noqa: A002 - the option is called so
        str, typer.Option(help="csv, parquet or jsonl.")
    ] = "csv",
    to: Annotated[Path | None, typer.Option(help="The folder for the tables. [RUN/export]")] = None,
    runs: RUNS = DEFAULT_RUNS,
    quiet: QUIET = False,
) -> None:
    """Write the run's observations, calls, enrolments and changed uploads as typed tables."""
    import reports
    from audit.folders import find_run, require_place

    del quiet
    folder = find_run(runs, run).path
    to = to or folder / "export"
    require_place(to)
    for path in reports.export(folder, format, to):
        show(path)


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
    table([run_status.of(run_status.chosen(runs, run))], as_json=as_json)


@command(app, "list")
def list_(runs: RUNS = DEFAULT_RUNS, as_json: JSON = False, quiet: QUIET = False) -> None:
    """List the runs there are."""
    from audit import status as run_status
    from audit.folders import existing_folder, list_runs
    from audit.progress import Progress

    folders = list_runs(existing_folder(runs))
    if not folders:
        Progress(quiet=quiet).say(f"there is no run in {runs}")
    table([run_status.of(folder) for folder in folders], as_json=as_json)


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
    table(rows, as_json=as_json)
    purging.check(rows)


def _experiment(given: dict[str, Any]) -> "Experiment":
    from audit.experiment import resolve

    return resolve(given.pop("experiment", None), given)


def _study(given: dict[str, Any], *, small: bool) -> "Study | None":
    """Return the study that is asked for; the flags of an experiment are read for both."""
    from audit import study

    if "train" in given:
        given["train"] = train_size(given["train"])
    name = given.pop("study", None)
    if name:
        return study.read(name, given, given.pop("experiment", None), small=small)
    if small:
        raise UserError("only a study has a small form.", expected="--study NAME beside --small")
    return None


def _plan(
    study: "Study | None", given: dict[str, Any], progress: "Progress", register: Any = None
) -> list[dict[str, object]]:
    from audit import runner, study_runs

    if study is None:
        return runner.plan(_experiment(given), progress, register)
    if study.is_one_experiment:
        return runner.plan(study.runs[0].experiment, progress, register)
    if register:
        raise UserError(
            f"{study.name} is {len(study.runs)} experiments, and a lock holds one.",
            expected="an experiment of your own: --experiment FILE",
        )
    return study_runs.plan(study, runner.forecasts, progress)


def _carry_out(
    study: "StudyFolder",
    progress: "Progress",
    agree: Any,
    *,
    lock: Path | None = None,
    budget: Mapping[str, float | None] | None = None,
) -> None:
    from audit import runner, study_runs

    def start(experiment: "Experiment", run_id: str) -> object:
        return runner.start(experiment, study.runs, run_id, agree, progress, lock=lock)

    def resume(run: "RunFolder", limits: Mapping[str, float]) -> object:
        return runner.resume(run, progress, **limits)

    study_runs.carry_out(study, start, resume, progress, budget)
