import inspect
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from audit.errors import UserError
from providers import registry
from providers.azure import AzureProvider
from providers.base import Capabilities, Provider, Rate


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


def kinds() -> list[tuple[str, str | None]]:
    """Return every service with each of its kinds of gallery."""
    return [
        (name, gallery)
        for name in registry.names()
        for gallery in registry.capabilities(name).galleries or (None,)
    ]


def adapter(name: str) -> type[Provider]:
    return registry._adapter(name)


@pytest.mark.parametrize(("name", "gallery"), kinds())
def test_every_table_is_whole(name: str, gallery: str | None) -> None:
    table = registry.capabilities(name, gallery)
    assert table.default_tier in table.tiers
    assert date.fromisoformat(table.priced_on)
    owed = {"create_gallery", "enrol", "list_galleries", "list_gallery", "delete_gallery"}
    assert owed <= set(table.operations)
    assert table.has("remove_person") or table.has("remove_faces")
    # What is there is asked for where an enrolment must not be sent twice.
    assert table.has("list_faces") != table.enrolment_is_idempotent
    assert table.has("identify_photo") != (table.has("detect") and table.has("identify"))
    assert table.has("train") == table.has("training_state")
    low, high = table.score_scale
    assert low < high
    assert table.on_device or "emulator" in table.tiers


@pytest.mark.parametrize("name", registry.names())
def test_an_adapter_implements_the_verbs_of_its_table_and_no_more(name: str) -> None:
    tables = [registry.capabilities(name, gallery) for kind, gallery in kinds() if kind == name]
    owed = {verb for table in tables for verb in table.operations}
    verbs = {verb for verb in vars(Provider) if not verb.startswith("_")} - {
        *("describe", "capabilities", "service_model", "account", "classify", "close"),
    }
    assert {verb for verb in verbs if verb in vars(adapter(name))} == owed


@pytest.mark.parametrize("name", registry.names())
def test_settings_are_arguments_of_the_adapter(name: str) -> None:
    table = registry.capabilities(name)
    arguments = inspect.signature(adapter(name)).parameters
    asked = {*table.settings, *table.optional_settings, *table.options, *table.emulator_settings}
    if table.galleries:
        asked.add("gallery")
    if table.on_device:
        asked |= {"recogniser", "score", "folder"}
    assert asked <= set(arguments)
    needed = {key for key, value in arguments.items() if value.default is value.empty}
    assert needed <= {*table.settings, "recogniser", "score", "folder"}


def test_capabilities_need_no_sdk() -> None:
    code = (
        "import sys; from providers import registry;"
        "[registry.capabilities(name) for name in registry.names()];"
        "print({'azure', 'boto3', 'botocore', 'sklearn', 'torch'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout == "set()\n"


def test_a_provider_is_opened_by_name() -> None:
    azure = registry.open_provider("azure", endpoint="https://x.example", key="k")
    assert isinstance(azure, AzureProvider)
    assert azure.capabilities is registry.capabilities("azure")
    azure.close()


def test_an_unknown_kind_of_gallery_is_told_what_exists() -> None:
    with pytest.raises(UserError, match=r"'vectors'[\s\S]*faces, users"):
        registry.capabilities("rekognition", "vectors")
    with pytest.raises(UserError, match="one kind"):
        registry.capabilities("azure", "faces")


@pytest.mark.parametrize("ask", [registry.capabilities, registry.open_provider])
def test_an_unknown_provider_is_told_what_exists(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(UserError, match=r"'acme'[\s\S]*azure"):
        ask("acme")
