"""The terminal: results to stdout, failures as one message with the contract's exit code."""

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from audit.errors import AuditError

if TYPE_CHECKING:
    from audit.folders import RunFolder
    from audit.study_folder import StudyFolder

_INTERRUPTED = 130


def command(group: typer.Typer, name: str | None = None) -> Callable[..., Callable[..., None]]:
    """Register a command whose failures are one message and the contract's exit code."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            try:
                function(*args, **kwargs)
            except AuditError as error:
                fail(str(error), error.exit_code)
            except KeyboardInterrupt as error:
                fail("; ".join(["interrupted", *map(str, error.args)]), _INTERRUPTED)
            except Exception:  # noqa: BLE001 - the last door: a defect of ours
                from audit import settings

                typer.echo(settings.hide(traceback.format_exc()), nl=False, err=True)
                fail("this is a defect of cloak-audit; please report the lines above", 1)

        return group.command(name)(guarded)

    return register


def fail(message: str, code: int) -> None:
    typer.echo(f"audit: {message}", err=True)
    raise typer.Exit(code)


def show(text: object) -> None:
    """Print to stdout; a reader that has seen enough, such as `head`, ends nothing."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows with aligned columns, or as JSON."""
    if as_json:
        show(json.dumps(rows, indent=2, default=str))
        return
    if not rows:
        return
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_run(folder: "RunFolder", *, quiet: bool) -> None:
    """Print where a finished run's report is, what it left at the service, and its folder last."""
    from audit import purge

    if not quiet:
        show(f"report: {folder.report}")
        if left := purge.offer(folder):
            show(left)
    show(folder.path)


def show_study(folder: "StudyFolder", *, quiet: bool) -> None:
    """Print where a finished study's page is; last its folder, or the run's if it is one run."""
    if not quiet:
        show(f"beside the paper: {folder.path / 'index.html'}")
    if folder.names() == [""]:
        show_run(folder.run(""), quiet=quiet)
    else:
        show(folder.path)
