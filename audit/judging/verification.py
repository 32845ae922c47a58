"""verification.csv: how an arm's photos match clean ones of the same people, pair by pair."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from audit.judging.judge import Judge, Row, Scores, Shown
from evaluation import rates, verification


@dataclass(frozen=True, slots=True)
class Clean:
    """What a network makes of pairs of clean photos: LFW's accuracy, and impostors' cosines."""

    pairs: int
    accuracy: verification.Accuracy
    impostor: Scores

    @property
    def distance(self) -> float:
        """Return the threshold as the distance of unit embeddings."""
        return math.sqrt(max(2 - 2 * self.accuracy.threshold, 0))

    def row(self, network: str) -> Row:
        """Return a row of clean_pairs.csv."""
        return {
            "judged_by": network,
            "pairs": self.pairs,
            "folds": self.accuracy.folds,
            "accuracy": self.accuracy.mean,
            "standard_error": self.accuracy.standard_error,
            "threshold": self.accuracy.threshold,
            "impostor_pairs": len(self.impostor),
        }


def clean_pairs(judge: Judge) -> Clean:
    """Judge pairs of everybody's clean photos. Raises ValueError if there are too few people."""
    faces, people = judge.clean
    drawn = verification.pairs(people, judge.seed)
    accuracy = verification.accuracy(verification.cosines(faces, drawn), drawn)
    impostor = verification.impostor_cosines(faces, people, judge.seed)
    return Clean(len(drawn.same), accuracy, impostor)


def rows(judge: Judge, shown: Shown, clean: Clean) -> Iterator[Row]:
    """Yield how an arm's photos match clean held-out ones, by false-match rate.

    Thresholds are those of clean photos, since a tracker sets them before it meets a cloak.
    """
    genuine, others = _with_clean(judge, shown)
    if not len(genuine):
        return
    area = judge.keep_curve(shown, "verification", genuine, others)
    balanced = verification.balanced_accuracy(genuine, others, clean.accuracy.threshold)
    for rate, threshold in verification.match_thresholds(clean.impostor).items():
        found = rates.rate_at(genuine, others, threshold)
        yield {
            **judge.told(shown),
            "false_match_rate": rate,
            "threshold": threshold,
            "matched": found.hits,
            "genuine_pairs": found.positives,
            "true_match_rate": found.hit_rate,
            "false_matches": found.false_alarms,
            "impostor_pairs": found.negatives,
            "accuracy": balanced,
            "accuracy_change": verification.change(clean.accuracy.mean, balanced),
            "area": area,
        }


def _with_clean(judge: Judge, shown: Shown) -> tuple[Scores, Scores]:
    """Return cosines of the arm's photos with clean held-out ones: of the same, of others."""
    clean = {**judge.people.held_out, **judge.people.decoys}
    seen = {who: judge.faces(photos) for who, photos in clean.items()}
    genuine, others = [], []
    for person, photos in shown.photos.items():
        own = judge.faces(photos)
        genuine.append((own @ seen[person].T).ravel())
        others.append((own @ np.concatenate([seen[w] for w in seen if w != person]).T).ravel())
    return np.concatenate(genuine), np.concatenate(others)
