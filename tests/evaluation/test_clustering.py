import numpy as np
from numpy.typing import NDArray

from evaluation import clustering

PEOPLE, EACH = 5, 6
OWNERS = np.repeat(np.arange(PEOPLE), EACH)


def faces() -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    vectors = np.eye(PEOPLE, 16)[OWNERS] + 0.05 * random.standard_normal((len(OWNERS), 16))
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)


def test_people_who_are_far_apart_are_found_by_both_rules() -> None:
    everyone = np.ones(len(OWNERS), bool)
    for labels in (clustering.by_distance(faces()), clustering.by_count(faces(), PEOPLE)):
        assert len(np.unique(labels)) == PEOPLE
        assert clustering.accuracy(labels, OWNERS, everyone) == (30, 30)


def test_photos_moved_to_another_person_have_left() -> None:
    moved = faces()
    moved[:2] = moved[EACH : EACH + 2]
    labels = clustering.by_distance(moved)
    first = np.flatnonzero(OWNERS == 0)
    asked, home = np.isin(np.arange(30), first[:4]), np.isin(np.arange(30), first[4:])
    assert clustering.left(labels, home, asked) == 2
    assert clustering.accuracy(labels, OWNERS, OWNERS == 0) == (4, 6)


def test_accuracy_is_that_of_ulixes_over_all_photos_and_leaves_out_the_lonely() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    owners = np.array([7, 7, 8, 8, 8, 7])
    assert clustering.accuracy(labels, owners, np.ones(6, bool)) == (4, 5)
    shares, sizes = np.array([2 / 3, 1.0]), np.array([3, 2])
    assert (shares * sizes).sum() / sizes.sum() == 4 / 5
