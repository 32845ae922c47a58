"""Which service an experiment asks: tier, region, keys, prices, kind of gallery."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import plan, services, settings
from audit.catalogue import rows as catalogue
from audit.errors import UserError
from audit.experiment import Experiment, resolve
from audit.folders import RunFolder
from audit.types import Photo, Split
from datasets import generated
from providers import registry

Audit = Callable[..., subprocess.CompletedProcess[str]]
PRICES = """
priced_on = "2027-01-31"
[tiers.paid]
rates = [{ calls = 7, per_s = 1 }]
usd_per_call = 0.5
[tiers.paid.operation_usd]
detect = 0.25
"""


def experiment(**given: Any) -> Experiment:
    return resolve(None, given)


@pytest.fixture
def priced(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(PRICES)
    return file


@pytest.mark.parametrize(
    ("given", "region", "tier", "index_faces"),
    [
        ({}, "us-west-2", "us-west-2", 50),
        ({}, "ap-south-1", "other-region", 5),
        ({"region": "eu-west-1"}, "ap-south-1", "eu-west-1", 50),
        ({"tier": "other-region"}, "us-east-1", "other-region", 5),
    ],
)
def test_the_region_chooses_the_rates_of_rekognition(
    given: dict[str, str], region: str, tier: str, index_faces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", region)

    found = services.tier_of(experiment(provider="rekognition", **given))

    assert found.name == tier
    assert found.limit("IndexFaces")[1][0].calls == index_faces
    assert found.limit("CreateUser")[1][0].calls == 5
    assert found.limit("IndexFaces")[0] != found.limit("SearchFacesByImage")[0]


def test_keys_come_from_the_environment_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("FACEPP_API_KEY=file\nFACEPP_API_SECRET=file\n")
    monkeypatch.setenv("FACEPP_API_KEY", "environment")

    found = settings.find(registry.capabilities("facepp"), {"endpoint": "http://here"})

    assert {name: secret.get_secret_value() for name, secret in found.items()} == {
        "api_key": "environment",
        "api_secret": "file",
        "endpoint": "http://here",
    }
    assert "environment" not in repr(found)


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        ("azure", "AZURE_FACE_ENDPOINT and AZURE_FACE_KEY"),
        ("facepp", "FACEPP_API_KEY and FACEPP_API_SECRET"),
    ],
)
def test_every_key_that_is_missing_is_named(
    provider: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UserError, match=told):
        services.check_keys(experiment(provider=provider))


def test_own_prices_replace_those_of_their_tiers(priced: Path) -> None:
    paid = experiment(provider="facepp", prices=priced, tier="paid")

    assert services.capabilities_of(paid).priced_on == "2027-01-31"
    assert "trial" in services.capabilities_of(paid).tiers
    assert plan.price_usd(services.tier_of(paid), {"detect": 4, "search": 2}) == pytest.approx(2.0)
    assert plan.duration_s(services.tier_of(paid), ["search"] * 70) == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    "text", ["", 'priced_on = "2027"', PRICES + "[tiers.paid.colours]", "a = 1\n" + PRICES, "= ="]
)
def test_a_table_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)

    with pytest.raises(UserError, match=r"mine\.toml"):
        services.check(experiment(provider="facepp", prices=file))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"provider": "azure", "gallery": "users"}, "azure has no kind of gallery"),
        ({"provider": "rekognition", "gallery": "people"}, "'people'"),
        ({"provider": "azure", "emulate": True, "matching": "linear"}, "can't match by 'linear'"),
        ({"provider": "facepp", "tier": "gold"}, "no tier 'gold'"),
    ],
)
def test_what_a_service_does_not_have_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        services.check(experiment(**given))


def test_more_photos_of_a_person_than_a_service_takes_are_refused() -> None:
    photos = tuple(Photo(str(n), "ann", Path(), 9, 9) for n in range(101))
    split = Split(0, train={"ann": photos}, probe={}, decoy={})

    plan.check_sizes(registry.capabilities("rekognition", "faces"), split)
    with pytest.raises(UserError, match="101 photos"):
        plan.check_sizes(registry.capabilities("rekognition", "users"), split)


@pytest.mark.usefixtures("without_figures")
def test_a_run_keeps_its_own_prices(
    audit_here: Audit, tmp_path: Path, priced: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    people = tmp_path_factory.mktemp("people")
    generated.write_people(people, 2, [4, 2].__getitem__)
    photos = ("--photos", str(people), "--person", "person-000", "--train", "2")
    paid = ("--provider", "facepp", "--emulate", "--prices", str(priced), "--tier", "paid")

    begun = audit_here(
        "run", *paid, *photos, "--level", "none", "--out", "paid", "--max-cost", "0.8", "--quiet"
    )
    priced.unlink()

    assert begun.returncode == 3
    assert "0.8 USD" in begun.stderr
    resumed = audit_here("resume", "paid", "--max-cost", "100", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    manifest = json.loads(RunFolder(tmp_path / "audit-runs" / "paid").manifest.read_text())
    spent = manifest["calls"]["by_operation"]
    detects = spent.pop("detect")
    assert manifest["cost_usd"] == pytest.approx(0.25 * detects + 0.5 * sum(spent.values()))
    assert manifest["service"]["priced_on"] == "2027-01-31"


def test_the_list_of_services_in_the_docs_is_the_program_s() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "services.md").read_text(encoding="utf-8")
    told = " ".join(page.split())

    for row in catalogue():
        gallery = f" --gallery {row['gallery']}" if row["gallery"] else ""
        service = (
            f"- `{row['provider']}{gallery}`: photos {row['photo']}; {row['people_offered']} people"
            f" offered, {row['photos_per_person']} photos a person - "
        )
        price = f"{row['usd_per_1000_probes']} USD for 1,000 probes ({row['priced_on']})"
        tier = f"- {row['tier']}: {row['calls']}; {price}"
        assert service in told
        assert tier in told[told.index(service) :].split("- `")[1]
