from pathlib import Path

import pytest

from audit.errors import UserError
from audit.experiment import read_toml, resolve, to_toml
from audit.types import Targets


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "experiment.toml"
    file.write_text('provider = "azure"\nseed = 3\nlevel = ["min", "mid"]\n')

    experiment = resolve(file, {"seed": 4})

    assert (experiment.provider, experiment.seed, experiment.level) == ("azure", 4, ("min", "mid"))


def test_what_is_written_out_reads_back_the_same(tmp_path: Path) -> None:
    given = {
        "provider": "azure",
        "emulate": True,
        "photos": tmp_path / "some photos",
        "person": ("Ann \u00c9",),
        "train": 70,
        "targets": "separate",
        "max_cost": 1.5,
    }
    experiment = resolve(None, given)
    file = tmp_path / "experiment.toml"
    file.write_text(to_toml(experiment), encoding="utf-8")

    assert resolve(None, read_toml(file)) == experiment
    assert experiment.targets is Targets.SEPARATE


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"provider": "mock", "colour": 3}, "unknown key 'colour'"),
        ({}, "provider is missing"),
        ({"provider": "clearview"}, "provider = 'clearview': there are mock, azure"),
        ({"provider": "mock", "train": 1}, "train"),
        ({"provider": "mock", "train": 1.5}, "train"),
        ({"provider": "mock", "cloaked_fraction": 0}, "cloaked_fraction = 0"),
        ({"provider": "mock", "endpoint": "http://x"}, "leave out endpoint"),
        ({"provider": "azure", "emulate": True, "endpoint": "http://x"}, "leave out endpoint"),
        ({"provider": "local", "endpoint": "http://x"}, "leave out endpoint"),
    ],
)
def test_an_impossible_experiment_is_refused_by_name(given: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        resolve(None, given)


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "experiment.toml"
    file.write_text("provider: azure\n")

    with pytest.raises(UserError, match="no valid TOML"):
        resolve(file, {})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        resolve(tmp_path / "nothing.toml", {})


def test_every_run_has_a_control_arm_and_names_each_arm_once() -> None:
    experiment = resolve(None, {"provider": "mock", "level": ("none", "mid", "high", "mid")})

    arms = experiment.arms()

    assert [arm.name for arm in arms] == ["control", "fawkes-0.3-mid", "fawkes-0.3-high"]
    assert [arm.is_control for arm in arms] == [True, False, False]
    assert (arms[0].cloaked_fraction, arms[1].cloaked_fraction) == (0.0, 1.0)
