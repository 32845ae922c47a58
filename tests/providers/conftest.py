from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from audit.types import Recogniser
from providers.azure import AzureProvider
from providers.emulators.options import Options
from providers.emulators.server import running
from providers.facepp import FaceppProvider
from providers.rekognition import RekognitionProvider
from tests.providers.accounts import ADAPTERS
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def service() -> str:
    """The service that a module is about; the others define theirs."""
    return "azure"


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return StubRecogniser()


@pytest.fixture(scope="module")
def start(service: str, recogniser: Recogniser) -> Iterator[Callable[..., str]]:
    """Start an emulator with options of its own; it ends with the module."""
    with ExitStack() as stack:

        def start(**options: Any) -> str:
            emulator = running(service, recogniser, CALIBRATION, options=Options(**options))
            return stack.enter_context(emulator)

        yield start


@pytest.fixture(scope="module")
def module_emulator(start: Callable[..., str]) -> str:
    return start()


@pytest.fixture
def emulator(module_emulator: str) -> str:
    requests.post(f"{module_emulator}/__emulator__/clear", timeout=10).raise_for_status()
    return module_emulator


@pytest.fixture
def connect(service: str) -> Iterator[Callable[..., Any]]:
    """Open the service's adapter with the tests' keys; settings can be changed."""
    adapter, keys = ADAPTERS[service]
    with ExitStack() as stack:

        def connect(endpoint: str | None = None, **settings: Any) -> Any:
            given: dict[str, Any] = {"endpoint": endpoint, **keys, **settings}
            provider = adapter(**given)
            stack.callback(provider.close)
            return provider

        yield connect


@pytest.fixture
def azure(emulator: str, connect: Callable[..., AzureProvider]) -> AzureProvider:
    return connect(emulator)


@pytest.fixture
def facepp(emulator: str, connect: Callable[..., FaceppProvider]) -> FaceppProvider:
    return connect(emulator)


@pytest.fixture
def faces(emulator: str, connect: Callable[..., RekognitionProvider]) -> RekognitionProvider:
    return connect(emulator)


@pytest.fixture
def users(emulator: str, connect: Callable[..., RekognitionProvider]) -> RekognitionProvider:
    return connect(emulator, gallery="users")


@pytest.fixture
def aws_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Leave boto3 nothing to find but an empty configuration file; return its path."""
    for name in ("REGION", "DEFAULT_REGION", "PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    configuration = tmp_path / "config"
    configuration.touch()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return configuration


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def disturb(emulator: str) -> Callable[..., None]:
    """Put one fault rule in force."""

    def disturb(operation: str, kind: str, **more: Any) -> None:
        rule = {"operation": operation, "kind": kind, **more}
        answer = requests.post(
            f"{emulator}/__emulator__/faults", json={"rules": [rule]}, timeout=10
        )
        assert answer.status_code == 200, answer.text

    return disturb


@pytest.fixture
def log(emulator: str) -> Callable[[], list[dict[str, Any]]]:
    def log() -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = requests.get(
            f"{emulator}/__emulator__/log", timeout=10
        ).json()
        return entries

    return log
