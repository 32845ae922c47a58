"""Detection of cloaks by their embeddings (Fawkes, section 8.2; FaceCure, section on detection)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evaluation.rates import Scores

Embeddings = NDArray[np.float32]

FALSE_ALARMS = 0.01
_RESTARTS = 10
_FOLDS = 5
_STEPS_MAX = 1000


def two_means_gap(faces: Embeddings, seed: int) -> float:
    """Return how far the centres of a person's two clusters lie apart; 0 for fewer than two faces.

    Faces n x D are split by 2-means. Where a tracker has cloaked and clean photos of her, the gap
    is said to be wide (Fawkes: three standard deviations above that of other people).
    """
    if len(np.unique(faces, axis=0)) < 2:
        return 0.0
    centres = KMeans(2, n_init=_RESTARTS, random_state=seed).fit(faces).cluster_centers_
    return float(np.linalg.norm(centres[0] - centres[1]))


def closeness(people: Sequence[Embeddings]) -> Scores:
    """Return for each person's faces how near their centroid is to the nearest other person's.

    The negative of the distance: a class that is cloaked towards another one in the gallery is said
    to be unusually near to it (Fawkes: by three standard deviations).
    """
    centroids = np.stack([faces.mean(axis=0) for faces in people]).astype(np.float64)
    squares = (centroids**2).sum(axis=1)
    gaps = np.sqrt(np.maximum(squares[:, None] + squares - 2 * centroids @ centroids.T, 0))
    np.fill_diagonal(gaps, np.inf)
    nearness: Scores = -gaps.min(axis=1)
    return nearness


def supervised(
    faces: Embeddings, cloaked: NDArray[np.bool_], people: NDArray[np.intp], seed: int
) -> Scores:
    """Return how cloaked each face (N x D) looks to a detector that never saw its person.

    Logistic regression on standardised embeddings, trained on the cloaked and clean faces of the
    people of all other folds. Raises ValueError if fewer than two people have cloaked faces.
    """
    folds = min(_FOLDS, len(np.unique(people[cloaked])))
    if folds < 2:
        raise ValueError("a detector needs cloaked faces of two people at least")
    detector = make_pipeline(
        StandardScaler(),
        LogisticRegression(class_weight="balanced", max_iter=_STEPS_MAX, random_state=0),
    )
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    scores: Scores = cross_val_predict(
        detector, faces, cloaked, groups=people, cv=parts, method="decision_function"
    )
    return scores


def deviations(values: Scores, of: Scores) -> Scores:
    """Return how many standard deviations values lie above the mean `of` others; nan for one other."""
    spread = np.std(of, ddof=1) if len(of) > 1 else float("nan")
    found: Scores = (np.asarray(values) - np.mean(of)) / (spread or float("nan"))
    return found
