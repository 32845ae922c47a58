"""The command line called in this process, so that torch is imported once for all tests."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_ALWAYS_DRAWN = ("scores", "protection", "threshold", "rank", "change", "slopes")


def invoke(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Call it; return how it ended and what it printed."""
    from typer.testing import CliRunner

    from audit.cli import app

    words = [*map(str, arguments)]
    result = CliRunner().invoke(app, words, env=environment)
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


def called(*arguments: object) -> str:
    """Call it, which has to end well; return its results."""
    done = invoke(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def figures_left_out() -> Iterator[None]:
    """Leave out the figures of reports, which take longer than a run; other tests draw them."""
    from reports.drawing import Drawn

    empty = dict.fromkeys(_ALWAYS_DRAWN, Drawn("", b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.html.report_figures", lambda *_: empty)
        yield
