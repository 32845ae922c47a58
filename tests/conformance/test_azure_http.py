"""Azure Face's wire, byte by byte, as a client without the SDK sees it.

Paths, statuses and texts: REST reference v1.2 and "Azure AI Face API error codes".
"""

import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from providers.emulators.options import Options
from providers.emulators.server import running

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOBODY = "00000000-0000-4000-8000-000000000000"
MODELS = "detectionModel=detection_03&recognitionModel=recognition_04"
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
    assert UUID.fullmatch(created["personId"])
    return f"{group}/persons/{created['personId']}"


def error(answer: requests.Response) -> tuple[int, str, str]:
    body = answer.json()["error"]
    assert answer.headers["x-ms-error-code"] == body["code"]
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, body["code"], body["message"]


def test_groups(ask: Ask, group: str) -> None:
    shown = {"largePersonGroupId": "g", "name": "people", "userData": "ours"}
    assert ask("GET", group).json() == shown
    with_model = shown | {"recognitionModel": "recognition_04"}
    assert ask("GET", f"{group}?returnRecognitionModel=true").json() == with_model
    assert ask("GET", "/largepersongroups?returnRecognitionModel=true").json() == [with_model]
    updated = ask("PATCH", group, json={"name": "others"})
    assert (updated.status_code, updated.content) == (200, b"")
    assert ask("GET", group).json() == shown | {"name": "others"}
    deleted = ask("DELETE", group)
    assert (deleted.status_code, deleted.content) == (200, b"")
    gone = (404, "LargePersonGroupNotFound", "Large person group is not found.")
    assert error(ask("GET", group)) == gone
    assert error(ask("DELETE", group)) == gone


def test_groups_default_to_the_oldest_model(ask: Ask) -> None:
    ask("PUT", "/largepersongroups/old", json={"name": "old"})
    shown = ask("GET", "/largepersongroups/old?returnRecognitionModel=true").json()
    assert shown["recognitionModel"] == "recognition_01"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("Capital", {"name": "n"}, "Large person group ID is invalid."),
        ("x" * 65, {"name": "n"}, "Large person group ID is invalid."),
        ("g", {}, "'name' is empty."),
        ("g", {"name": "n" * 129}, "'name' is too long."),
        ("g", {"name": 5}, "Request body is invalid."),
        ("g", [], "Request body is invalid."),
        ("g", {"name": "n", "userData": "u" * 16385}, "'userData' is too long."),
        (
            "g",
            {"name": "n", "recognitionModel": "recognition_05"},
            "'recognitionModel' is invalid.",
        ),
    ],
)
def test_groups_that_are_refused(ask: Ask, path: str, body: object, message: str) -> None:
    answer = ask("PUT", f"/largepersongroups/{path}", json=body)
    assert error(answer) == (400, "BadArgument", message)


def test_a_group_exists_once(ask: Ask, group: str) -> None:
    answer = ask("PUT", group, json={"name": "again"})
    expected = (409, "LargePersonGroupExists", "Large person group already exists.")
    assert error(answer) == expected


def test_broken_json_and_empty_updates(ask: Ask, group: str) -> None:
    answer = ask("PUT", "/largepersongroups/h", data="{", headers={"Content-Type": "text/json"})
    assert error(answer) == (400, "BadArgument", "JSON parsing error.")
    answer = ask("PATCH", group, json={})
    assert error(answer) == (400, "BadArgument", "Both 'name' and 'userData' are empty.")


def test_persons(ask: Ask, group: str, person: str) -> None:
    shown = {
        "personId": person.rpartition("/")[2],
        "name": "someone",
        "userData": "hers",
        "persistedFaceIds": [],
    }
    assert ask("GET", person).json() == shown
    assert ask("GET", f"{group}/persons").json() == [shown]
    assert ask("PATCH", person, json={"userData": "his"}).status_code == 200
    assert ask("GET", person).json() == shown | {"userData": "his"}
    assert ask("DELETE", person).status_code == 200
    number = person.rpartition("/")[2]
    assert error(ask("GET", person)) == (404, "PersonNotFound", f"Person {number} is not found.")


