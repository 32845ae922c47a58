from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import requests

from audit.types import Recogniser
from providers import registry
from providers.emulators.options import Options
from providers.emulators.server import running
from tests.conformance import rekognition_client
from tests.conformance.account import ROWS, Account, Connect, Row
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

Ask = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with running("azure", StubRecogniser(), CALIBRATION, options=Options()) as url:
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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*abilities): verbs, or an emulator, that it takes")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of adapters with every row that has what it needs."""
    if "row" in metafunc.fixturenames:
        marks = metafunc.definition.iter_markers("needs")
        needs = [need for mark in marks for need in mark.args]
        rows = [row for row in ROWS if all(row.offers(need) for need in needs)]
        names = ["-".join(filter(None, (row.name, row.gallery))) for row in rows]
        metafunc.parametrize("row", rows, ids=names, scope="module")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Callable[..., str]]:
    """Start an emulator with options of its own; it ends with the module."""
    with ExitStack() as stack:

        def emulator(name: str, recogniser: Recogniser | None = None, **options: Any) -> str:
            recogniser = recogniser or StubRecogniser()
            server = running(name, recogniser, CALIBRATION, options=Options(**options))
            return stack.enter_context(server)

        yield emulator


@pytest.fixture(scope="module")
def start(emulator: Callable[..., str]) -> Callable[..., Any]:
    """Start a Rekognition emulator of one's own; return Amazon's client at it."""

    def start(recogniser: Recogniser | None = None, **options: Any) -> Any:
        return rekognition_client.connect(emulator("rekognition", recogniser, **options))

    return start


@pytest.fixture(scope="module")
def module_rekognition(start: Callable[..., Any]) -> Any:
    return start()


@pytest.fixture
def rekognition(module_rekognition: Any) -> Any:
    """Return Amazon's client of an account with the collection "c", which is empty."""
    url = module_rekognition.meta.endpoint_url
    requests.post(f"{url}/__emulator__/clear", timeout=10).raise_for_status()
    module_rekognition.create_collection(CollectionId="c")
    return module_rekognition


@pytest.fixture(scope="module")
def connect(row: Row, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connect]:
    """Open an account with the planted key at an address; arguments can be changed."""
    with ExitStack() as stack:

        def connect(url: str, **changes: Any) -> Account:
            arguments: dict[str, Any] = {"endpoint": url, **row.capabilities.emulator_settings}
            if row.capabilities.on_device:
                arguments = {
                    "recogniser": StubRecogniser(),
                    "score": CALIBRATION.score,
                    "folder": tmp_path_factory.mktemp(row.name),
                }
            if row.gallery:
                arguments["gallery"] = row.gallery
            arguments |= dict.fromkeys(row.keys, Account.key) | changes
            provider = registry.open_provider(row.name, **arguments)
            stack.callback(provider.close)
            return Account(row, provider, url, photo)

        yield connect


@pytest.fixture(scope="module")
def shared_account(row: Row, emulator: Callable[..., str], connect: Connect) -> Account:
    return connect(emulator(row.name) if row.offers("emulator") else "")


@pytest.fixture
def account(shared_account: Account) -> Account:
    """An empty account."""
    if shared_account.url:
        shared_account.control("clear")
    else:
        for gallery in shared_account.provider.list_galleries():
            shared_account.provider.delete_gallery(gallery)
    return shared_account


@pytest.fixture
def short_pages(account: Account, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the adapter ask for 40 at once, if it says how many it wants; return how many it gets."""
    size = 40 if account.row.sizes_pages else account.capabilities.list_page
    table = replace(account.capabilities, list_page=size)
    adapter = type(account.provider)
    monkeypatch.setattr(adapter, "describe", lambda *_: table)
    return size


@pytest.fixture
def account_at(row: Row, emulator: Callable[..., str], connect: Connect) -> Connect:
    """Open an account at an emulator of one's own."""
    return lambda **options: connect(emulator(row.name, **options))
