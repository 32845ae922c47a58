import subprocess
import sys
from pathlib import Path

import pytest

from audit.errors import UserError
from providers import registry
from providers.azure import AzureProvider
from providers.base import Capabilities, Rate


def test_azure_s_limits_are_the_documented_ones() -> None:
    azure = registry.capabilities("azure")
    assert isinstance(azure, Capabilities)
    assert azure.image_bytes_max == 6 * 1024 * 1024
    assert azure.image_formats == ("JPEG", "PNG", "GIF", "BMP")
    assert (azure.identify_batch, azure.candidates_max, azure.faces_per_person_max) == (
        10,
        100,
        248,
    )
    assert azure.tiers["F0"].rates == (Rate(20, 60),)
    assert azure.tiers["F0"].calls_per_month == 30_000
    assert azure.tiers["S0"].rates == (Rate(10, 1),)
    assert azure.tiers["S0"].calls_per_month is None
    assert 1000 * azure.tiers["S0"].usd_per_call == pytest.approx(1.0)
    assert azure.default_tier in azure.tiers
    assert not azure.enrolment_is_idempotent


def test_capabilities_need_no_sdk() -> None:
    code = (
        "import sys; from providers import registry; registry.capabilities('azure');"
        "import providers.azure; print([name for name in sys.modules if name == 'azure'])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout == "[]\n"


def test_a_provider_is_opened_by_name() -> None:
    azure = registry.open_provider("azure", endpoint="https://x.example", key="k")
    assert isinstance(azure, AzureProvider)
    assert azure.capabilities is registry.capabilities("azure")
    azure.close()


@pytest.mark.parametrize("ask", [registry.capabilities, registry.open_provider])
def test_an_unknown_provider_is_told_what_exists(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(UserError, match=r"'acme'[\s\S]*azure"):
        ask("acme")