def test_paging(ask: Ask, group: str) -> None:
    for number in range(5):
        ask("POST", f"{group}/persons", json={"name": str(number)})
    everyone = [row["personId"] for row in ask("GET", f"{group}/persons").json()]
    assert everyone == sorted(everyone)
    page = ask("GET", f"{group}/persons?start={everyone[1]}&top=2").json()
    assert [row["personId"] for row in page] == everyone[2:4]
    assert ask("GET", f"{group}/persons?start={everyone[4]}").json() == []
    for top in ("0", "1001", "-1", "many"):
        answer = ask("GET", f"{group}/persons?top={top}")
        assert error(answer) == (400, "BadArgument", "'top' is invalid.")
    answer = ask("GET", f"/largepersongroups?start={'x' * 65}")
    assert error(answer) == (400, "BadArgument", "'start' is too long.")


def test_persisted_faces(ask: Ask, person: str, stub: SimpleNamespace) -> None:
    faces = f"{person}/persistedfaces"
    added = ask("POST", f"{faces}?userData=a%20b&detectionModel=detection_03", data=stub.photo(0))
    face = added.json()["persistedFaceId"]
    assert UUID.fullmatch(face)
    assert ask("GET", person).json()["persistedFaceIds"] == [face]
    shown = {"persistedFaceId": face, "userData": "a b"}
    assert ask("GET", f"{faces}/{face}").json() == shown
    assert ask("PATCH", f"{faces}/{face}", json={"userData": "c"}).status_code == 200
    assert ask("GET", f"{faces}/{face}").json() == shown | {"userData": "c"}
    assert ask("DELETE", f"{faces}/{face}").status_code == 200
    gone = (404, "PersistedFaceNotFound", f"Persisted face {face} is not found.")
    assert error(ask("GET", f"{faces}/{face}")) == gone
    assert ask("GET", person).json()["persistedFaceIds"] == []


@pytest.mark.parametrize(
    ("query", "faces", "expected"),
    [
        ("detectionModel=detection_09", 1, "'detectionModel' is invalid."),
        (f"userData={'u' * 1025}", 1, "'userData' is too long."),
        ("targetFace=1,2,3", 1, "Invalid argument targetFace."),
        ("targetFace=1,2,0,4", 1, "Invalid argument targetFace."),
        ("targetFace=150,10,60,60", 1, "Argument targetFace out of range."),
        ("targetFace=140,100,10,10", 1, "No face detected in the image."),
        ("", 0, "No face detected in the image."),
        ("", 2, "There is more than 1 face in the image."),
        ("targetFace=80,10,40,40", 2, ""),
    ],
)
def test_faces_that_are_refused(
    ask: Ask, person: str, stub: SimpleNamespace, query: str, faces: int, expected: str
) -> None:
    answer = ask("POST", f"{person}/persistedfaces?{query}", data=stub.photo(0, faces=faces))
    assert (error(answer)[::2] if expected else (answer.status_code, "")) == (
        400 if expected else 200,
        expected,
    )


def test_detect(ask: Ask, stub: SimpleNamespace) -> None:
    rows = ask(
        "POST", f"/detect?{MODELS}&returnRecognitionModel=true", data=stub.photo(0, faces=2)
    ).json()
    assert [row["faceRectangle"] for row in rows] == [
        {"top": 10, "left": 10, "width": 60, "height": 60},
        {"top": 10, "left": 80, "width": 40, "height": 40},
    ]
    assert {row["recognitionModel"] for row in rows} == {"recognition_04"}
    assert all(UUID.fullmatch(row["faceId"]) for row in rows)
    rows = ask("POST", f"/detect?{MODELS}&returnFaceId=false", data=stub.photo(0)).json()
    assert [set(row) for row in rows] == [{"faceRectangle"}]
    assert ask("POST", f"/detect?{MODELS}", data=stub.photo(0, faces=0)).json() == []


@pytest.mark.parametrize(
    "query",
    [
        "recognitionModel=recognition_9",
        "detectionModel=detection_9",
        "returnFaceId=maybe",
        "faceIdTimeToLive=59",
        "faceIdTimeToLive=86401",
        "returnFaceAttributes=glasses",
        "returnFaceLandmarks=true",
    ],
)
def test_detect_arguments_that_are_refused(ask: Ask, stub: SimpleNamespace, query: str) -> None:
    assert error(ask("POST", f"/detect?{query}", data=stub.photo(0)))[:2] == (400, "BadArgument")


