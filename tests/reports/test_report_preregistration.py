import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

import reports
from audit.errors import UserError
from audit.types import experiment_hash, roles_hash
from reports.preregistration import FALSE, TRUE, UNSAID, Claim, verdict

pytestmark = pytest.mark.usefixtures("without_figures")

ANSWERS: dict[str, list[dict[str, Any]]] = {
    "control": [{"score": 0.9}] * 40,
    "fawkes-0.3-high": [{"score": 0.4, "outcome": "other_person"}] * 30 + [{"score": 0.6}] * 10,
}


def claim(relation: str, bound: float, measure: str = "protection") -> dict[str, Any]:
    return {
        "text": f"high: {measure} {relation} {bound}",
        "arm": "fawkes-0.3-high",
        "measure": measure,
        "relation": relation,
        "bound": bound,
    }


def lock(run: Path, *claims: dict[str, Any], **changes: Any) -> None:
    """Write the lock that fits a run's own experiment, but for `changes`."""
    keys = tomllib.loads((run / "experiment.toml").read_text())
    rows = [json.loads(line) for line in (run / "photos.jsonl").read_text().splitlines()]
    content: dict[str, Any] = {
        "schema": 1,
        "written_utc": "2024-05-01T09:00:00.000+00:00",
        "photo_set_sha256": "a" * 64,
        "roles_sha256": roles_hash(rows),
        "claims": list(claims),
        "experiment": keys,
    }
    content |= changes
    hashed = (content["experiment"], content["photo_set_sha256"], content["roles_sha256"])
    content = {"experiment_sha256": experiment_hash(*hashed), **content}
    (run / "lock.toml").write_text(tomli_w.dumps(content))


def page(run: Path) -> str:
    return reports.build(run).read_text(encoding="utf-8").replace("&#39;", "'")


def test_a_run_without_a_lock_says_nothing_of_one(make_run: Callable[..., Path]) -> None:
    assert "Pre-registration" not in page(make_run(ANSWERS))


def test_claims_come_true_or_not_or_can_not_be_said(make_run: Callable[..., Path]) -> None:
    run = make_run(ANSWERS)
    lock(
        run,
        claim(">=", 0.5),
        claim(">=", 0.7),
        claim("<", 0.5),
        claim("<", -0.4, "change"),
        claim("<=", -0.5, "change"),
    )
    text = page(run)
    table = pd.read_csv(run / "report" / "tables" / "claims.csv")
    assert table["verdict"].tolist() == [TRUE, UNSAID, FALSE, TRUE, TRUE]
    assert table["measured"].tolist() == [0.75, 0.75, 0.75, -0.5, -0.5]
    assert "kept to the experiment that was locked" in text
    assert "Of 5 claimed outcomes, 3 came true, 1 did not, and of 1 it can't be said." in text


def test_too_few_pairs_say_nothing(make_run: Callable[..., Path]) -> None:
    run = make_run({arm: probes[-3:] for arm, probes in ANSWERS.items()})
    lock(run, claim("<", 0.9, "change"))
    page(run)
    table = pd.read_csv(run / "report" / "tables" / "claims.csv")
    assert table["verdict"].tolist() == [UNSAID]


@given(
    st.sampled_from([">=", ">", "<=", "<"]),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted),
    st.floats(-1, 1),
)
def test_a_verdict_is_that_of_every_value_of_the_interval(
    relation: str, interval: list[float], bound: float
) -> None:
    said = verdict(Claim(**claim(relation, bound)), *interval)
    opposite = {">=": "<", "<": ">=", ">": "<=", "<=": ">"}[relation]
    expected = {TRUE: FALSE, FALSE: TRUE, UNSAID: UNSAID}[said]
    assert verdict(Claim(**claim(opposite, bound)), *interval) == expected
    if interval[0] < bound < interval[1]:
        assert said == UNSAID


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"photo_set_sha256": "b" * 64}, "What differs: the photos."),
        ({"roles_sha256": "b" * 64}, "What differs: their roles."),
        ({"experiment": {"provider": "facepp", "seed": 1}}, "differs: level, provider, seed."),
        ({"experiment_sha256": "b" * 64}, "The lock was changed after it was written"),
        ({"written_utc": "2024-05-01T10:00:01.000+00:00"}, "The lock is younger than the run"),
        ({}, "The lock is older than the run's first call: the run began 2024-05-01T10:00:00Z."),
    ],
)
def test_what_a_run_did_not_keep_to_is_told(
    make_run: Callable[..., Path], changes: dict[str, Any], sentence: str
) -> None:
    run = make_run(ANSWERS)
    lock(run, **changes)
    assert sentence in page(run)


def test_where_it_runs_and_what_it_costs_is_free(make_run: Callable[..., Path]) -> None:
    run = make_run(ANSWERS)
    lock(run)
    with (run / "experiment.toml").open("a") as file:
        file.write('photos = "elsewhere"\nmax_calls = 9\ndevice = "cuda"\n')
    assert "kept to the experiment that was locked" in page(run)


def test_a_broken_lock_is_named(make_run: Callable[..., Path]) -> None:
    run = make_run(ANSWERS)
    (run / "lock.toml").write_text("schema = 1\n")
    with pytest.raises(UserError, match=r"lock\.toml can't be used"):
        reports.build(run)
