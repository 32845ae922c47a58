"""Groups, persons and faces on the wire, as a client without the SDK sees them.

Paths, statuses and texts: REST reference v1.2 and "Azure AI Face API error codes".
"""

import re
from collections.abc import Callable

import pytest
import requests

from tests.providers.stub_emulator import photo

Ask = Callable[..., requests.Response]
Error = Callable[[requests.Response], tuple[int, str, str]]
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_groups(ask: Ask, group: str, error: Error) -> None:
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
def test_groups_that_are_refused(
    ask: Ask, path: str, body: object, message: str, error: Error
) -> None:
    answer = ask("PUT", f"/largepersongroups/{path}", json=body)
    assert error(answer) == (400, "BadArgument", message)


def test_a_group_exists_once(ask: Ask, group: str, error: Error) -> None:
    answer = ask("PUT", group, json={"name": "again"})
    expected = (409, "LargePersonGroupExists", "Large person group already exists.")
    assert error(answer) == expected


def test_broken_json_and_empty_updates(ask: Ask, group: str, error: Error) -> None:
    answer = ask("PUT", "/largepersongroups/h", data="{", headers={"Content-Type": "text/json"})
    assert error(answer) == (400, "BadArgument", "JSON parsing error.")
    answer = ask("PATCH", group, json={})
    assert error(answer) == (400, "BadArgument", "Both 'name' and 'userData' are empty.")


def test_persons(ask: Ask, group: str, person: str, error: Error) -> None:
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


def test_paging(ask: Ask, group: str, error: Error) -> None:
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


def test_persisted_faces(ask: Ask, person: str, error: Error) -> None:
    faces = f"{person}/persistedfaces"
    added = ask("POST", f"{faces}?userData=a%20b&detectionModel=detection_03", data=photo(0))
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
    ask: Ask, person: str, query: str, faces: int, expected: str, error: Error
) -> None:
    answer = ask("POST", f"{person}/persistedfaces?{query}", data=photo(0, faces=faces))
    assert (error(answer)[::2] if expected else (answer.status_code, "")) == (
        400 if expected else 200,
        expected,
    )


def test_keys_and_unknown_paths(endpoint: str, ask: Ask, error: Error) -> None:
    answer = requests.get(f"{endpoint}/face/v1.2/largepersongroups", timeout=10)
    assert error(answer)[:2] == (401, "401")
    for method, path in (("GET", "/faces"), ("POST", "/largepersongroups"), ("GET", "/detect")):
        assert error(ask(method, path))[:2] == (404, "404")


def test_what_the_emulator_shows_of_itself(endpoint: str, ask: Ask, person: str) -> None:
    added = ask("POST", f"{person}/persistedfaces?userData=tag", data=photo(0)).json()
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
