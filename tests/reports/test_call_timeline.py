"""The calls over time against the service's limits."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.call_timeline import call_timeline, limits_words
from reports.ledger_rows import read_attempts
from reports.manifest import Manifest

PER_MINUTE = {"operations": "", "calls": 20, "per_s": 60}


def manifest(*limits: dict[str, Any], version: int = 6) -> Manifest:
    arm = {"arm": "control", "game": "poison", "system": "none", "level": "none"}
    service = {"provider": "azure", "tier": "F0", "limits": limits}
    run = {"run_id": "r", "exit_state": "done", "schema_version": version}
    return Manifest.model_validate({**run, "service": service, "arms": [arm]})


def attempts(sent_s: list[float], operation: str = "Detect", outcome: str = "done") -> pd.DataFrame:
    return pd.DataFrame({"operation": operation, "sent_s": sent_s, "outcome": outcome})


def test_the_window_holds_what_the_limit_counts() -> None:
    table = call_timeline(attempts([3.0 * number for number in range(60)]), manifest(PER_MINUTE))
    assert table["limit"].unique().tolist() == ["all operations"]
    assert table["in_window"].max() == 20
    assert table["allowed"].unique().tolist() == [20.0]
    assert table["calls"].sum() == 60


def test_an_operation_may_have_a_limit_of_its_own() -> None:
    own = {"operations": "Search*", "calls": 5, "per_s": 1}
    both = pd.concat([attempts([0.0, 0.5, 5.0]), attempts([0.1, 0.2], "SearchFaces")])
    table = call_timeline(both.sort_values("sent_s"), manifest(own, PER_MINUTE))
    told = table.groupby("limit")[["calls", "allowed"]].agg({"calls": "sum", "allowed": "max"})
    assert list(told.loc["SearchFaces"]) == [2, 5]
    assert list(told.loc["all operations"]) == [3, 20]


def test_throttled_and_failed_calls_are_told_apart() -> None:
    codes = ["done", "429", "ThrottlingException", "ConnectionReset", None, "RateLimitExceeded"]
    some = attempts([float(number) for number in range(6)]).assign(outcome=pd.Series(codes))
    table = call_timeline(some, manifest())
    assert (table["throttled"].sum(), table["failed"].sum()) == (3, 2)
    assert table["allowed"].isna().all()


def test_a_night_between_two_sessions_is_left_out() -> None:
    sessions = [float(number) for number in range(100)]
    table = call_timeline(attempts([*sessions, *[40_000 + at for at in sessions]]), manifest())
    assert table["elapsed_s"].max() < 200
    assert table["after_pause"].sum() == 1
    assert table["in_window"].max() == 1


@settings(max_examples=30)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=30))
def test_no_window_holds_more_than_counting_finds(moments: list[float]) -> None:
    sent = sorted(moments)
    limit = {"operations": "", "calls": 5, "per_s": 10}
    table = call_timeline(attempts(sent), manifest(limit))
    most = max(sum(at - 10 < other <= at for other in sent) for at in sent)
    assert table["in_window"].max() == most
    assert table["calls"].sum() == len(sent)
    assert len(table) <= 301


def test_limits_are_put_into_words() -> None:
    assert "in tier F0" in limits_words(manifest(PER_MINUTE))
    assert "no limit" in limits_words(manifest())
    assert "before limits were written down" in limits_words(manifest(version=5))


def test_attempts_come_from_the_ledger_in_unix_seconds(study_run: Path, tmp_path: Path) -> None:
    found = read_attempts(study_run)
    first = pd.Timestamp("2024-05-01T10:30:01Z").timestamp()
    assert np.isclose(found["sent_s"].iloc[0], first, atol=1e-3)
    assert found["outcome"].value_counts().to_dict() == {"done": 217, "429": 21}
    assert read_attempts(tmp_path).empty
