"""Face lists, find similar and group on the wire.

Paths, statuses and texts: REST reference v1.2 and "Azure AI Face API error codes".
"""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.providers.stub_emulator import photo

Ask = Callable[..., requests.Response]
Error = Callable[[requests.Response], tuple[int, str, str]]
NOBODY = "00000000-0000-4000-8000-000000000000"
NEW = {"name": "n", "recognitionModel": "recognition_04"}


@pytest.fixture
def detect(ask: Ask) -> Callable[..., str]:
    """Detect the one face of a photo drawn of a person and variant."""

    def detect(*who: int, recognition_model: str = "recognition_04") -> str:
        query = f"recognitionModel={recognition_model}"
        answer = ask("POST", f"/detect?{query}", data=photo(*who))
        return str(answer.json()[0]["faceId"])

    return detect


@pytest.fixture
def add(ask: Ask) -> Callable[..., str]:
    """Add a photo's face to the list of a kind; its user data say who it is."""

    def add(kind: str, *who: int) -> str:
        url = f"/{kind}/c/persistedfaces?userData={who}"
        return str(ask("POST", url, data=photo(*who)).json()["persistedFaceId"])

    return add


def test_a_face_list_shows_its_faces(ask: Ask, add: Callable[..., str]) -> None:
    ask("PUT", "/facelists/c", json=NEW)
    first, second = add("facelists", 0, 0), add("facelists", 1, 0)
    shown = ask("GET", "/facelists/c").json()
    faces = {row["persistedFaceId"]: row["userData"] for row in shown["persistedFaces"]}
    assert faces == {first: "(0, 0)", second: "(1, 0)"}
    assert ask("DELETE", f"/facelists/c/persistedfaces/{first}").status_code == 200
    shown = ask("GET", "/facelists/c").json()
    assert [row["persistedFaceId"] for row in shown["persistedFaces"]] == [second]
    assert "persistedFaces" not in ask("GET", "/facelists").json()[0]
    for method in ("GET", "PATCH"):
        assert ask(method, f"/facelists/c/persistedfaces/{second}").status_code == 404
    assert ask("POST", "/facelists/c/train").status_code == 404


def test_a_large_face_list_is_read_in_pages(ask: Ask, add: Callable[..., str]) -> None:
    ask("PUT", "/largefacelists/c", json=NEW)
    faces = sorted(add("largefacelists", 0, variant) for variant in range(4))
    path = "/largefacelists/c/persistedfaces"
    page = ask("GET", f"{path}?start={faces[0]}&top=2").json()
    assert [row["persistedFaceId"] for row in page] == faces[1:3]
    assert [row["persistedFaceId"] for row in ask("GET", f"{path}?start=&top=").json()] == faces
    face = f"{path}/{faces[0]}"
    assert ask("PATCH", face, json={"userData": "new"}).status_code == 200
    assert ask("GET", face).json() == {"persistedFaceId": faces[0], "userData": "new"}


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("facelists", "faceListId"),
        ("largefacelists", "largeFaceListId"),
    ],
)
def test_find_similar_in_lists(
    ask: Ask, add: Callable[..., str], detect: Callable[..., str], kind: str, field: str
) -> None:
    ask("PUT", f"/{kind}/c", json=NEW)
    near, same, other = add(kind, 0, 4), add(kind, 0, 1), add(kind, 1, 0)
    ask("POST", f"/{kind}/c/train")
    query: dict[str, Any] = {"faceId": detect(0, 0), field: "c"}
    found = ask("POST", "/findsimilars", json=query).json()
    assert [row["persistedFaceId"] for row in found] == [same, near]
    assert found[0]["confidence"] > found[1]["confidence"] >= 0.5
    anyone = ask("POST", "/findsimilars", json=query | {"mode": "matchFace"}).json()
    assert [row["persistedFaceId"] for row in anyone] == [same, near, other]
    one = {"mode": "matchPerson", "maxNumOfCandidatesReturned": 1}
    assert ask("POST", "/findsimilars", json=query | one).json() == found[:1]


def test_find_similar_offers_twenty(
    ask: Ask, add: Callable[..., str], detect: Callable[..., str]
) -> None:
    ask("PUT", "/facelists/c", json=NEW)
    for _ in range(21):
        add("facelists", 0, 0)
    query = {"faceId": detect(0, 0), "faceListId": "c"}
    assert len(ask("POST", "/findsimilars", json=query).json()) == 20


def test_find_similar_among_detected_faces(ask: Ask, detect: Callable[..., str]) -> None:
    probe, same, other = detect(0, 0), detect(0, 1), detect(1, 0)
    query = {"faceId": probe.upper(), "faceIds": [other, same], "largeFaceListId": None}
    [found] = ask("POST", "/findsimilars", json=query).json()
    assert set(found) == {"faceId", "confidence"}
    assert found["faceId"] == same


