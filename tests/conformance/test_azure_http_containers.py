"""Groups and lists of all four kinds on the wire: what they share, and their own codes and texts.

Codes and texts: "Azure AI Face API error codes"; limits: Face "identity quotas and limits".
"""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
import requests

from providers.emulators.options import Options
from providers.emulators.server import running
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

Ask = Callable[..., requests.Response]
Error = Callable[[requests.Response], tuple[int, str, str]]
NOBODY = "00000000-0000-4000-8000-000000000000"
KEY = {"Ocp-Apim-Subscription-Key": "any"}
NOUNS = {
    "largepersongroups": ("LargePersonGroup", "Large person group"),
    "persongroups": ("PersonGroup", "Person group"),
    "largefacelists": ("LargeFaceList", "Large face list"),
    "facelists": ("FaceList", "Face list"),
}
TRAINED = [path for path in NOUNS if path != "facelists"]
GROUPS = ["largepersongroups", "persongroups"]


class FixedClock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def emulator(**options: Any) -> AbstractContextManager[str]:
    return running("azure", StubRecogniser(), CALIBRATION, options=Options(**options))


def send(url: str, method: str, path: str, **more: Any) -> requests.Response:
    headers = KEY | more.pop("headers", {})
    if "data" in more:
        headers["Content-Type"] = "application/octet-stream"
    return requests.request(method, f"{url}/face/v1.2{path}", headers=headers, timeout=10, **more)


def members(path: str, ask: Ask) -> str:
    """Return where faces are added to a container."""
    if path in GROUPS:
        person = ask("POST", f"/{path}/c/persons", json={"name": "someone"}).json()["personId"]
        return f"/{path}/c/persons/{person}/persistedfaces"
    return f"/{path}/c/persistedfaces"


@pytest.mark.parametrize("path", NOUNS)
def test_errors_bear_the_kind_s_name(ask: Ask, path: str, error: Error) -> None:
    noun, words = NOUNS[path]
    gone = (404, f"{noun}NotFound", f"{words} is not found.")
    bad = f"{words} ID is invalid."
    for method in ("GET", "DELETE"):
        assert error(ask(method, f"/{path}/c")) == gone
        assert error(ask(method, f"/{path}/C")) == (404, f"{noun}NotFound", bad)
    assert error(ask("PUT", f"/{path}/C", json={"name": "n"})) == (400, "BadArgument", bad)
    assert ask("PUT", f"/{path}/c", json={"name": "n"}).status_code == 200
    again = ask("PUT", f"/{path}/c", json={"name": "n"})
    assert error(again) == (409, f"{noun}Exists", f"{words} already exists.")
    empty = error(ask("PATCH", f"/{path}/c", json={"other": 1}))
    assert empty == (400, "BadArgument", "Both 'name' and 'userData' are empty.")


@pytest.mark.parametrize("path", NOUNS)
def test_all_kinds_default_to_the_oldest_model(ask: Ask, path: str) -> None:
    ask("PUT", f"/{path}/c", json={"name": "n", "unknown": {"field": 1}})
    [row] = ask("GET", f"/{path}?returnRecognitionModel=True").json()
    assert row["recognitionModel"] == "recognition_01"
    assert ask("GET", f"/{path}/c").json().keys() - row.keys() <= {"persistedFaces"}


def test_kinds_do_not_share_their_ids(ask: Ask) -> None:
    for path in NOUNS:
        assert ask("PUT", f"/{path}/c", json={"name": path}).status_code == 200
    for path in NOUNS:
        assert [row["name"] for row in ask("GET", f"/{path}").json()] == [path]
    ask("DELETE", "/persongroups/c")
    assert ask("GET", "/largepersongroups/c").status_code == 200


