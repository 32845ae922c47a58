"""What can go wrong, sorted by what the person at the terminal does about it.

    AuditError
    |-- UserError         exit 2: the user's input; fix it and call again
    |-- Stopped           exit 3: stopped before the end; `audit resume` continues
    |-- ServiceRefused    exit 4: keys or approval; only the service's owner can help
    `-- Interrupted       exit 130: Ctrl-C; the message says how to go on

Anything else that reaches the command line is a defect of ours (exit 1).
"""

from typing import ClassVar


class AuditError(Exception):
    """A failure told in one message: what was seen, what was expected, what to do.

    No message may hold a secret or a photo's bytes.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, seen: str, *, expected: str = "", remedy: str = "") -> None:
        self.seen = seen
        self.expected = expected
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.seen]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  to do:    {self.remedy}")
        return "\n".join(lines)


class UserError(AuditError):
    """The user's input can't be used as it is."""

    exit_code = 2


class Stopped(AuditError):  # noqa: N818 - a state a person reads, not a fault
    """The run ended early (budget, quota, provider down) and can be resumed."""

    exit_code = 3


class Interrupted(AuditError):  # noqa: N818 - what a person did, not a fault
    """Ctrl-C, or a `kill` that lets a program end itself."""

    exit_code = 130


class ServiceRefused(AuditError):  # noqa: N818 - as above
    """The service turns this account away: keys, approval, permission."""

    exit_code = 4
