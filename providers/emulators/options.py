"""How an emulator behaves: what `audit emulate` and tests choose."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from providers.base import Rate


class Matching(StrEnum):
    """How a person's enrolled faces become one score.

    `nearest`: the best of them, so that a single badly cloaked photo gives the person away.
    `centroid`: their mean, as in a classifier trained on the person. No service says which it
    does. In the UvA study (2021) half a gallery of clean photos brought Azure's confidence back to
    that of a clean gallery, which is what `nearest` does.
    """

    NEAREST = "nearest"
    CENTROID = "centroid"


@dataclass(frozen=True, slots=True)
class Options:
    """An emulator's behaviour.

    `state` is the folder that survives a restart, None = memory only. `keys` are the keys that
    are let in, None = every key that is not empty. `gated`: the account lacks Microsoft's
    approval for identification. `training_s`: how long a training runs. `faces_max`: how many
    faces the account may hold, None = as many as the service allows. `clock` gives Unix seconds.
    """

    rate: Rate | None = None
    latency_ms: float = 0.0
    state: Path | None = None
    keys: frozenset[str] | None = None
    gated: bool = False
    training_s: float = 0.0
    faces_max: int | None = None
    matching: Matching = Matching.NEAREST
    clock: Callable[[], float] = time.time
