import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from providers.emulators.options import Options
from providers.emulators.server import running

Ask = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def stub() -> SimpleNamespace:
    script = Path(__file__).parents[1] / "providers" / "stub_emulator.py"
    return SimpleNamespace(**runpy.run_path(str(script)))


@pytest.fixture(scope="module")
def endpoint(stub: SimpleNamespace) -> Iterator[str]:
    with running("azure", stub.StubRecogniser(), stub.CALIBRATION, options=Options()) as url:
        yield url


@pytest.fixture
def ask(endpoint: str) -> Iterator[Ask]:
    requests.post(f"{endpoint}/__emulator__/clear", timeout=10).raise_for_status()
    with requests.Session() as session:
        session.headers["Ocp-Apim-Subscription-Key"] = "any"

        def ask(method: str, path: str, **more: Any) -> requests.Response:
            if isinstance(more.get("data"), bytes):
                more.setdefault("headers", {"Content-Type": "application/octet-stream"})
            return session.request(method, f"{endpoint}/face/v1.2{path}", timeout=10, **more)

        yield ask


@pytest.fixture
def group(ask: Ask) -> str:
    body = {"name": "people", "userData": "ours", "recognitionModel": "recognition_04"}
    assert ask("PUT", "/largepersongroups/g", json=body).status_code == 200
    return "/largepersongroups/g"


@pytest.fixture
def person(ask: Ask, group: str) -> str:
    created = ask("POST", f"{group}/persons", json={"name": "someone", "userData": "hers"}).json()
    return f"{group}/persons/{created['personId']}"


@pytest.fixture
def error() -> Callable[[requests.Response], tuple[int, str, str]]:
    """Return how to read an error: its status, code and message."""

    def error(answer: requests.Response) -> tuple[int, str, str]:
        body = answer.json()["error"]
        assert answer.headers["x-ms-error-code"] == body["code"]
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, body["code"], body["message"]

    return error
