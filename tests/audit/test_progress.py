"""What a person sees while a run works: how far it is, and what it waits for."""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from audit.calls import Call
from audit.clock import Abandoned, WallClock
from audit.execution import Budget, Executor
from audit.ledger import Ledger
from audit.pacing import Pacing
from audit.progress import Progress
from audit.pulse import Pulse
from providers.azure import AzureProvider
from providers.base import Rate, Tier

CALL = Call("azure", "enrol", "AddFace", "control", "audit-1-0", "ann", ("aa",))
NEXT = replace(CALL, photos=("bb",))


class Screen(io.StringIO):
    """A terminal that remembers everything it was shown."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as opened:
        opened.add([CALL, NEXT])
        yield opened


@pytest.fixture
def make_executor(ledger: Ledger, tmp_path: Path) -> Iterator[Callable[..., Executor]]:
    with closing(AzureProvider("http://127.0.0.1:9", "any")) as provider:

        def make(*rates: Rate, stop: Event | None = None) -> Executor:
            clock = WallClock(stop)
            pacing = Pacing(tmp_path / "pacing.db", "account", Tier("t", rates, 0.0), clock)
            return Executor(provider, ledger, pacing, Budget(), clock)

        yield make


def pulse_of(executor: Executor) -> Pulse:
    return Pulse(executor, lambda *_, **__: None, before=0, total=2, floor_s=0.0)


def test_a_call_on_its_way_is_counted_and_a_slow_one_is_named(
    make_executor: Callable[..., Executor], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, sent, answered = make_executor(), Event(), Event()

    def send() -> dict[str, str]:
        sent.set()
        answered.wait()
        return {}

    calling = threading.Thread(target=executor.perform, args=(ledger.calls()[0], send))
    calling.start()
    sent.wait()
    pulse = pulse_of(executor)
    assert pulse.note() == "1 on their way"
    monkeypatch.setattr("audit.pulse._SLOW_S", -1.0)
    assert pulse.note() == "AddFace without an answer for 0 s"
    answered.set()
    calling.join()
    assert pulse.note() == ""


def test_a_wait_for_the_limit_is_told_apart(
    make_executor: Callable[..., Executor], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Event()
    executor = make_executor(Rate(1, 3600), stop=stop)
    first, second = ledger.calls()
    executor.perform(first, dict)

    def wait() -> None:
        with pytest.raises(Abandoned):
            executor.perform(second, dict)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while executor.waiting_until() is None:
        stop.wait(0.01)
    monkeypatch.setattr("audit.pulse.time.time", lambda: executor.waiting_until() or 0.0)
    assert pulse_of(executor).note() == "next call in 0 s"
    stop.set()
    waiting.join()


def test_plain_lines_tell_what_is_waited_for_and_the_end_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = iter(range(0, 1000, 20))
    monkeypatch.setattr("audit.progress.time.monotonic", lambda: float(next(now)))
    with Progress().stage("calls made", 4) as advance:
        advance(0)
        advance(1, note="3 on their way")
        advance(4, note="3 on their way")
        advance(4)

    assert capsys.readouterr().err.splitlines()[1:] == [
        "calls made: 1 of 4, about 1 min 00 s left; 3 on their way",
        "calls made: 4 of 4, 40 s",
    ]


def test_a_terminal_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress().stage("calls made", 4) as advance:
        advance(2, note="next call in 3 s")

    assert "2/4" in screen.getvalue()
    assert "next call in 3 s" in screen.getvalue()
