"""How a local recogniser ranks the people of a gallery for a probe."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import numpy as np

from audit.types import Candidate
from providers.emulators.database import Embedding
from providers.emulators.matching import rank
from providers.emulators.options import Matching

# At scikit-learn's 1.0, unit embeddings get probabilities near to one another: of 30 people of LFW
# with five photos each, the true one got 0.23 (median), far below any threshold. 100 gives 0.95.
_INVERSE_REGULARISATION = 100.0
_STEPS_MAX = 1000

Score = Callable[[float], float]
Ranking = Callable[[Embedding], list[Candidate]]


class LocalMatching(StrEnum):
    """`nearest` face, nearest `centroid` of a person's faces, or a `linear` classifier on them."""

    NEAREST = "nearest"
    CENTROID = "centroid"
    LINEAR = "linear"


def ranking(
    matching: LocalMatching, people: Sequence[str], embeddings: Embedding, score: Score
) -> Ranking:
    """Return what ranks everyone for a probe (D, unit), best first; ties go by name.

    `people` names the person of each of the embeddings (N x D, unit). `native_score` is the
    cosine, and its score is calibrated; with a linear classifier both are the probability.
    """
    if matching is LocalMatching.LINEAR and len(set(people)) > 1:
        return _linear(people, embeddings)
    # A classifier of one person could only say yes to everybody.
    pooling = Matching.NEAREST if matching is LocalMatching.NEAREST else Matching.CENTROID

    def ranked(probe: Embedding) -> list[Candidate]:
        cosines = rank(people, embeddings, probe, pooling)
        return [Candidate(person, score(cosine), cosine) for person, cosine in cosines]

    return ranked


def _linear(people: Sequence[str], embeddings: Embedding) -> Ranking:
    """Fit multinomial logistic regression, as on top of a feature extractor (Fawkes, 2020)."""
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=_STEPS_MAX)
    classifier.fit(embeddings.astype(np.float64), list(people))

    def ranked(probe: Embedding) -> list[Candidate]:
        [probabilities] = classifier.predict_proba(probe.astype(np.float64)[None])
        found = zip(classifier.classes_.tolist(), probabilities.tolist(), strict=True)
        candidates = [Candidate(person, chance, chance) for person, chance in found]
        return sorted(candidates, key=lambda one: (-one.score, one.person_id))

    return ranked
