"""What a run shows while it works: a bar in a terminal, else a plain line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import typer

_LINE_EVERY_S = 15.0


class Advance(Protocol):
    """Tells that `done` units of the stage are finished, of `total` if that has changed.

    `note` says what happens at this moment.
    """

    def __call__(self, done: int, total: int | None = None, note: str = "") -> None:
        """Show it."""
        ...


class Progress:
    """Progress on stderr; stdout stays for results. `quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            with suppress(BrokenPipeError):  # nobody reads on; the run goes on
                typer.echo(text, err=True)

    @contextmanager
    def stage(self, name: str, total: int, *, floor_s: float = 0.0) -> Iterator[Advance]:
        """Show a stage of `total` units that can't take less than `floor_s` seconds each."""
        if self._quiet:
            yield _nothing
        elif sys.stderr.isatty():
            with _bar(name, total, floor_s) as advance:
                yield advance
        else:
            yield _Lines(self, name, total, floor_s)


def eta_s(done: int, total: int, elapsed_s: float, floor_s: float) -> float | None:
    """Return the seconds left: at the pace seen so far, never faster than the limiter allows."""
    if not done:
        return (total * floor_s) or None
    return (total - done) * max(elapsed_s / done, floor_s)


def duration(seconds: float | None) -> str:
    """Return a duration for people: `41 s`, `3 min 05 s`, `13 h 30 min`."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _nothing(done: int, total: int | None = None, note: str = "") -> None:
    del done, total, note


class _Lines:
    """One line at the start of a stage, at its end and every so often between."""

    def __init__(self, progress: Progress, name: str, total: int, floor_s: float) -> None:
        self._progress, self._name, self._total, self._floor_s = progress, name, total, floor_s
        self._started = self._told = time.monotonic()
        self._over = False
        self._first: int | None = None  # what an earlier session did, or the cache held

    def __call__(self, done: int, total: int | None = None, note: str = "") -> None:
        self._total = self._total if total is None else total
        now = time.monotonic()
        if self._first is None:
            self._first, self._started = done, now
        is_over = done >= self._total
        if self._over or (not is_over and now - self._told < _LINE_EVERY_S):
            return
        self._told, self._over = now, is_over
        elapsed_s = now - self._started
        left = eta_s(done - self._first, self._total - self._first, elapsed_s, self._floor_s)
        how = duration(elapsed_s) if is_over else _joined(f"about {duration(left)} left", note)
        self._progress.say(f"{self._name}: {done} of {self._total}, {how}")


def _joined(left: str, note: str) -> str:
    return f"{left}; {note}" if note else left


@contextmanager
def _bar(name: str, total: int, floor_s: float) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    started = time.monotonic()
    first: int | None = None
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, left="")

        def advance(done: int, total: int | None = None, note: str = "") -> None:
            nonlocal first, started
            if first is None:
                first, started = done, time.monotonic()
            whole = total if total is not None else (bar.tasks[0].total or 0)
            left = eta_s(done - first, int(whole) - first, time.monotonic() - started, floor_s)
            shown = _joined(f"{duration(left)} left", note)
            bar.update(task, completed=done, total=whole, left=shown)

        yield advance
