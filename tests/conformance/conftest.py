import hashlib
import runpy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from audit.types import Candidate
from providers import registry
from providers.base import Capabilities, Failure, Provider, RemotePerson, TrainingState
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


# --- every adapter against its emulator: adding a provider is adding a row ----------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of gallery of one provider.

    `keys` are the arguments that nobody may be told, the first of them the one that an emulator
    knows its accounts by; a row without any has no emulator. `sizes_pages`: the adapter says how
    much it wants at once.
    """

    name: str
    keys: tuple[str, ...] = ()
    gallery: str | None = None
    sizes_pages: bool = False

    @property
    def capabilities(self) -> Capabilities:
        return registry.capabilities(self.name, self.gallery)

    def offers(self, need: str) -> bool:
        """Tell whether it has an emulator, lists people rather than faces, or has a verb."""
        if need == "pages of people":
            return self.capabilities.lists_people
        return bool(self.keys) if need == "emulator" else self.capabilities.has(need)


_AWS = ("access_key_id", "secret_access_key")
ROWS = [
    Row("azure", ("key",), sizes_pages=True),
    Row("facepp", ("api_key", "api_secret")),
    Row("rekognition", _AWS, "faces", sizes_pages=True),
    Row("rekognition", _AWS, "users", sizes_pages=True),
    Row("local"),
]


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


@dataclass(slots=True)
class Enrolled:
    """A person in a gallery: the service's id of the person and of each face."""

    id: str
    faces: list[str]


class Account:
    """An account at a service, real but for who recognises: what a run does, in few words."""

    key = "pl4nted-k3y"

    def __init__(self, row: Row, provider: Provider, url: str, photo: Callable[..., bytes]) -> None:
        self.row = row
        self.provider = provider
        self.capabilities = provider.capabilities
        self.url = url
        self.photo = photo

    def has(self, verb: str) -> bool:
        return self.capabilities.has(verb)

    def person(self, gallery: str, tag: str) -> str:
        return self.provider.add_person(gallery, tag) if self.has("add_person") else tag

    def send(self, gallery: str, person_id: str, photo: bytes) -> str:
        """Take the first step of enrolling a photo; return the id of its face."""
        tag = hashlib.sha256(photo).hexdigest()
        return self.provider.enrol(gallery, person_id, photo, tag).id

    def enrol(self, gallery: str, person_id: str, photos: Iterable[bytes]) -> Enrolled:
        """Enrol photos, down to the last step that the service needs."""
        faces = [self.send(gallery, person_id, photo) for photo in photos]
        size = self.capabilities.attach_batch
        owner = person_id if self.capabilities.attaches_by_person else ""
        for start in range(0, len(faces) if self.has("attach") else 0, size):
            assert self.provider.attach(gallery, owner, faces[start : start + size]) == {}
        for face in faces if self.has("label") else []:
            self.provider.label(gallery, face, person_id)
        return Enrolled(person_id, faces)

    def train(self, gallery: str) -> None:
        if self.has("train"):
            self.provider.train(gallery)
            assert self.provider.training_state(gallery) is TrainingState.SUCCEEDED

    def fill(self, gallery: str = "g", people: int = 3) -> list[Enrolled]:
        """Create a gallery of people with two photos each."""
        self.provider.create_gallery(gallery)
        filled = [
            self.enrol(
                gallery,
                self.person(gallery, f"person-{person}"),
                (self.photo(person, variant) for variant in (0, 3)),
            )
            for person in range(people)
        ]
        self.train(gallery)
        return filled

    def remove(self, gallery: str, person: Enrolled) -> None:
        """Remove a person with the faces, which are free only when the person is gone."""
        if self.has("remove_person"):
            self.provider.remove_person(gallery, person.id)
        if self.has("remove_faces"):
            self.provider.remove_faces(gallery, person.faces)

    def pages(self, gallery: str = "g") -> Iterator[Sequence[RemotePerson]]:
        """Yield what a gallery holds, one page after the other."""
        page = self.provider.list_gallery(gallery)
        yield page.people
        while page.next:
            page = self.provider.list_gallery(gallery, page.next)
            yield page.people

    def held(self, gallery: str = "g") -> list[str]:
        """Return the ids of all faces in a gallery."""
        return [face for page in self.pages(gallery) for person in page for face in person.face_ids]

    def ask(
        self, photo: bytes, threshold: float = 0.0, candidates: int = 5, gallery: str = "g"
    ) -> list[Candidate]:
        """Return the people offered for a photo."""
        if self.has("identify_photo"):
            return list(self.provider.identify_photo(gallery, photo, threshold, candidates))
        face = self.provider.detect(photo)
        [offered] = self.provider.identify(gallery, [face], threshold, candidates)
        return list(offered)

    def failure(self, call: Callable[[], Any]) -> Failure:
        """Return what the failure of a call means; no key may be in anything that it says."""
        with pytest.raises(Exception) as caught:
            call()
        failure = self.provider.classify(caught.value)
        said = [caught.value, failure, self.provider, self.provider.account]
        assert not [one for one in said if self.key in f"{one!s} {one!r}"]
        return failure

    def disturb(self, operation: str, kind: str, **more: Any) -> None:
        """Put one fault in force."""
        self.control("faults", {"rules": [{"operation": operation, "kind": kind, **more}]})

    def control(self, what: str, document: Any = None) -> None:
        answer = requests.post(f"{self.url}/__emulator__/{what}", json=document, timeout=10)
        assert answer.status_code == 200, answer.text

    def sent(self, verb: str) -> int:
        """Return how often a verb's operation was on the wire."""
        operation = self.capabilities.operations[verb]
        return [entry["operation"] for entry in self.log()].count(operation)

    def log(self) -> list[dict[str, Any]]:
        """Return all requests that were on the wire; on this machine there is none."""
        if not self.url:
            return []
        answer = requests.get(f"{self.url}/__emulator__/log", timeout=10)
        assert self.key not in answer.text
        entries: list[dict[str, Any]] = answer.json()
        return entries


Connect = Callable[..., Account]


@pytest.fixture(scope="module")
def emulator(stub: SimpleNamespace) -> Iterator[Callable[..., str]]:
    """Start an emulator with options of its own; it ends with the module."""
    with ExitStack() as stack:

        def emulator(name: str, **options: Any) -> str:
            recogniser = stub.StubRecogniser()
            server = running(name, recogniser, stub.CALIBRATION, options=Options(**options))
            return stack.enter_context(server)

        yield emulator


@pytest.fixture(scope="module")
def connect(
    row: Row, stub: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connect]:
    """Open an account with the planted key at an address; arguments can be changed."""
    with ExitStack() as stack:

        def connect(url: str, **changes: Any) -> Account:
            arguments: dict[str, Any] = {"endpoint": url, **row.capabilities.emulator_settings}
            if row.capabilities.on_device:
                arguments = {
                    "recogniser": stub.StubRecogniser(),
                    "score": stub.CALIBRATION.score,
                    "folder": tmp_path_factory.mktemp(row.name),
                }
            if row.gallery:
                arguments["gallery"] = row.gallery
            arguments |= dict.fromkeys(row.keys, Account.key) | changes
            provider = registry.open_provider(row.name, **arguments)
            stack.callback(provider.close)
            return Account(row, provider, url, stub.photo)

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
