"""Verification: do two photos show the same person? Pairs and accuracy as LFW has them.

LFW's View 2 (Huang et al. 2007): ten folds with nobody in two of them, 300 pairs of one person and
300 of two in each; the threshold for a fold is that which is best on the other nine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.rates import Scores, rate_at, threshold_at

FOLDS = 10
PAIRS_A_FOLD = 300
FALSE_MATCH_RATES = (1e-2, 1e-3)
_PEOPLE_A_FOLD_MIN = 2
_IMPOSTORS_MAX = 1_000_000

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of photos by their places: P each. `same`: of one person."""

    first: Places
    second: Places
    same: NDArray[np.bool_]
    fold: Places

    @property
    def folds(self) -> int:
        """Return how many folds there are."""
        return int(self.fold.max()) + 1


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Mean over the folds with its standard error, and the mean of the folds' thresholds."""

    mean: float
    standard_error: float
    threshold: float
    folds: int


def pairs(people: Places, seed: int, a_fold: int = PAIRS_A_FOLD) -> Pairs:
    """Draw LFW-style pairs from photos whose people are given (N).

    There are ten folds, fewer if there are fewer than twenty people with two photos, and in each
    as many pairs of one person as of two: `a_fold`, or as many as it has. Raises ValueError if there
    are fewer than four such people.
    """
    random = np.random.default_rng(seed)
    names, counts = np.unique(people, return_counts=True)
    usable = random.permutation(names[counts > 1])
    folds = min(FOLDS, len(usable) // _PEOPLE_A_FOLD_MIN)
    if folds < 2:
        raise ValueError(f"{len(usable)} people with two photos; folds need four at least")
    parts = [
        _fold(people, np.isin(people, chosen), random, a_fold)
        for chosen in np.array_split(usable, folds)
    ]
    first, second, same = (np.concatenate(some) for some in zip(*parts, strict=True))
    fold = np.repeat(np.arange(folds), [len(part[0]) for part in parts])
    return Pairs(first, second, same, fold)


def _fold(
    people: Places, chosen: NDArray[np.bool_], random: np.random.Generator, most: int
) -> tuple[Places, Places, NDArray[np.bool_]]:
    places = np.flatnonzero(chosen)
    one, other = np.triu_indices(len(places), 1)
    same = people[places[one]] == people[places[other]]
    count = min(most, int(same.sum()), int((~same).sum()))
    kept = np.concatenate(
        [random.choice(np.flatnonzero(kind), count, replace=False) for kind in (same, ~same)]
    )
    return places[one[kept]], places[other[kept]], same[kept]


def cosines(embeddings: NDArray[np.float32], chosen: Pairs) -> Scores:
    """Return the cosine of each pair; `embeddings` are N x D, unit."""
    found: Scores = np.einsum("pd,pd->p", embeddings[chosen.first], embeddings[chosen.second])
    return found


def accuracy(scores: Scores, chosen: Pairs) -> Accuracy:
    """Return the accuracy of each fold at the threshold that is best on all others."""
    shares, thresholds = [], []
    for fold in range(chosen.folds):
        here = chosen.fold == fold
        threshold = best_threshold(scores[~here], chosen.same[~here])
        thresholds.append(threshold)
        shares.append(float(((scores[here] >= threshold) == chosen.same[here]).mean()))
    error = float(np.std(shares, ddof=1) / np.sqrt(len(shares)))
    return Accuracy(float(np.mean(shares)), error, float(np.mean(thresholds)), chosen.folds)


def best_threshold(scores: Scores, same: NDArray[np.bool_]) -> float:
    """Return the threshold that puts most pairs right; of equals, between the middle two scores."""
    order = np.argsort(scores)
    ordered = np.asarray(scores, np.float64)[order]
    below = np.concatenate([[0], np.cumsum(~same[order])])  # pairs of two people kept apart
    above = same.sum() - np.concatenate([[0], np.cumsum(same[order])])
    right = below + above
    ends = np.concatenate([[ordered[0] - 1], ordered, [ordered[-1] + 1]])
    middles = (ends[1:] + ends[:-1]) / 2
    right[1:-1][np.diff(ordered) == 0] = -1  # no threshold falls between equal scores
    best = np.flatnonzero(right == right.max())
    return float(middles[best[len(best) // 2]])


def balanced_accuracy(genuine: Scores, impostor: Scores, threshold: float) -> float:
    """Return the accuracy on as many pairs of one person as of two, at a given threshold."""
    found = rate_at(genuine, impostor, threshold)
    return (found.hit_rate + 1 - found.false_rate) / 2


def change(clean: float, cloaked: float) -> float:
    """Return by which share cloaks lower an accuracy above chance (as Ulixes, table 2, has it)."""
    return (cloaked - clean) / (clean - 0.5) if clean > 0.5 else float("nan")


def impostor_cosines(embeddings: NDArray[np.float32], people: Places, seed: int) -> Scores:
    """Return the cosines of all pairs of two people, or of a million drawn ones."""
    first, second = np.triu_indices(len(people), 1)
    places = np.flatnonzero(people[first] != people[second])
    if len(places) > _IMPOSTORS_MAX:
        places = np.random.default_rng(seed).choice(places, _IMPOSTORS_MAX, replace=False)
    products = embeddings @ embeddings.T
    found: Scores = products[first[places], second[places]]
    return found


def match_thresholds(impostor: Scores) -> dict[float, float]:
    """Return the threshold of each of the FALSE_MATCH_RATES."""
    return {rate: threshold_at(impostor, rate) for rate in FALSE_MATCH_RATES}
