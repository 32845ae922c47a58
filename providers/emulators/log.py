"""What an emulator was asked: one entry a request, without any photo or key."""

from datetime import UTC, datetime
from typing import Any

Entry = dict[str, Any]


def timestamp(unix_s: float) -> str:
    """Return Unix seconds as RFC 3339 UTC with milliseconds."""
    moment = datetime.fromtimestamp(unix_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Log:
    """The requests received, oldest first.

    An entry has `utc`, `operation`, `status` (null: no answer was sent or is not ready),
    `body_size` (bytes) and `fault` (null: none was injected).
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def append(self, unix_s: float, operation: str, body_size: int) -> Entry:
        """Enter a request as it arrives; the caller fills in what becomes of it."""
        entry: Entry = {
            "utc": timestamp(unix_s),
            "operation": operation,
            "status": None,
            "body_size": body_size,
            "fault": None,
        }
        self.entries.append(entry)
        return entry
