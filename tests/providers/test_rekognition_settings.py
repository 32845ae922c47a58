"""Where the Rekognition adapter finds its keys and region, and what it tells of them."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.errors import UserError
from providers.base import FailureKind
from providers.rekognition import RekognitionProvider
from tests.providers.accounts import REKOGNITION_KEYS

pytestmark = pytest.mark.usefixtures("aws_configuration")
Connect = Callable[..., RekognitionProvider]


@pytest.fixture(scope="module")
def service() -> str:
    return "rekognition"


def test_proxies_are_not_for_this_machine(
    emulator: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert connect(emulator).list_galleries() == []


def test_account_tells_keys_and_regions_apart_without_holding_them(
    connect: Connect, emulator: str
) -> None:
    digest = hashlib.sha256(REKOGNITION_KEYS["access_key_id"].encode()).hexdigest()[:8]
    assert connect().account == f"rekognition/us-east-1/{digest}"
    assert connect(region="eu-west-1").account == f"rekognition/eu-west-1/{digest}"
    assert connect(emulator).account == f"rekognition/{emulator.removeprefix('http://')}/{digest}"
    assert connect(access_key_id="another").account != connect().account


def test_the_keys_are_in_no_text(faces: RekognitionProvider) -> None:
    with pytest.raises(Exception, match="ResourceNotFound") as caught:
        faces.delete_gallery("nowhere")
    told = faces.classify(RuntimeError(f"sent with {' '.join(REKOGNITION_KEYS.values())}"))
    texts = [repr(faces), str(faces), faces.account, repr(caught.value), repr(told)]
    assert told.message == "sent with [key] [key] [key]"
    assert not [text for text in texts for key in REKOGNITION_KEYS.values() if key in text]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": None}, "AWS_REGION"),
        ({"region": "mars moon"}, "AWS_REGION"),
        ({"endpoint": "nonsense"}, "AWS_REGION"),
        ({"access_key_id": None}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together"),
        ({"secret_access_key": None}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together"),
        (dict.fromkeys(REKOGNITION_KEYS), "--emulate"),
        ({"profile": "nowhere"}, "nowhere"),
        ({"gallery": "albums"}, "one of: faces, users"),
        ({"quality_filter": "none"}, "one of: NONE, AUTO, LOW, MEDIUM, HIGH"),
    ],
)
def test_unusable_settings_are_refused(
    connect: Connect, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        connect(**settings)
    assert message in str(caught.value)
    assert REKOGNITION_KEYS["secret_access_key"] not in str(caught.value)


def test_a_profile_is_where_boto3_finds_it(connect: Connect, aws_configuration: Path) -> None:
    aws_configuration.write_text(
        "[profile work]\nregion = eu-west-1\naws_access_key_id = b\naws_secret_access_key = c\n"
    )
    digest = hashlib.sha256(b"b").hexdigest()[:8]
    found = connect(profile="work", region=None, **dict.fromkeys(REKOGNITION_KEYS))
    assert found.account == f"rekognition/eu-west-1/{digest}"


def test_a_profile_without_keys_is_refused(connect: Connect, aws_configuration: Path) -> None:
    aws_configuration.write_text("[profile work]\ncredential_process = false\n")
    with pytest.raises(UserError, match="can't be read"):
        connect(profile="work", **dict.fromkeys(REKOGNITION_KEYS))


def test_a_role_is_assumed_when_it_is_needed(
    connect: Connect, aws_configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws_configuration.write_text(
        "[profile work]\nrole_arn = arn:aws:iam::123456789012:role/audit\nsource_profile = base\n"
        "[profile base]\naws_access_key_id = b\naws_secret_access_key = c\n"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    rekognition = connect(profile="work", **dict.fromkeys(REKOGNITION_KEYS))
    with pytest.raises(UserError, match="gives no credentials"):
        _ = rekognition.account
    with pytest.raises(Exception, match="Could not connect") as caught:
        rekognition.list_galleries()
    assert rekognition.classify(caught.value).kind is FailureKind.TRANSIENT
