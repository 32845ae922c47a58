"""mixtures.csv: whether people come apart, unlabelled, when a share of all photos is cloaked."""

from collections.abc import Iterator

import numpy as np

from audit.judging.clustering import CLUSTERED_MAX, clustered, fitting
from audit.judging.judge import Embeddings, Judge, Places, Row, Shown
from evaluation import clustering

SHARES = (0.0, 0.1, 0.5, 1.0)
DRAWS = 10


def rows(judge: Judge, shown: Shown, own_distance: float) -> Iterator[Row]:
    """Yield, by share and stop rule, how many photos lie with their own people (Ulixes, table 1).

    Clustered are the protected people's training photos alone, and of those `share`, picked at
    random from all, are seen as the arm shows them: counts are means of ten draws, in whole photos.
    """
    clean, cloaked, owners = _pairs(judge, shown)
    if not len(owners):
        return
    random = np.random.default_rng(judge.seed)
    for share in SHARES if (clean != cloaked).any() else SHARES[:1]:
        count = round(share * len(owners))
        draws = [random.permutation(len(owners)) < count for _ in range(DRAWS)]
        if count in (0, len(owners)):
            del draws[1:]
        for stop, (right, together) in _accuracies(clean, cloaked, owners, draws, own_distance):
            yield {
                **judge.told(shown),
                "share": share,
                "stop": stop,
                "photos": len(owners),
                "people": len(np.unique(owners)),
                "draws": len(draws),
                "together": together,
                "right": right,
            }


def _accuracies(
    clean: Embeddings,
    cloaked: Embeddings,
    owners: Places,
    draws: list[clustering.Mask],
    own_distance: float,
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield by stop rule the photos with their own people and those with any: means of the draws."""
    people, everyone = len(np.unique(owners)), np.ones(len(owners), bool)
    found: dict[str, list[tuple[int, int]]] = {}
    for chosen in draws:
        faces = np.where(chosen[:, None], cloaked, clean)
        for stop, labels in clustered(faces, people, own_distance).items():
            found.setdefault(stop, []).append(clustering.accuracy(labels, owners, everyone))
    for stop, counts in found.items():
        right, together = np.mean(counts, axis=0).round().astype(int).tolist()
        yield stop, (right, together)


def _pairs(judge: Judge, shown: Shown) -> tuple[Embeddings, Embeddings, Places]:
    """Return the photos' faces as they are and as shown, where both have one, and whose they are."""
    pairs = {
        who: [photo for photo in photos if {photo, shown.originals[photo]} <= judge.seen.keys()]
        for who, photos in shown.photos.items()
    }
    kept = fitting(pairs, CLUSTERED_MAX)
    originals = {who: [shown.originals[photo] for photo in some] for who, some in kept.items()}
    clean, owners = judge.labelled(originals)
    return clean, judge.labelled(kept)[0], owners