def test_pictures_by_link_and_other_bodies(ask: Ask, person: str) -> None:
    for path in ("/detect", f"{person}/persistedfaces"):
        answer = ask("POST", path, json={"url": "http://127.0.0.1:9/photo.jpg"})
        assert error(answer)[:2] == (400, "InvalidURL")
        assert error(ask("POST", path, json={}))[:2] == (400, "InvalidURL")
        answer = ask("POST", path, data="text", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415


@pytest.mark.parametrize(
    ("size", "message"), [(1023, "Image size is too small."), (6291457, "Image size is too big.")]
)
def test_picture_sizes(ask: Ask, size: int, message: str) -> None:
    answer = ask("POST", "/detect", data=b"\0" * size)
    assert error(answer) == (400, "InvalidImageSize", message)


def test_training_and_identification(
    ask: Ask, group: str, person: str, stub: SimpleNamespace
) -> None:
    face = ask("POST", f"/detect?{MODELS}", data=stub.photo(0)).json()[0]["faceId"]
    query = {"faceIds": [face], "largePersonGroupId": "g"}
    not_trained = ("LargePersonGroupNotTrained", "Large person group not trained.")
    assert error(ask("GET", f"{group}/training")) == (404, *not_trained)
    assert error(ask("POST", "/identify", json=query)) == (400, *not_trained)
    ask("POST", f"{person}/persistedfaces", data=stub.photo(0))
    train = ask("POST", f"{group}/train")
    assert (train.status_code, train.content) == (202, b"")
    status = requests.get(
        train.headers["operation-Location"],
        headers={"Ocp-Apim-Subscription-Key": "any"},
        timeout=10,
    ).json()
    assert (status["status"], status["message"]) == ("succeeded", None)
    times = ("createdDateTime", "lastActionDateTime", "lastSuccessfulTrainingDateTime")
    assert all(UTC.fullmatch(status[name]) for name in times)
    [answer] = ask("POST", "/identify", json=query).json()
    assert answer["faceId"] == face
    [candidate] = answer["candidates"]
    assert candidate["personId"] == person.rpartition("/")[2]
    assert candidate["confidence"] > 0.99


def test_identify_offers_ten_above_one_half_by_default(
    ask: Ask, group: str, stub: SimpleNamespace
) -> None:
    for number in range(12):
        person = ask("POST", f"{group}/persons", json={"name": str(number)}).json()["personId"]
        photo = stub.photo(0 if number < 11 else 1)
        ask("POST", f"{group}/persons/{person}/persistedfaces", data=photo)
    ask("POST", f"{group}/train")
    for probe, offered, above in ((0, 10, 0.5), (5, 0, 0.5)):
        data = stub.photo(probe)
        face = ask("POST", f"/detect?{MODELS}", data=data).json()[0]["faceId"]
        query = {"faceIds": [face], "largePersonGroupId": "g"}
        [answer] = ask("POST", "/identify", json=query).json()
        assert len(answer["candidates"]) == offered
        assert all(row["confidence"] >= above for row in answer["candidates"])
        wide = {"maxNumOfCandidatesReturned": 100, "confidenceThreshold": 0}
        [answer] = ask("POST", "/identify", json=query | wide).json()
        assert len(answer["candidates"]) == 12


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"faceIds": []}, "The length of faceIds is not in a valid range."),
        ({"faceIds": [NOBODY] * 11}, "The length of faceIds is not in a valid range."),
        ({"faceIds": [5]}, "Face ID is invalid."),
        ({"faceIds": [NOBODY]}, "Face is not found."),
        ({"maxNumOfCandidatesReturned": 101}, "maxNumOfCandidatesReturned is not valid."),
        ({"maxNumOfCandidatesReturned": 0}, "maxNumOfCandidatesReturned is not valid."),
        ({"confidenceThreshold": 1.1}, "The argument confidenceThreshold is not valid."),
        ({"confidenceThreshold": True}, "The argument confidenceThreshold is not valid."),
        ({"largePersonGroupId": "NO"}, "Large person group ID is invalid."),
        ({"largePersonGroupId": "no"}, "Large person group is not found."),
        ({"largePersonGroupId": None}, "No identification scope parameter is present"),
    ],
)
def test_identify_arguments_that_are_refused(
    ask: Ask,
    group: str,
    person: str,
    stub: SimpleNamespace,
    change: dict[str, Any],
    expected: str,
) -> None:
    ask("POST", f"{person}/persistedfaces", data=stub.photo(0))
    ask("POST", f"{group}/train")
    face = ask("POST", f"/detect?{MODELS}", data=stub.photo(0)).json()[0]["faceId"]
    query = {"faceIds": [face], "largePersonGroupId": "g"} | change
    status, _, message = error(ask("POST", "/identify", json=query))
    assert status == 400
    assert expected in message