def test_a_large_face_list_is_searched_as_it_was_trained(
    ask: Ask, add: Callable[..., str], detect: Callable[..., str], error: Error
) -> None:
    ask("PUT", "/largefacelists/c", json=NEW)
    query = {"faceId": detect(0, 0), "largeFaceListId": "c"}
    never = error(ask("POST", "/findsimilars", json=query))
    assert never == (400, "LargeFaceListNotTrained", "Large face list is not trained.")
    before = add("largefacelists", 0, 0)
    ask("POST", "/largefacelists/c/train")
    add("largefacelists", 0, 1)
    [found] = ask("POST", "/findsimilars", json=query).json()
    assert found["persistedFaceId"] == before
    ask("POST", "/largefacelists/c/train")
    assert len(ask("POST", "/findsimilars", json=query).json()) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"faceId": "face"}, ("BadArgument", "Face ID is invalid.")),
        ({"faceId": NOBODY}, ("FaceNotFound", "Face is not found.")),
        ({"mode": "matchNobody"}, ("BadArgument", "Mode is invalid.")),
        ({"mode": []}, ("BadArgument", "Mode is invalid.")),
        (
            {"maxNumOfCandidatesReturned": 1001},
            ("BadArgument", "The argument maxNumOfCandidatesReturned is not valid."),
        ),
        (
            {"faceListId": None},
            ("BadArgument", "LargeFaceListId, faceListId and faceIds are all null."),
        ),
        (
            {"largeFaceListId": "c"},
            ("BadArgument", "2 or more of largeFaceListId, faceListId and faceIds are not null."),
        ),
        ({"faceListId": "C"}, ("BadArgument", "Face list ID is invalid.")),
        ({"faceListId": "d"}, ("FaceListNotFound", "Face list is not found.")),
        ({"faceListId": "empty"}, ("FaceListNotReady", "Face list is empty.")),
        ({"faceListId": "old"}, ("BadArgument", "'recognitionModel' is incompatible.")),
        (
            {"faceListId": None, "largeFaceListId": "d"},
            ("LargeFaceListNotFound", "Large face list is not found."),
        ),
        (
            {"faceListId": None, "faceIds": []},
            ("BadArgument", "The length of faceIds is not in a valid range."),
        ),
        (
            {"faceListId": None, "faceIds": [NOBODY]},
            ("FaceNotFound", "Face is not found."),
        ),
    ],
)
def test_find_similar_arguments_that_are_refused(
    ask: Ask,
    detect: Callable[..., str],
    error: Error,
    change: dict[str, Any],
    expected: tuple[str, str],
) -> None:
    for name, model in (("c", 4), ("empty", 4), ("old", 1)):
        body = {"name": "n", "recognitionModel": f"recognition_0{model}"}
        ask("PUT", f"/facelists/{name}", json=body)
    query = {"faceId": detect(0, 0), "faceListId": "c"} | change
    assert error(ask("POST", "/findsimilars", json=query)) == (400, *expected)


def test_group(ask: Ask, detect: Callable[..., str]) -> None:
    ones = [detect(1, variant) for variant in (0, 1)]
    # The first and the last are unlike, but the middle one is like both.
    chain = [detect(0, variant) for variant in (0, 9, 18)]
    alone = detect(3, 0)
    answer = ask("POST", "/group", json={"faceIds": [ones[0], *chain, alone, ones[1]]}).json()
    assert answer == {"groups": [chain, ones], "messyGroup": [alone]}
    answer = ask("POST", "/group", json={"faceIds": ones}).json()
    assert answer == {"groups": [ones], "messyGroup": []}


def test_group_arguments_that_are_refused(
    ask: Ask, detect: Callable[..., str], error: Error
) -> None:
    new, old = detect(0, 0), detect(0, 0, recognition_model="recognition_01")
    length = "The length of faceIds is not in a valid range."
    for face_ids in ([new], [new] * 1001, None):
        refused = error(ask("POST", "/group", json={"faceIds": face_ids}))
        assert refused == (400, "BadArgument", length)
    mixed = error(ask("POST", "/group", json={"faceIds": [new, old]}))
    assert mixed == (400, "BadArgument", "'recognitionModel' is incompatible.")
    unknown = error(ask("POST", "/group", json={"faceIds": [new, NOBODY]}))
    assert unknown == (400, "FaceNotFound", "Face is not found.")


def test_lists_are_shown_among_the_galleries(
    ask: Ask, endpoint: str, add: Callable[..., str]
) -> None:
    ask("PUT", "/facelists/c", json=NEW)
    face = add("facelists", 2, 0)
    shown = requests.get(f"{endpoint}/__emulator__/galleries", timeout=10).json()
    faces = [{"face_id": face, "user_data": "(2, 0)"}]
    assert shown == [{"gallery": "c", "persons": [], "faces": faces}]
