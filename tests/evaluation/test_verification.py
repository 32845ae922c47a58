"""Pairs as LFW draws them, and the accuracies of pairs that are told apart or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation import verification

Scores = NDArray[np.float64]


def photos(people: int, each: int, spread: float = 0.3) -> tuple[NDArray[np.float32], list[int]]:
    random = np.random.default_rng(5)
    owners = [person for person in range(people) for _ in range(each)]
    vectors = random.standard_normal((people, 64))[owners]
    vectors += spread * random.standard_normal(vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), owners


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 45), st.integers(2, 6), st.integers(0, 99))
def test_pairs_are_balanced_and_no_one_is_in_two_folds(people: int, each: int, seed: int) -> None:
    owners = np.repeat(np.arange(people), each)
    drawn = verification.pairs(owners, seed, a_fold=12)
    assert drawn.folds == min(10, people // 2)
    assert (owners[drawn.first] == owners[drawn.second]).tolist() == drawn.same.tolist()
    assert (drawn.first != drawn.second).all()
    in_fold: dict[int, set[int]] = {}
    for one, other, fold in zip(drawn.first, drawn.second, drawn.fold, strict=True):
        in_fold.setdefault(int(fold), set()).update((int(owners[one]), int(owners[other])))
    seen = [who for some in in_fold.values() for who in some]
    assert len(seen) == len(set(seen))
    for fold in range(drawn.folds):
        same = drawn.same[drawn.fold == fold]
        assert same.sum() * 2 == len(same)
        assert 1 <= same.sum() <= 12
    again = verification.pairs(owners, seed, a_fold=12)
    assert again.first.tolist() == drawn.first.tolist()


def test_people_with_one_photo_are_in_no_pair_and_too_few_are_refused() -> None:
    owners = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4])
    drawn = verification.pairs(owners, 0)
    assert 8 not in {*drawn.first.tolist(), *drawn.second.tolist()}
    with pytest.raises(ValueError, match="3 people with two photos"):
        verification.pairs(owners[:6], 0)


def test_a_good_network_is_accurate_and_a_blind_one_is_at_chance() -> None:
    for spread, low, high in [(0.1, 0.999, 1.0), (50.0, 0.4, 0.6)]:
        faces, owners = photos(40, 6, spread)
        drawn = verification.pairs(np.array(owners), 1)
        found = verification.accuracy(verification.cosines(faces, drawn), drawn)
        assert low <= found.mean <= high
        assert found.folds == 10


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1, max_size=40),
)
def test_no_threshold_is_better_than_the_best(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], float)
    same = np.array([whether for _, whether in pairs])

    def right(threshold: float) -> int:
        return int(((scores >= threshold) == same).sum())

    best = verification.best_threshold(scores, same)
    assert right(best) == max(right(k / 2) for k in range(-21, 22))


def test_change_is_measured_above_chance() -> None:
    assert verification.change(0.9901, 0.6175) == pytest.approx(-0.76, abs=0.001)
    assert np.isnan(verification.change(0.5, 0.5))


def test_match_thresholds_let_through_what_they_say() -> None:
    faces, owners = photos(60, 5)
    impostor = verification.impostor_cosines(faces, np.array(owners), 0).astype(np.float64)
    assert len(impostor) == 300 * 299 // 2 - 60 * 10
    for rate, threshold in verification.match_thresholds(impostor).items():
        assert rate - 2e-4 <= (impostor >= threshold).mean() <= rate
    assert verification.balanced_accuracy(np.array([0.9, 0.1]), np.array([0.2]), 0.5) == 0.75