@pytest.mark.parametrize("path", TRAINED)
def test_training_by_kind(ask: Ask, path: str, error: Error) -> None:
    noun, words = NOUNS[path]
    ask("PUT", f"/{path}/c", json={"name": "n"})
    never = error(ask("GET", f"/{path}/c/training"))
    assert never == (404, f"{noun}NotTrained", f"{words} not trained.")
    ask("POST", f"/{path}/c/train")
    failed = ask("GET", f"/{path}/c/training").json()
    assert (failed["status"], failed["lastSuccessfulTrainingDateTime"]) == ("failed", None)
    assert failed["message"]
    ask("POST", members(path, ask), data=photo(0))
    started = ask("POST", f"/{path}/c/train")
    assert started.headers["operation-Location"].endswith(f"/face/v1.2/{path}/c/training")
    assert ask("GET", f"/{path}/c/training").json()["status"] == "succeeded"


@pytest.mark.parametrize("path", TRAINED)
def test_nothing_changes_during_training(path: str, error: Error) -> None:
    noun, words = NOUNS[path]
    conflict = (409, f"{noun}TrainingNotFinished", f"{words} is under training.")
    clock = FixedClock()
    with emulator(clock=clock, training_s=30) as url:

        def ask(method: str, to: str, **more: Any) -> requests.Response:
            return send(url, method, to, **more)

        ask("PUT", f"/{path}/c", json={"name": "n"})
        faces = members(path, ask)
        ask("POST", faces, data=photo(0))
        ask("POST", f"/{path}/c/train")
        for method, to, more in (
            ("POST", f"/{path}/c/train", {}),
            ("PATCH", f"/{path}/c", {"json": {"name": "m"}}),
            ("DELETE", f"/{path}/c", {}),
            ("POST", faces, {"data": photo(1)}),
            ("DELETE", f"{faces}/{NOBODY}", {}),
        ):
            assert error(ask(method, to, **more)) == conflict
        clock.now += 30
        first = ask("GET", f"/{path}/c/training").json()
        ask("POST", f"/{path}/c/train")
        second = ask("GET", f"/{path}/c/training").json()
        field = "lastSuccessfulTrainingDateTime"
        assert (first["status"], second["status"]) == ("succeeded", "running")
        assert first[field] == second[field] is not None


def test_version_1_0_trains_without_saying_where_to_ask(ask: Ask, endpoint: str) -> None:
    ask("PUT", "/persongroups/c", json={"name": "n"})
    url = f"{endpoint}/face/v1.0/persongroups/c/train"
    answer = requests.post(url, headers=KEY, timeout=10)
    assert (answer.status_code, answer.content) == (202, b"")
    assert "operation-Location" not in answer.headers


def test_ids_that_no_service_made(ask: Ask, group: str, person: str, error: Error) -> None:
    bad_person = (404, "PersonNotFound", "Person ID is invalid.")
    bad_face = (404, "PersistedFaceNotFound", "Persisted face ID is invalid.")
    assert error(ask("GET", f"{group}/persons/someone")) == bad_person
    assert error(ask("GET", f"{person}/persistedfaces/some")) == bad_face
    for path, message in (
        ("largefacelists", f"Large Face List Face {NOBODY} is not found."),
        ("facelists", "Persisted face is not found."),
    ):
        ask("PUT", f"/{path}/c", json={"name": "n"})
        assert error(ask("DELETE", f"/{path}/c/persistedfaces/some")) == bad_face
        gone = error(ask("DELETE", f"/{path}/c/persistedfaces/{NOBODY}"))
        assert gone == (404, "PersistedFaceNotFound", message)


def test_an_account_s_faces_are_counted(error: Error) -> None:
    full = (403, "QuotaExceeded", "Persisted face number reached limit.")
    with emulator(faces_max=2) as url:

        def ask(method: str, to: str, **more: Any) -> requests.Response:
            return send(url, method, to, **more)

        for path in ("facelists", "persongroups"):
            ask("PUT", f"/{path}/c", json={"name": "n"})
        for path in ("facelists", "persongroups"):
            assert ask("POST", members(path, ask), data=photo(0)).status_code == 200
        for path in ("facelists", "persongroups"):
            assert error(ask("POST", members(path, ask), data=photo(0))) == full


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n}) "
FILL = {
    "containers": "INSERT INTO containers (kind, id, name, model, created) "
    "SELECT '{kind}', 'c' || i, 'n', 'recognition_01', 0 FROM n",
    "persons": "INSERT INTO persons SELECT 'p' || i, 1, 'n', NULL FROM n",
    "faces": "INSERT INTO faces SELECT 'f' || i, 1, {person}, NULL, x'00000000', 0 FROM n",
}


