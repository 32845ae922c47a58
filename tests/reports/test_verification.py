"""Verification of known answers, and what hidden scores leave open."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import verification
from reports.manifest import Manifest

SCORES = st.lists(st.integers(0, 20).map(lambda tick: tick / 20), min_size=1, max_size=12)


def manifest(decoys: int | None = 1) -> Manifest:
    arm = {"arm": "control", "game": "poison", "system": "none", "level": "none"}
    service = {"provider": "azure"}
    counts = {"decoy_people": decoys}
    return Manifest.model_validate(
        {"run_id": "r", "exit_state": "done", "service": service, "counts": counts, "arms": [arm]}
    )


def observations(*probes: tuple[float | None, int | None, float | None]) -> pd.DataFrame:
    """Return a row a probe from the true score (None: hidden), her rank and the first score."""
    rows = [
        {"arm": "control", "probe_sha256": f"p{number}", "true_person": "Ada", "outcome": "match",
         "true_score": score, "top_score": top, "threshold": 0.0, "censored": score is None,
         "rank": rank}
        for number, (score, rank, top) in enumerate(probes)
    ]  # fmt: skip
    numbers = dict.fromkeys(("true_score", "top_score", "threshold", "rank"), float)
    return pd.DataFrame(rows).astype(numbers)


def shown(*lists: list[float]) -> pd.DataFrame:
    rows = [
        ("control", f"p{number}", place, score)
        for number, scores in enumerate(lists)
        for place, score in enumerate(scores, start=1)
    ]
    return pd.DataFrame(rows, columns=["arm", "probe_sha256", "place", "score"])


def at(table: pd.DataFrame, threshold: float) -> dict[str, float]:
    row = table[table["threshold"] == threshold]
    return {key: float(row[key].iloc[0]) for key in table.columns.drop("arm").tolist()}


def test_the_rates_of_a_known_case() -> None:
    seen = observations((0.9, 1, 0.9), (0.4, 2, 0.6))
    table = verification.verification(seen, shown([0.9, 0.3], [0.6, 0.4]), manifest())
    half = at(table, 0.6)
    assert (half["genuine"], half["impostor"]) == (2, 2)
    assert half["fnmr_least"] == half["fnmr_most"] == 0.5
    assert half["fmr_least"] == half["fmr_most"] == 0.5
    assert at(table, 0.9)["fmr_most"] == 0.0
    assert verification.summary(table)["eer"].tolist() == [0.5]


def test_a_hidden_score_is_never_nought_but_open_up_to_what_was_shown() -> None:
    seen = observations((0.9, 1, 0.9), (None, None, 0.6))
    table = verification.verification(seen, shown([0.9, 0.3], [0.6, 0.4]), manifest(2))
    low, middle, high = (at(table, threshold) for threshold in (0.3, 0.6, 0.9))
    assert (low["fnmr_least"], low["fnmr_most"]) == (0.0, 0.5)
    assert (middle["fnmr_least"], middle["fnmr_most"]) == (0.0, 0.5)
    assert (high["fnmr_least"], high["fnmr_most"]) == (0.5, 0.5)
    # Of the two others beside each probe one was hidden, below the last that was shown.
    assert (low["impostor"], low["impostor_hidden"]) == (3, 1)
    assert (low["fmr_least"], low["fmr_most"]) == (0.75, 1.0)
    assert (middle["fmr_least"], middle["fmr_most"]) == (0.25, 0.25)
    assert "count as missed" in verification.note(verification.summary(table))


@pytest.mark.parametrize("lists", [[], [[0.9]]])
def test_without_another_persons_score_there_is_no_curve(lists: list[list[float]]) -> None:
    table = verification.verification(observations((0.9, 1, 0.9)), shown(*lists), manifest(None))
    assert table.empty


@settings(max_examples=30)
@given(genuine=SCORES, impostor=SCORES)
def test_rates_agree_with_counting(genuine: list[float], impostor: list[float]) -> None:
    count = min(len(genuine), len(impostor))
    pairs = list(zip(genuine, impostor, strict=False))
    seen = observations(*[(one, 1 if one >= other else 2, max(one, other)) for one, other in pairs])
    lists = [sorted(pair, reverse=True) for pair in pairs]
    table = verification.verification(seen, shown(*lists), manifest())
    for row in table.to_dict("records"):
        assert row["fnmr_most"] == np.mean([one < row["threshold"] for one, _ in pairs])
        assert row["fmr_most"] == np.mean([other >= row["threshold"] for _, other in pairs])
    assert table["genuine"].eq(count).all()
    assert table["fnmr_most"].is_monotonic_increasing
    assert table["fmr_most"].is_monotonic_decreasing
