import pytest

from audit.errors import Stopped
from audit.execution import Budget


def test_the_call_that_would_exceed_the_number_of_calls_is_not_made() -> None:
    budget = Budget(max_calls=3)

    budget.check({"Detect": 2}, "Detect")
    with pytest.raises(Stopped, match="3 calls"):
        budget.check({"Detect": 2, "Train": 1}, "Detect")


def test_the_call_that_would_exceed_the_cost_is_not_made() -> None:
    budget = Budget(max_cost_usd=0.002, usd={"Detect": 0.001, "Train": 0.0}.__getitem__)

    budget.check({"Detect": 1, "Train": 50}, "Detect")
    budget.check({"Detect": 2}, "Train")
    with pytest.raises(Stopped, match=r"0\.002 USD"):
        budget.check({"Detect": 2, "Train": 50}, "Detect")


def test_without_a_budget_nothing_stops() -> None:
    Budget().check({"Detect": 10**9}, "Detect")
