"""Works in several processes: the same results in the same order, and the same errors."""

import os
from functools import partial

import pandas as pd
import pytest

from reports.side_by_side import side_by_side


@pytest.mark.parametrize("large", [False, True])
def test_results_come_in_order(*, large: bool) -> None:
    frame = pd.DataFrame({"score": [0.25, 0.5]})
    works = [partial(_total, frame, factor) for factor in range(5)]
    assert side_by_side(works, large=large) == [0.0, 0.75, 1.5, 2.25, 3.0]


def test_small_work_is_done_here_and_large_work_in_other_processes() -> None:
    assert side_by_side([os.getpid] * 2, large=False) == [os.getpid()] * 2
    assert os.getpid() not in side_by_side([os.getpid] * 2, large=True)


@pytest.mark.parametrize("large", [False, True])
def test_what_a_work_raises_is_raised(*, large: bool) -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side([os.getpid, lambda: 1 // 0], large=large)


def _total(frame: pd.DataFrame, factor: int) -> float:
    return float(frame["score"].sum()) * factor
