"""How often the right ones are found at a rate of false alarms: shared by all evaluations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

Scores = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class RateAt:
    """At a threshold: how many of the positives and of the negatives have at least that score."""

    threshold: float
    hits: int
    positives: int
    false_alarms: int
    negatives: int

    @property
    def hit_rate(self) -> float:
        """Return the share of the positives that are found."""
        return self.hits / self.positives if self.positives else float("nan")

    @property
    def false_rate(self) -> float:
        """Return the share of the negatives that are found by mistake."""
        return self.false_alarms / self.negatives if self.negatives else float("nan")


@dataclass(frozen=True, slots=True)
class Roc:
    """A curve from (0, 0) to (1, 1), a point for each threshold that matters, and its area."""

    false_rates: Scores
    hit_rates: Scores
    thresholds: Scores
    area: float


def threshold_at(negatives: Scores, false_rate: float) -> float:
    """Return the lowest threshold that at most this share of the negatives reaches.

    With fewer than 1 / `false_rate` negatives that is just above the highest of them.
    """
    allowed = int(np.floor(false_rate * len(negatives) + 1e-9))
    if allowed >= len(negatives):
        return float("-inf")
    highest = np.sort(np.asarray(negatives, np.float64))[::-1]
    return float(np.nextafter(highest[allowed], np.inf))


def rate_at(positives: Scores, negatives: Scores, threshold: float) -> RateAt:
    """Count who reaches a threshold."""
    return RateAt(
        threshold,
        int((np.asarray(positives, np.float64) >= threshold).sum()),
        len(positives),
        int((np.asarray(negatives, np.float64) >= threshold).sum()),
        len(negatives),
    )


def roc(positives: Scores, negatives: Scores) -> Roc:
    """Return the curve of hits over false alarms. Raises ValueError without positives or negatives."""
    if not len(positives) or not len(negatives):
        raise ValueError("a curve needs positives and negatives")
    truth = np.repeat([1, 0], [len(positives), len(negatives)])
    scores = np.concatenate([positives, negatives])
    false_rates, hit_rates, thresholds = roc_curve(truth, scores)
    return Roc(false_rates, hit_rates, thresholds, float(roc_auc_score(truth, scores)))
