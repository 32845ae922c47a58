"""Identification: at which place the true person comes among all enrolled ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ranks(scores: NDArray[np.floating], true: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the true person's place for each probe, 1 = first.

    `scores` is probes x people, `true` the column of each probe's person. Those who score the same
    as she does stand behind her.
    """
    own = np.take_along_axis(scores, true[:, None], axis=1)
    places: NDArray[np.intp] = 1 + (scores > own).sum(axis=1)
    return places


def within(places: NDArray[np.intp], tops: Sequence[int]) -> dict[int, int]:
    """Return how many probes' persons are among the first n, by n (Face-Off, section 6.3)."""
    return {top: int((places <= top).sum()) for top in tops}
