import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation import identification


@given(st.integers(1, 20), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_rank_counts_those_who_score_higher(probes: int, people: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 5, (probes, people)).astype(float)
    true = random.integers(0, people, probes)
    found = identification.ranks(scores, true)
    for row, who, place in zip(scores.tolist(), true.tolist(), found.tolist(), strict=True):
        assert place == 1 + sum(score > row[who] for score in row)


def test_within_counts_the_first_n() -> None:
    places: NDArray[np.intp] = np.array([1, 1, 2, 4, 11])
    assert identification.within(places, (1, 3, 5, 10)) == {1: 2, 3: 3, 5: 4, 10: 4}
