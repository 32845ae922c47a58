"""Before photos leave the machine: what goes where, and a yes."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from audit import services
from audit.clock import utc
from audit.errors import UserError
from audit.experiment import Experiment


def ask(experiment: Experiment, *, yes: bool) -> Mapping[str, Any]:
    """Return the consent for the manifest; raises UserError when it is not given.

    An emulator and a local recogniser are this machine: nothing leaves, nothing is asked.
    """
    if not services.leaves_this_machine(experiment):
        return {"needed": False}
    if not yes and not _answer(experiment):
        raise UserError(
            "photos are not uploaded without a yes.",
            expected="'yes' at the question, or --yes where nobody can answer",
            remedy="`audit plan` shows what would be sent; --emulate rehearses it here",
        )
    return {"needed": True, "given_utc": utc(time.time()), "by": "--yes" if yes else "terminal"}


def _answer(experiment: Experiment) -> bool:
    if not sys.stdin.isatty():
        return False
    print(  # noqa: T201 - a question to the person at the terminal
        f"The photos of {', '.join(experiment.person) or 'the protected people'} and of every "
        f"decoy in {experiment.photos} will be sent to {experiment.service} and stored there as "
        "face data until `audit purge` deletes them. All of these people must have agreed.",
        file=sys.stderr,
    )
    return input("Send them? (yes/no) ").strip().lower() == "yes"
