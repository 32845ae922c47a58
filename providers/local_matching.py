"""How a local recogniser ranks the people of a gallery for a probe: the trackers of the papers."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from audit.types import Candidate
from providers.emulators.database import Embedding
from providers.emulators.matching import Faces
from providers.emulators.options import Matching

# At scikit-learn's 1.0, unit embeddings get probabilities near to one another: of 30 people of LFW
# with five photos each, the true one got 0.23 (median), far below any threshold. 100 gives 0.95.
_INVERSE_REGULARISATION = 100.0
_STEPS_MAX = 1000

NEIGHBOURS = 5  # Ulixes doesn't say how many; scikit-learn's own
BOUND = 1.242  # of unit embeddings' distance (Ulixes, section 5.1)
_HIDDEN_NEURONS = (20, 20)  # likewise
_ACCURACY_ENOUGH = (
    0.95  # on the training photos (Ulixes, section 5.2); others may be known less well
)
_EPOCHS_MAX = 2000

Score = Callable[[float], float]
Ranking = Callable[[Embedding], list[Candidate]]
Chances = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Probes P x D in, what speaks for each person out, P x people in 0..1."""


class LocalMatching(StrEnum):
    """What a tracker goes by; every one works on unit embeddings.

    The `nearest` enrolled face, the nearest unless its distance is over 1.242 (`bounded-nearest`),
    the nearest `centroid` of a person's faces, the votes of the five nearest faces (`k-nearest`),
    their votes by closeness (`weighted-k-nearest`), or a classifier: multinomial logistic
    regression (`linear`), a linear `svm`, or a `network` of two hidden layers.
    """

    NEAREST = "nearest"
    CENTROID = "centroid"
    LINEAR = "linear"
    K_NEAREST = "k-nearest"
    WEIGHTED_K_NEAREST = "weighted-k-nearest"
    BOUNDED_NEAREST = "bounded-nearest"
    SVM = "svm"
    NETWORK = "network"


def ranking(
    matching: LocalMatching, people: Sequence[str], embeddings: Embedding, score: Score
) -> Ranking:
    """Return what ranks everyone for a probe (D, unit), best first.

    `people` names the person of each of the embeddings (N x D, unit). `native_score` is the
    cosine, and its score is calibrated; with votes both are the share of them, with a classifier
    the probability. Equals go by their nearest face, then by name.
    """
    if matching in _LEARNERS and len(set(people)) > 1:
        return _learned(_LEARNERS[matching], people, embeddings)
    # A classifier of one person could only say yes to everybody.
    pooling = Matching.NEAREST if "nearest" in matching else Matching.CENTROID
    least = 1 - BOUND**2 / 2 if matching is LocalMatching.BOUNDED_NEAREST else -math.inf
    faces = Faces(people, embeddings) if people else None

    def ranked(probe: Embedding) -> list[Candidate]:
        if faces is None:
            return []
        cosines = faces.cosines(probe, pooling)
        found = cosines.tolist()
        return [
            Candidate(faces.names[place], score(found[place]), found[place])
            for place in faces.best_first(cosines)
            if found[place] >= least
        ]

    return ranked


def _learned(
    learn: Callable[[NDArray[np.float64], Sequence[str]], Chances],
    people: Sequence[str],
    embeddings: Embedding,
) -> Ranking:
    # A gallery with a photo or two of each person has, as it should, nearly as many people as faces.
    warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
    chances_of = learn(embeddings.astype(np.float64), people)
    faces = Faces(people, embeddings)
    classes = np.argsort(np.argsort(faces.names))  # scikit-learn's are in the order of the names

    def ranked(probe: Embedding) -> list[Candidate]:
        [chances] = chances_of(probe.astype(np.float64)[None])
        by_face = faces.best_first(faces.cosines(probe, Matching.NEAREST))
        found = [(faces.names[place], float(chances[classes[place]])) for place in by_face]
        candidates = [Candidate(person, chance, chance) for person, chance in found]
        return sorted(candidates, key=lambda one: -one.score)

    return ranked


def _logistic(faces: NDArray[np.float64], people: Sequence[str]) -> Chances:
    """Fit multinomial logistic regression, as on top of a feature extractor (Fawkes, 2020)."""
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=_STEPS_MAX)
    chances: Chances = classifier.fit(faces, list(people)).predict_proba
    return chances


def _votes(weights: str) -> Callable[[NDArray[np.float64], Sequence[str]], Chances]:
    def learn(faces: NDArray[np.float64], people: Sequence[str]) -> Chances:
        from sklearn.neighbors import KNeighborsClassifier

        neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(faces)), weights=weights)
        chances: Chances = neighbours.fit(faces, list(people)).predict_proba
        return chances

    return learn


def _support_vectors(faces: NDArray[np.float64], people: Sequence[str]) -> Chances:
    """Fit a linear machine for each person against all others.

    What speaks for a person is the logistic function of her signed distance: no probability, but
    in its order and within 0..1.
    """
    from sklearn.svm import LinearSVC

    machine = LinearSVC(random_state=0, max_iter=_STEPS_MAX).fit(faces, list(people))

    def chances(probes: NDArray[np.float64]) -> NDArray[np.float64]:
        margins = machine.decision_function(probes)
        both = margins if margins.ndim > 1 else np.stack([-margins, margins], axis=1)
        found: NDArray[np.float64] = 1 / (1 + np.exp(-both))
        return found

    return chances


def _perceptron(faces: NDArray[np.float64], people: Sequence[str]) -> Chances:
    """Train a network until it knows 95 % of its training photos (Ulixes, section 5.2)."""
    from sklearn.neural_network import MLPClassifier

    network, labels = MLPClassifier(_HIDDEN_NEURONS, random_state=0), list(people)
    names = sorted(set(people))
    scale = math.sqrt(faces.shape[1])  # of unit vectors: to numbers of about 1, as networks want
    for _ in range(_EPOCHS_MAX):
        network.partial_fit(scale * faces, labels, classes=names)
        if network.score(scale * faces, labels) > _ACCURACY_ENOUGH:
            break

    def chances(probes: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = network.predict_proba(scale * probes)
        return found

    return chances


_LEARNERS: Mapping[LocalMatching, Callable[[NDArray[np.float64], Sequence[str]], Chances]] = {
    LocalMatching.LINEAR: _logistic,
    LocalMatching.K_NEAREST: _votes("uniform"),
    LocalMatching.WEIGHTED_K_NEAREST: _votes("distance"),
    LocalMatching.SVM: _support_vectors,
    LocalMatching.NETWORK: _perceptron,
}
