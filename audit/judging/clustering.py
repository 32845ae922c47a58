"""clustering.csv: whether an arm's photos still come together with clean ones, unlabelled."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from audit.judging.judge import Embeddings, Gallery, Judge, Row, Shown
from evaluation import clustering

CLUSTERED_MAX = 4000
"""Photos clustered at most: the distances of all pairs stand in memory at once."""
_ARM, _HELD_OUT, _DECOY = range(3)


def rows(judge: Judge, shown: Shown, own_distance: float) -> Iterator[Row]:
    """Yield, by stop rule, how many photos leave their person's cluster (Ulixes, section 5.3).

    Beside Ulixes' two rules a third one, `own_distance`: where 1.242 comes from is FaceNet's
    threshold of verification, and every network has its own.
    """
    groups = [shown.photos, judge.people.held_out, _decoys(judge)]
    parts = [judge.labelled(group) for group in groups]
    faces = np.concatenate([found for found, _ in parts])
    kind = np.repeat([_ARM, _HELD_OUT, _DECOY], [len(found) for found, _ in parts])
    # The protected have the same places in both groups; decoys follow them.
    owners = np.concatenate([parts[0][1], parts[1][1], parts[2][1] + len(shown.photos)])
    people = len(np.unique(owners))
    for stop, labels in clustered(faces, people, own_distance).items():
        right, together = clustering.accuracy(labels, owners, kind == _ARM)
        yield {
            **judge.told(shown),
            "stop": stop,
            "photos": len(faces),
            "people": people,
            "clusters": int(labels.max()) + 1,
            "asked": int((kind == _ARM).sum()),
            "left": _left(labels, owners, kind, len(shown.photos)),
            "together": together,
            "right": right,
        }


def clustered(
    faces: Embeddings, people: int, own_distance: float
) -> Mapping[str, clustering.Labels]:
    """Return the clusters of faces, n x D, by stop rule."""
    return {
        "distance 1.242": clustering.by_distance(faces),
        "own distance": clustering.by_distance(faces, own_distance),
        "people": clustering.by_count(faces, people),
    }


def _left(
    labels: clustering.Labels, owners: clustering.Labels, kind: clustering.Labels, protected: int
) -> int:
    """Return how many of the arm's photos lie outside of the cluster of their person's clean ones."""
    count = 0
    for person in range(protected):
        own = owners == person
        home, asked = own & (kind == _HELD_OUT), own & (kind == _ARM)
        count += clustering.left(labels, home, asked) if home.any() else int(asked.sum())
    return count


def _decoys(judge: Judge) -> Gallery:
    """Return as many decoys as fit beside the protected people's photos."""
    protected = (judge.people.train, judge.people.held_out)
    room = CLUSTERED_MAX - sum(len(photos) for group in protected for photos in group.values())
    return fitting(judge.people.decoys, room)


def fitting(people: Gallery, room: int) -> Gallery:
    """Return the first people whose photos are no more than `room`."""
    kept: dict[str, Sequence[str]] = {}
    for who, photos in people.items():
        room -= len(photos)
        if room < 0:
            break
        kept[who] = photos
    return kept
