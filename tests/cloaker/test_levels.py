import pytest

from audit.errors import UserError
from audit.types import Cloak, Targets
from cloaker.levels import resolve


@pytest.mark.parametrize(
    ("level", "budget", "steps", "learning_rate"),
    [
        ("min", 0.002, 20, 40),
        ("low", 0.003, 50, 35),
        ("mid", 0.005, 200, 20),
        ("high", 0.008, 500, 10),
    ],
)
def test_fawkes_03_has_the_numbers_of_its_release(
    level: str, budget: float, steps: int, learning_rate: float
) -> None:
    released = {"budget": budget, "steps": steps, "learning_rate": learning_rate, "penalty": 1e9}
    assert resolve("fawkes-0.3", level) == released | {"wobble_px": 0.5}  # ours: see fawkes.py


def test_rows_make_a_cloak_with_an_id() -> None:
    cloak = Cloak("fawkes-0.3", "low", resolve("fawkes-0.3", "low"), {}, Targets.SAME, 0)
    assert len(cloak.id) == 64


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"fawkes-9(.|\n)*fawkes-0\.3"):
        resolve("fawkes-9", "high")
    with pytest.raises(UserError, match=r"extreme(.|\n)*min, low, mid, high"):
        resolve("fawkes-0.3", "extreme")
