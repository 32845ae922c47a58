"""Each detector finds what it looks for, and nothing where nothing is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation import detection, rates

PEOPLE, EACH = 12, 8
OWNERS = np.repeat(np.arange(PEOPLE), EACH)


def people(seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((PEOPLE, 32))[OWNERS]
    return unit(vectors + 0.2 * random.standard_normal(vectors.shape))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found.astype(np.float32)


def test_two_clusters_of_a_person_lie_far_apart() -> None:
    faces = people()
    clean = [detection.two_means_gap(faces[who == OWNERS], 0) for who in range(PEOPLE)]
    mixed = detection.two_means_gap(faces[:EACH] * np.repeat([[1], [-1]], EACH // 2, axis=0), 0)
    assert mixed > max(clean) * 2
    assert detection.deviations(np.array([mixed]), np.array(clean))[0] > 3
    assert detection.two_means_gap(faces[:1], 0) == 0
    assert detection.two_means_gap(faces[[0, 0, 0]], 0) == 0


def test_a_class_that_sits_beside_another_is_nearest() -> None:
    faces = people()
    classes = [faces[who == OWNERS] for who in range(PEOPLE)]
    classes[3] = unit(classes[3] + 4 * classes[5])
    found = detection.closeness(classes)
    assert set(np.argsort(-found)[:2]) == {3, 5}
    gaps = [np.linalg.norm(classes[0].mean(axis=0) - other.mean(axis=0)) for other in classes[1:]]
    assert found[0] == pytest.approx(-min(gaps), abs=1e-5)


def test_a_mark_common_to_all_cloaks_is_learned_and_pure_chance_is_not() -> None:
    faces, cloaked = people(), np.tile([True, False], len(OWNERS) // 2)
    marked = faces.copy()
    marked[cloaked, 0] += 0.6
    seen = detection.supervised(unit(marked), cloaked, OWNERS, 0)
    assert rates.roc(seen[cloaked], seen[~cloaked]).area > 0.95
    blind = detection.supervised(faces, cloaked, OWNERS, 0)
    assert 0.3 < rates.roc(blind[cloaked], blind[~cloaked]).area < 0.7


def test_a_detector_never_saw_the_person_it_judges() -> None:
    faces, cloaked = people(), np.isin(OWNERS, [0, 1, 2])  # whoever knows the person knows it all
    seen = detection.supervised(faces, cloaked, OWNERS, 0)
    assert rates.roc(seen[cloaked], seen[~cloaked]).area < 0.8


def test_one_cloaked_person_teaches_nothing_about_others() -> None:
    with pytest.raises(ValueError, match="two people"):
        detection.supervised(people(), OWNERS == 0, OWNERS, 0)
