"""Values that can't be: told in our words, before any work is done."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.errors import UserError
from audit.experiment import resolve
from audit.prices import override
from audit.study import read
from providers import registry

Audit = Callable[..., subprocess.CompletedProcess[str]]
PEOPLE = [2, 2]
FLOWS = ("--provider", "azure", "--emulate")
PRICED = 'priced_on = "2026-01-01"\n[tiers.F0]\n'


def refused(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return the message's lines: what was seen, what was expected, what to do."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("audit: "), done.stderr  # nothing was begun before
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    ("given", "seen", "expected"),
    [
        ({"max_calls": 0}, "max_calls = 0", "max_calls: 1 or more"),
        ({"max_cost": -1.0}, "max_cost = -1.0", "max_cost: more than 0.0"),
        ({"threshold": 2}, "threshold = 2", "threshold: 1.0 or less"),
        ({"seed": 2**63}, f"seed = {2**63}", f"seed: less than {2**63}"),
        ({"seed": "x"}, "seed = 'x'", "seed: a whole number"),
        ({"candidates": 1.5}, "candidates = 1.5", "candidates: a whole number"),
        ({"threshold": "x"}, "threshold = 'x'", "threshold: a number"),
        ({"emulate": "perhaps"}, "emulate = 'perhaps'", "emulate: true or false"),
        ({"device": 4}, "device = 4", "device: a text"),
        ({"person": "ann"}, "person = 'ann'", "person: a list"),
        ({"transform": [3]}, "transform = 3", "transform: a text"),
        ({"photos": 3}, "photos = 3", "photos: a path"),
        ({"network": []}, "network = []", "network: 1 or more of them"),
        ({"targets": "both"}, "targets = 'both'", "targets: 'same' or 'separate'"),
        ({"quality_filter": "x"}, "quality_filter = 'x'", "'AUTO', 'LOW', 'MEDIUM' or 'HIGH'"),
        ({"arm": [1]}, "arm = 1", "arm: a table"),
        (
            {"arm": [{"system": "blur", "level": "min", "sybils": -1}]},
            "sybils = -1 in [[arm]] 1",
            "sybils: 0 or more",
        ),
    ],
)
def test_an_experiment_s_value_that_can_t_be_is_told_with_what_it_may_be(
    given: dict[str, Any], seen: str, expected: str
) -> None:
    with pytest.raises(UserError) as caught:
        resolve(None, {"provider": "mock"} | given)

    assert caught.value.seen == f"the experiment can't be run as given: {seen}."
    assert expected in caught.value.expected
    assert "audit run --help" in caught.value.remedy


@pytest.mark.parametrize("train", [0, 1, 1.5, 2.0, -3, float("nan"), "most"])
def test_a_training_size_is_a_number_of_photos_or_a_fraction(train: object) -> None:
    with pytest.raises(UserError, match=f"train = {train!r}: give a number of photos, 2 or more"):
        resolve(None, {"provider": "mock", "train": train})


def test_several_wrong_values_are_told_together() -> None:
    with pytest.raises(UserError) as caught:
        resolve(None, {"provider": "mock", "max_calls": 0, "game": "chess", "colour": 1})

    assert "game = 'chess'; max_calls = 0; unknown key 'colour'" in caught.value.seen
    assert caught.value.expected == "game: 'poison' or 'evade'; max_calls: 1 or more"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tiers.F0]\nrates = []\nusd_per_call = 0\n", "priced_on is missing"),
        ('priced_on = "2026-01-01"\ntiers = 3\n', "tiers = 3"),
        ('priced_on = "soon"\n[tiers]\n', "priced_on: a date, YYYY-MM-DD"),
        (PRICED + 'rates = []\nusd_per_call = "x"\n', "usd_per_call = 'x' in tiers.F0"),
        (PRICED + "rates = []\nusd_per_call = -1\n", "usd_per_call: 0.0 or more"),
        (PRICED + "rates = []\nusd_per_call = nan\n", "usd_per_call = nan in tiers.F0"),
        (PRICED + "rates = [{calls = 0, per_s = 1}]\nusd_per_call = 0\n", "in tiers.F0.rates 1"),
        (PRICED + "rates = [{calls = 9, per_s = 0}]\nusd_per_call = 0\n", "per_s: more than 0"),
        (PRICED + "rats = []\nusd_per_call = 0\n", "unknown key 'rats' in tiers.F0"),
        (PRICED + 'same_as = "S7"\n', "rates is missing in tiers.F0"),
        ("colour = 3\n" + PRICED, "unknown key 'colour'"),
    ],
)
def test_a_price_table_that_is_none_is_told_by_the_place(
    tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)

    with pytest.raises(UserError, match=r"prices.toml is no price table") as caught:
        override(registry.capabilities("azure"), file)

    assert told in str(caught.value)
    assert "Input" not in str(caught.value)


def test_a_tier_can_be_the_same_as_another_and_the_date_a_date(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    rates = "rates = [{calls = 20, per_s = 60}]\nusd_per_call = 0.5\n"
    file.write_text(f'priced_on = 2026-01-01\n[tiers.F0]\n{rates}[tiers.mine]\nsame_as = "F0"\n')

    found = override(registry.capabilities("azure"), file)

    assert found.priced_on == "2026-01-01"
    for name in ("F0", "mine"):
        tier = found.tiers[name]
        assert (tier.name, tier.usd_per_call) == (name, 0.5)
        assert [(rate.calls, rate.per_s) for rate in tier.rates] == [(20, 60)]
    assert "S0" in found.tiers


def test_one_setting_in_a_study_s_file_is_a_setting_and_no_list_of_letters(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('set = "steps=2"\n')

    assert read("uva-2021", {"emulate": True}, file).runs[0].experiment.set[-1] == "steps=2"

    file.write_text("set = 5\n")
    with pytest.raises(UserError, match="set = 5"):
        read("uva-2021", {"emulate": True}, file)


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--provider", "mock"),
        ("run", "--study", "uva-2021", *FLOWS),
        ("run", "--study", "facecure-2022", "--small"),
        ("plan", "--provider", "mock"),
    ],
)
@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--tier", "gold", "no tier 'gold'"), ("--prices", "none.toml", "none.toml can't be read")],
)
def test_a_tier_and_prices_are_looked_at_before_anything_is_drawn_trained_or_cloaked(
    audit_here: Audit, tmp_path: Path, command: tuple[str, ...], option: str, value: str, told: str
) -> None:
    (seen, *_) = refused(audit_here(*command, option, value))

    assert told in seen
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--level", "silly", "audit: unknown level 'silly' of fawkes-0.3"),
        ("--set", "steps=-1", "audit: steps=-1 can't be"),
    ],
)
def test_a_cloak_that_there_isn_t_is_refused_before_people_are_drawn(
    audit_here: Audit, option: str, value: str, told: str
) -> None:
    assert refused(audit_here("plan", "--provider", "mock", option, value))[0] == told


def test_what_has_no_emulator_can_t_be_emulated(audit_here: Audit, people: Path) -> None:
    asked = ("run", "--provider", "local", "--emulate", "--photos", people)

    assert refused(audit_here(*asked, "--person", "person-000"))[:2] == [
        "audit: there is no emulator of 'local'.",
        "  expected: one of: azure, facepp, rekognition",
    ]


@pytest.mark.parametrize("command", ["list", "status"])
@pytest.mark.parametrize("place", ["nowhere", "file"])
def test_a_folder_of_runs_that_is_none(
    audit_here: Audit, tmp_path: Path, command: str, place: str
) -> None:
    (tmp_path / "file").touch()

    (seen, _, remedy) = refused(audit_here(command, "--runs", place))

    assert seen == f"audit: there is no folder {place}."
    assert "audit run --provider mock" in remedy


def test_a_folder_without_runs_has_an_empty_list(audit_here: Audit, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()

    done = audit_here("list", "--runs", "runs", "--json")

    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert done.stderr == "there is no run in runs\n"


@pytest.mark.parametrize(
    "command",
    [
        ("run", *FLOWS, "--photos", "PEOPLE", "--person", "person-000", "--runs", "PLACE"),
        ("evaluate", "PEOPLE", "--network", "bundled-conv", "--out", "PLACE"),
        ("cloak", "PEOPLE", "--level", "min", "--out", "PLACE"),
        ("plan", *FLOWS, "--photos", "PEOPLE", "--lock", "PLACE/lock.toml"),
    ],
    ids=lambda command: str(command[0]),
)
@pytest.mark.parametrize("place", ["file", "file/folder"])
def test_a_file_where_the_results_would_go_is_told_before_the_photos_are_looked_at(
    audit_here: Audit, tmp_path: Path, people: Path, command: tuple[str, ...], place: str
) -> None:
    (tmp_path / "file").touch()
    words = [word.replace("PLACE", place).replace("PEOPLE", str(people)) for word in command]

    (seen, _, remedy) = refused(audit_here(*words))

    assert seen.endswith(("/file is a file.", " file is a file."))
    assert remedy == "  to do:    name another place"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--level", "none"), "level none cloaks nothing."),
        (("--level", "extreme"), "unknown level 'extreme' of fawkes-0.3"),
        (("--level", "min", "--system", "acme"), "unknown cloaking system 'acme'"),
        (("--level", "min", "--set", "wings=2"), "fawkes-0.3 has no parameter 'wings'"),
        (("--level", "min", "--network", "acme"), "unknown network: acme"),
        (("--level", "min", "--towards", "nowhere"), "there is no folder nowhere"),
        (("--level", "min", "--towards", "empty"), "the folder empty is empty"),
    ],
)
def test_a_cloak_that_can_t_be_is_told_before_the_photos_are_looked_at(
    audit_here: Audit, tmp_path: Path, people: Path, options: tuple[str, ...], told: str
) -> None:
    (tmp_path / "empty").mkdir()

    assert refused(audit_here("cloak", people, "--out", "out", *options))[0] == f"audit: {told}"
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_to_cloak_is_told_by_its_own_name(
    audit_here: Audit, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    done = audit_here("cloak", "empty", "--level", "min", "--out", "out")

    assert refused(done)[0] == "audit: the folder empty is empty"


def test_cloaks_that_a_tracker_can_t_learn_are_told_before_the_photos_are_looked_at(
    audit_here: Audit, people: Path
) -> None:
    asked = ("tracker", "train", "--photos", people, "--as", "new", "--network", "bundled-conv")

    done = audit_here(*asked, "--kind", "adaptive", "--system", "acme")

    assert refused(done)[0] == "audit: unknown cloaking system 'acme'"


@pytest.mark.parametrize("option", ["--decoys", "--probes"])
def test_no_decoys_and_no_probes_are_not_all_of_them(
    audit_here: Audit, people: Path, option: str
) -> None:
    done = audit_here("evaluate", people, "--network", "bundled-conv", "--out", "out", option, "0")

    assert f"{option[2:]} = 0." in refused(done)[0]


@pytest.mark.parametrize("rate", ["x", "5", "5/0", "5/nan", "5/inf", "0/5", "-1/5"])
def test_a_rate_that_is_none(audit_here: Audit, rate: str) -> None:
    done = audit_here("emulate", "--provider", "azure", "--rate", rate)

    assert refused(done)[0] == f"audit: --rate {rate!r} is no rate."


def test_photos_of_which_none_can_be_used_fail_the_check_that_shows_why(
    audit_here: Audit, tmp_path: Path
) -> None:
    (tmp_path / "photos" / "ann").mkdir(parents=True)
    (tmp_path / "photos" / "ann" / "empty.jpg").touch()

    done = audit_here("photos", "check", "photos", "--quiet")

    assert "ann/empty.jpg" in refused(done)[0]
    assert "zero_byte" in done.stdout
