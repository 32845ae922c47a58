"""Clustering without labels: do a person's photos still come together? (Ulixes, section 5.3)."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

STOP_DISTANCE = 1.242
"""Of unit embeddings: FaceNet's threshold, at which Ulixes ends the clustering."""

Labels = NDArray[np.intp]
Mask = NDArray[np.bool_]


def by_distance(embeddings: NDArray[np.float32], distance: float = STOP_DISTANCE) -> Labels:
    """Cluster N x D unit embeddings until the nearest clusters are farther apart than `distance`.

    Ulixes doesn't name the linkage. Here it is the mean distance between two clusters' photos, in
    which a threshold for a pair of photos keeps its meaning.
    """
    return _clustered(embeddings, distance_threshold=distance, n_clusters=None)


def by_count(embeddings: NDArray[np.float32], count: int) -> Labels:
    """Cluster N x D unit embeddings until `count` clusters are left."""
    return _clustered(embeddings, distance_threshold=None, n_clusters=count)


def _clustered(embeddings: NDArray[np.float32], **stop: float | None) -> Labels:
    labels: Labels = AgglomerativeClustering(linkage="average", **stop).fit_predict(embeddings)
    return labels


def accuracy(labels: Labels, people: Labels, counted: Mask) -> tuple[int, int]:
    """Return how many photos lie with their own people, of how many that lie with any.

    A cluster is called by its most frequent person; clusters of one photo are left out. The ratio
    over all photos is Ulixes' mean of the clusters' shares, weighted by their sizes; here it is that
    of the photos in the mask `counted`.
    """
    right = together = 0
    for label in np.unique(labels):
        inside = labels == label
        if inside.sum() < 2:
            continue
        names, counts = np.unique(people[inside], return_counts=True)
        own = people[inside] == names[counts.argmax()]
        right += int((own & counted[inside]).sum())
        together += int(counted[inside].sum())
    return right, together


def left(labels: Labels, at_home: Mask, asked: Mask) -> int:
    """Return how many of a person's photos `asked` about lie outside of her cluster.

    Her cluster is that with most of her photos `at_home`; of equals, the first.
    """
    home = np.bincount(labels[at_home]).argmax()
    return int((labels[asked] != home).sum())
