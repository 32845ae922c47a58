"""Memory that is freed goes back to the system."""

import ctypes
import sys

trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
"""Of glibc, which keeps what is freed for the next request of the same thread."""


def give_back() -> None:
    """Return what is free to the system; where the C library isn't glibc, do nothing.

    Between two large photos it costs milliseconds. Without it, threads that optimise batches and
    lay cloaks into photos by turns keep what each needed for the other.
    """
    if trim is not None:
        trim(0)
