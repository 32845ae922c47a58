"""How an emulator behaves: what `audit emulate` and tests choose."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from providers.base import Rate


@dataclass(frozen=True, slots=True)
class Options:
    """An emulator's behaviour.

    `state` is the folder that survives a restart, None = memory only. `keys` are the keys that
    are let in, None = every key that is not empty. `gated`: the account lacks Microsoft's
    approval for identification. `training_s`: how long a training runs. `clock` gives Unix
    seconds.
    """

    rate: Rate | None = None
    latency_ms: float = 0.0
    state: Path | None = None
    keys: frozenset[str] | None = None
    gated: bool = False
    training_s: float = 0.0
    clock: Callable[[], float] = time.time
