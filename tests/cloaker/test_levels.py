import math

import pytest

from audit.errors import UserError
from audit.types import Cloak, Targets
from cloaker.attack import System
from cloaker.levels import COMMON, SYSTEMS, resolve


@pytest.mark.parametrize(
    ("level", "budget", "steps", "learning_rate"),
    [
        ("min", 0.002, 20, 40),
        ("low", 0.003, 50, 35),
        ("mid", 0.005, 200, 20),
        ("high", 0.008, 500, 10),
        ("ultra", 0.01, 1000, 8),
    ],
)
def test_fawkes_03_has_the_numbers_of_its_release(
    level: str, budget: float, steps: int, learning_rate: float
) -> None:
    released = {"budget": budget, "steps": steps, "learning_rate": learning_rate, "penalty": 1e9}
    row = resolve("fawkes-0.3", level)
    assert {key: row[key] for key in released} == released


def test_rows_make_a_cloak_with_an_id() -> None:
    cloak = Cloak("fawkes-0.3", "low", resolve("fawkes-0.3", "low"), {}, Targets.SAME, 0)
    assert len(cloak.id) == 64


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"fawkes-9(.|\n)*fawkes-0\.3"):
        resolve("fawkes-9", "high")
    with pytest.raises(UserError, match=r"extreme(.|\n)*min, low, mid, high"):
        resolve("fawkes-0.3", "extreme")


def test_settings_replace_parameters_and_keep_their_type() -> None:
    row = resolve("fawkes-0.3", "low", ["steps=7", "legacy=true", "wobble_px=0"])
    assert (row["steps"], row["legacy"], row["wobble_px"]) == (7, True, 0.0)
    assert isinstance(row["wobble_px"], float)


@pytest.mark.parametrize("setting", ["colour=red", "steps=many", "legacy=1", "steps"])
def test_an_unknown_or_unreadable_setting_is_refused_by_name(setting: str) -> None:
    with pytest.raises(UserError, match=setting.split("=", maxsplit=1)[0]):
        resolve("fawkes-0.3", "low", [setting])


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_row_names_a_class_and_changes_only_its_parameters(name: str) -> None:
    row = SYSTEMS[name]
    assert issubclass(row.load(), System)
    for level in row.levels:
        assert resolve(name, level).keys() == {**COMMON, **row.defaults}.keys()


def test_a_setting_may_be_for_one_system_alone() -> None:
    settings = ["lowkey:lpips_weight=0", "steps=9"]
    assert resolve("lowkey", "high", settings)["lpips_weight"] == 0
    assert resolve("fawkes-0.3", "high", settings)["steps"] == 9
    with pytest.raises(UserError, match="unknown cloaking system 'nonesuch'"):
        resolve("lowkey", "high", ["nonesuch:steps=9"])
    with pytest.raises(UserError, match="lowkey has no parameter 'kappa'"):
        resolve("lowkey", "high", ["lowkey:kappa=9"])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("steps=-1", "1 or more"),
        ("steps=0", "1 or more"),
        ("steps=2.5", "a whole number"),
        ("budget=nan", "a number"),
        ("budget=-0.1", "0 or more"),
        ("learning_rate=inf", "a number"),
        ("legacy=1", "true or false"),
        ("faces=some", "largest, all, reference"),
        ("faces=", "largest, all, reference"),
        ("precision=float16", "float32, bfloat16"),
    ],
)
def test_a_value_that_can_t_be_is_refused_with_what_can(setting: str, told: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve("fawkes-0.3", "high", [setting])
    assert setting.partition("=")[0] in raised.value.seen
    assert told in raised.value.expected
    assert "leave it out" in raised.value.remedy


def test_a_budget_may_be_endless_and_a_weight_nothing() -> None:
    assert resolve("fawkes-0.3", "high", ["budget=inf"])["budget"] == math.inf
    assert resolve("lowkey", "high", ["lpips_weight=0"])["lpips_weight"] == 0
    assert resolve("faceoff", "high", ["kappa=-1"])["kappa"] == -1