def filled(folder: Path, table: str, **values: Any) -> None:
    """Put rows into a stopped emulator's state: requests would take minutes."""
    with closing(sqlite3.connect(folder / "azure-stub.db")) as database:
        database.execute((NUMBERS + FILL[table]).format(**values))
        database.commit()


@pytest.mark.parametrize(
    ("path", "table", "number", "message"),
    [
        ("persongroups", "containers", 1000, "Person group number reached subscription level"),
        ("facelists", "containers", 64, "Face List number reached limit."),
        ("persongroups", "persons", 1000, "Person number reached person group level limit."),
        ("facelists", "faces", 1000, "Persisted face number reached limit."),
        ("largepersongroups", "faces", 248, "Persisted face number reached limit."),
    ],
)
def test_quotas(
    tmp_path: Path, error: Error, path: str, table: str, number: int, message: str
) -> None:
    person = NOBODY
    with emulator(state=tmp_path) as url:
        send(url, "PUT", f"/{path}/first", json={"name": "n"})
        if path in GROUPS:
            created = send(url, "POST", f"/{path}/first/persons", json={"name": "n"})
            person = created.json()["personId"]
    owner = f"'{person}'" if path in GROUPS else "NULL"
    there = 0 if table == "faces" else 1
    filled(tmp_path, table, n=number - there, kind=path, person=owner)
    faces = f"/persons/{person}/persistedfaces" if path in GROUPS else "/persistedfaces"
    call: dict[str, tuple[str, str, dict[str, Any]]] = {
        "containers": ("PUT", f"/{path}/last", {"json": {"name": "n"}}),
        "persons": ("POST", f"/{path}/first/persons", {"json": {"name": "n"}}),
        "faces": ("POST", f"/{path}/first{faces}", {"data": photo(0)}),
    }
    with emulator(state=tmp_path) as url:
        method, to, more = call[table]
        status, code, text = error(send(url, method, to, **more))
    assert (status, code) == (403, "QuotaExceeded")
    assert text.startswith(message)


class SlowRecogniser:
    """Looks at a photo until it is told to go on."""

    name = "slow"

    def __init__(self, recogniser: Callable[[bytes], Any]) -> None:
        self._recogniser = recogniser
        self.looks, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, image: bytes) -> Any:
        self.looks.set()
        assert self.may_go_on.wait(30)
        return self._recogniser(image)


@pytest.mark.parametrize("path", NOUNS)
def test_what_a_face_is_being_added_to_cannot_be_deleted(path: str, error: Error) -> None:
    slow = SlowRecogniser(StubRecogniser())
    with running("azure", slow, CALIBRATION, options=Options()) as url:

        def ask(method: str, to: str, **more: Any) -> requests.Response:
            return send(url, method, to, **more)

        ask("PUT", f"/{path}/c", json={"name": "n"})
        faces = members(path, ask)
        added: list[requests.Response] = []
        adding = threading.Thread(target=lambda: added.append(ask("POST", faces, data=photo(0))))
        adding.start()
        assert slow.looks.wait(30)
        for resource in {f"/{path}/c", faces.removesuffix("/persistedfaces")}:
            status, code, text = error(ask("DELETE", resource))
            assert (status, code) == (409, "ConcurrentOperationConflict")
            assert resource[1:] in text
        slow.may_go_on.set()
        adding.join()
        assert added[0].status_code == 200
        assert ask("DELETE", f"/{path}/c").status_code == 200
