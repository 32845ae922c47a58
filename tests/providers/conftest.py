import runpy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from providers.azure import AzureProvider
from providers.emulators.options import Options
from providers.emulators.server import running

STUB_SCRIPT = Path(__file__).parent / "stub_emulator.py"
KEY = "k3y-0f-the-tests"


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
def stub() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(STUB_SCRIPT)), script=STUB_SCRIPT)


@pytest.fixture(scope="session")
def photo(stub: SimpleNamespace) -> Callable[..., bytes]:
    draw: Callable[..., bytes] = stub.photo
    return draw


@pytest.fixture(scope="module")
def start(stub: SimpleNamespace) -> Iterator[Callable[..., str]]:
    """Start an emulator with options of its own; it ends with the module."""
    with ExitStack() as stack:

        def start(**options: Any) -> str:
            emulator = running(
                "azure", stub.StubRecogniser(), stub.CALIBRATION, options=Options(**options)
            )
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
def connect() -> Iterator[Callable[..., AzureProvider]]:
    with ExitStack() as stack:

        def connect(endpoint: str, key: str = KEY, **settings: Any) -> AzureProvider:
            provider = AzureProvider(endpoint, key, **settings)
            stack.callback(provider.close)
            return provider

        yield connect


@pytest.fixture
def azure(emulator: str, connect: Callable[..., AzureProvider]) -> AzureProvider:
    return connect(emulator)


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