def test_verify(ask: Ask, group: str, person: str, stub: SimpleNamespace) -> None:
    ask("POST", f"{person}/persistedfaces", data=stub.photo(0))
    first, second, other = (
        ask("POST", f"/detect?{MODELS}", data=stub.photo(*who)).json()[0]["faceId"]
        for who in ((0, 0), (0, 1), (1, 0))
    )
    same = ask("POST", "/verify", json={"faceId1": first, "faceId2": second}).json()
    assert same["isIdentical"] is True
    assert same["confidence"] > 0.99
    different = ask("POST", "/verify", json={"faceId1": first, "faceId2": other}).json()
    assert different["isIdentical"] is False
    assert different["confidence"] < 0.01
    number = person.rpartition("/")[2]
    scope = {"largePersonGroupId": "g", "personId": number}
    assert ask("POST", "/verify", json={"faceId": second} | scope).json() == same
    empty = ask("POST", f"{group}/persons", json={"name": "nobody"}).json()["personId"]
    refused = {
        "FaceNotFound": {"faceId": NOBODY} | scope,
        "PersonNotFound": {"faceId": first} | scope | {"personId": NOBODY},
        "PersistedFaceNotFound": {"faceId": first} | scope | {"personId": empty},
    }
    for code, body in refused.items():
        assert error(ask("POST", "/verify", json=body))[:2] == (404, code)
    for body in ({}, {"faceId": first, "largePersonGroupId": "g"}):
        assert error(ask("POST", "/verify", json=body))[:2] == (400, "BadArgument")


def test_models_must_agree(ask: Ask, group: str, person: str, stub: SimpleNamespace) -> None:
    ask("POST", f"{person}/persistedfaces", data=stub.photo(0))
    ask("POST", f"{group}/train")
    old = ask("POST", "/detect", data=stub.photo(0)).json()[0]["faceId"]
    new = ask("POST", f"/detect?{MODELS}", data=stub.photo(0)).json()[0]["faceId"]
    incompatible = (400, "BadArgument", "'recognitionModel' is incompatible.")
    scope = {"largePersonGroupId": "g"}
    assert error(ask("POST", "/identify", json={"faceIds": [old]} | scope)) == incompatible
    assert error(ask("POST", "/verify", json={"faceId1": old, "faceId2": new})) == incompatible
    number = person.rpartition("/")[2]
    body = {"faceId": old, "personId": number} | scope
    assert error(ask("POST", "/verify", json=body)) == incompatible


def test_keys_and_unknown_paths(endpoint: str, ask: Ask) -> None:
    answer = requests.get(f"{endpoint}/face/v1.2/largepersongroups", timeout=10)
    assert error(answer)[:2] == (401, "401")
    for method, path in (("GET", "/faces"), ("POST", "/largepersongroups"), ("GET", "/detect")):
        assert error(ask(method, path))[:2] == (404, "404")


def test_what_the_emulator_shows_of_itself(
    endpoint: str, ask: Ask, person: str, stub: SimpleNamespace
) -> None:
    added = ask("POST", f"{person}/persistedfaces?userData=tag", data=stub.photo(0)).json()
    shown = requests.get(f"{endpoint}/__emulator__/galleries", timeout=10).json()
    face = {"face_id": added["persistedFaceId"], "user_data": "tag"}
    number = person.rpartition("/")[2]
    assert shown == [
        {
            "gallery": "g",
            "persons": [{"person": "someone", "person_id": number, "faces": [face]}],
        }
    ]
    log = requests.get(f"{endpoint}/__emulator__/log", timeout=10).json()
    assert [(row["operation"], row["status"]) for row in log] == [
        ("CreateLargePersonGroup", 200),
        ("CreateLargePersonGroupPerson", 200),
        ("AddLargePersonGroupPersonFace", 200),
    ]
    assert all(UTC.fullmatch(row["utc"]) for row in log)
