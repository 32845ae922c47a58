"""Carries out planned calls: each verb belongs to enrolment, exchange or probing."""

from collections.abc import Callable, Mapping

from audit.calls import CallRow, CallState
from audit.enrolment import Enrolment
from audit.errors import Stopped
from audit.exchange import Exchange
from audit.execution import CallFailed, Executor
from audit.probing import Probing, Question
from audit.sending import Sender


class Steps:
    """The planned calls of one run, one at a time."""

    def __init__(self, executor: Executor, sender: Sender, run_id: str, question: Question) -> None:
        self._ledger = executor.ledger
        enrolment = Enrolment(executor, sender, run_id)
        self._steps: Mapping[str, Callable[[CallRow], None]] = {
            **enrolment.steps,
            **Exchange(executor, enrolment).steps,
            **Probing(executor, sender, enrolment, question).steps,
        }

    def carry_out(self, row: CallRow) -> None:
        """Make one planned call, or skip it where an earlier answer made it pointless.

        A question about a lost answer, left by a run that died, is asked anew where it is needed.
        """
        step = self._steps.get(row.call.verb)
        if step is None:
            self._ledger.set_state(row.seq, CallState.SKIPPED)
            return
        try:
            step(row)
        except CallFailed as failed:
            raise Stopped(
                f"{row.call.operation} is answered {failed.failure.code}: {failed.failure.message}",
                remedy=f"see whether the gallery {row.call.gallery} is still at the service: if it "
                "is gone, a new run is needed, else `audit resume` this one",
            ) from None
