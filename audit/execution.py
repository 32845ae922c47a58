"""One call, from outside in: retry, budget, pacing, ledger, adapter.

The order matters: pacing stands inside the retry loop, so that a call sent again is paced too,
and the ledger stands between pacing and the wire, so that nothing leaves unrecorded.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    wait_exponential_jitter,
)

from audit.calls import CallRow, CallState
from audit.clock import Clock, utc
from audit.errors import ServiceRefused, Stopped
from audit.ledger import Ledger
from audit.pacing import Pacing
from providers.base import Failure, FailureKind, Provider

Answer = Mapping[str, Any]
"""A call's answer as the ledger keeps it."""

_ATTEMPTS_MAX = 8
_BUSY_ATTEMPTS_MAX = 150
"""Training a large gallery takes minutes to hours; each attempt then waits up to a minute."""
_RETRYABLE = frozenset({FailureKind.TRANSIENT, FailureKind.THROTTLED, FailureKind.BUSY})
_BACKOFF = wait_exponential_jitter(initial=1, max=60, jitter=1)


class CallFailed(Exception):  # noqa: N818 - an outcome, not a fault
    """A call's failure on its way through the retry loop."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Budget:
    """Where to stop. `usd` prices a call of an operation."""

    max_calls: int | None = None
    max_cost_usd: float | None = None
    usd: Callable[[str], float] = lambda _: 0.0

    def check(self, spent: Mapping[str, int], operation: str) -> None:
        """Raise Stopped if one more call of `operation` would exceed the budget."""
        calls = sum(spent.values()) + 1
        if self.max_calls is not None and calls > self.max_calls:
            raise Stopped(
                f"the budget of {self.max_calls} calls is spent.",
                remedy="`audit resume` the run with a larger --max-calls",
            )
        cost = self.usd(operation) + sum(self.usd(name) * spent[name] for name in spent)
        if self.max_cost_usd is not None and cost > self.max_cost_usd + 1e-9:
            raise Stopped(
                f"the budget of {self.max_cost_usd} USD is spent.",
                remedy="`audit resume` the run with a larger --max-cost",
            )


class Executor:
    """Makes calls and writes down what happens to them; many threads may do so at once."""

    def __init__(
        self,
        provider: Provider,
        ledger: Ledger,
        pacing: Pacing,
        budget: Budget,
        clock: Clock,
        threads: int = 1,
    ) -> None:
        self._threads = threads
        self.provider = provider
        self.ledger = ledger
        self._pacing = pacing
        self._budget = budget
        self._clock = clock
        self._spent = ledger.attempts_by_operation()
        self._sent: dict[int, tuple[str, float]] = {}
        self._lock = Lock()

    def least_s(self, operations: Sequence[str]) -> float:
        """Return how long calls take, one after another, at the tier's limits."""
        return sum(map(self._pacing.spacing_s, operations))

    @property
    def threads(self) -> int:
        """Return how many calls to have on their way, to reach the limit of a slow service too."""
        return self._threads

    def waiting_until(self) -> float | None:
        """Return until when calls wait for a slot now, None if they don't."""
        return self._pacing.waiting_until()

    def on_their_way(self) -> list[tuple[str, float]]:
        """Return the operation and the age in seconds of calls without an answer, oldest first."""
        now = time.perf_counter()
        with self._lock:
            return [(operation, now - began) for operation, began in self._sent.values()]

    def perform(
        self,
        row: CallRow,
        send: Callable[[], Answer],
        find: Callable[[], Answer | None] = lambda: None,
    ) -> Answer | None:
        """Make a call until it is answered; return the answer, or None if its photo is refused.

        `find` asks the service whether a call without an answer was carried out all the same.
        Raises Stopped, ServiceRefused, or CallFailed with a failure that the caller handles.
        """
        doubtful = row.state is CallState.UNKNOWN

        def attempt() -> Answer:
            nonlocal doubtful
            if doubtful and (found := self._find(row, find)) is not None:
                return found
            doubtful = True
            try:
                return self._attempt(row, send)
            except CallFailed as failed:
                doubtful = failed.failure.kind is FailureKind.TRANSIENT
                raise

        retrying = Retrying(
            retry=retry_if_exception(_is_retryable),
            wait=self._wait_s,
            stop=_should_stop,
            before_sleep=lambda _: self.ledger.commit(),
            sleep=self._clock.sleep,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except CallFailed as failed:
            _give_up(failed)
            return None

    def _find(self, row: CallRow, find: Callable[[], Answer | None]) -> Answer | None:
        with self.ledger.together():
            found = find()
            if found is None:
                self.ledger.set_state(row.seq, CallState.PLANNED)
            else:
                self.settle(row, found)
            return found

    def settle(self, row: CallRow, answer: Answer) -> None:
        """Record the answer to a call that the service carried out without telling so."""
        self.ledger.done(row.seq, utc(self._clock.now()), 0.0, answer)

    def _attempt(self, row: CallRow, send: Callable[[], Answer]) -> Answer:
        operation = row.call.operation
        with self._spending(operation):
            slot = self._pacing.reserve(operation)
            self.ledger.sent(row.seq, utc(max(slot.at, self._clock.now())))
        try:
            slot.wait()
        except BaseException:
            self.ledger.not_sent(row.seq)
            raise
        started = time.perf_counter()
        try:
            with self._under_way(row.seq, operation, started):
                answer = send()
        except Exception as error:
            told = error.failure if isinstance(error, CallFailed) else None
            failure = told or self.provider.classify(error)
            self._record(row, failure, _milliseconds_since(started))
            if failure.kind is FailureKind.FATAL:
                raise
            raise CallFailed(failure) from None
        now = utc(self._clock.now())
        self.ledger.done(row.seq, now, _milliseconds_since(started), answer)
        return answer

    @contextmanager
    def _under_way(self, seq: int, operation: str, started: float) -> Iterator[None]:
        with self._lock:
            self._sent[seq] = operation, started
        try:
            yield
        finally:
            with self._lock:
                del self._sent[seq]

    @contextmanager
    def _spending(self, operation: str) -> Iterator[None]:
        """Take a call out of the budget, back again if it is not sent."""
        with self._lock:
            self._budget.check(self._spent, operation)
            self._spent[operation] = self._spent.get(operation, 0) + 1
        try:
            yield
        except BaseException:
            with self._lock:
                self._spent[operation] -= 1
            raise

    def _record(self, row: CallRow, failure: Failure, latency_ms: float) -> None:
        if failure.kind is FailureKind.PHOTO:
            told = ("no_face" if failure.no_face else "refused", failure.code, failure.message)
            self.ledger.failed(row.seq, utc(self._clock.now()), latency_ms, told)
        else:
            doubtful = failure.kind is FailureKind.TRANSIENT
            self.ledger.put_off(row.seq, latency_ms, failure.code, doubtful=doubtful)

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        backoff_s = _BACKOFF(state)
        if not isinstance(error, CallFailed):
            return backoff_s
        wait_s = max(backoff_s, error.failure.retry_after_s or 0.0)
        if error.failure.kind is FailureKind.THROTTLED:
            self._pacing.slow_down(wait_s)
        return wait_s


def _give_up(failed: CallFailed) -> None:
    failure = failed.failure
    if failure.kind is FailureKind.REFUSED:
        raise ServiceRefused(f"the service refuses: {failure.message}") from None
    if failure.kind is FailureKind.QUOTA or failure.kind in _RETRYABLE:
        raise Stopped(
            f"the service answers {failure.code}: {failure.message}",
            remedy="`audit resume` the run later; what is done stays done",
        ) from None
    if failure.kind is not FailureKind.PHOTO:
        raise failed


def _should_stop(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    busy = isinstance(error, CallFailed) and error.failure.kind is FailureKind.BUSY
    return state.attempt_number >= (_BUSY_ATTEMPTS_MAX if busy else _ATTEMPTS_MAX)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, CallFailed) and error.failure.kind in _RETRYABLE


def _milliseconds_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
