"""FaceSets and the faces in them at the Face++ emulator.

Sources: console.faceplusplus.com, documents 4888391 (create) and its neighbours.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.conformance.facepp_account import FaceppAccount

TOKEN = re.compile("[0-9a-f]{32}")
NAMES = {"request_id", "time_used", "faceset_token", "outer_id"}


@pytest.fixture(scope="module")
def module_account() -> Iterator[FaceppAccount]:
    with FaceppAccount().opened() as account:
        yield account


@pytest.fixture
def account(module_account: FaceppAccount) -> FaceppAccount:
    requests.post(f"{module_account.url}/__emulator__/clear", timeout=10).raise_for_status()
    return module_account


def test_create(account: FaceppAccount) -> None:
    plain = account.done("faceset/create")
    assert set(plain) == NAMES | {"face_added", "face_count", "failure_detail"}
    assert TOKEN.fullmatch(plain["faceset_token"])
    assert (plain["outer_id"], plain["face_added"], plain["failure_detail"]) == ("", 0, [])
    face = account.tokens(1)[0]
    full = account.done(
        "faceset/create",
        outer_id="g",
        display_name="Group",
        tags="a,b",
        user_data="ours",
        face_tokens=f"{face},unknown",
    )
    assert (full["face_added"], full["face_count"]) == (1, 1)
    assert full["failure_detail"] == [{"reason": "INVALID_FACE_TOKEN", "face_token": "unknown"}]
    detail = account.done("faceset/getdetail", faceset_token=full["faceset_token"])
    shown = {"outer_id": "g", "display_name": "Group", "tags": "a,b", "user_data": "ours"}
    assert detail == detail | shown | {"face_count": 1, "face_tokens": [face]}
    assert "next" not in detail


def test_create_again(account: FaceppAccount) -> None:
    first = account.done("faceset/create", outer_id="g")
    assert account.error("faceset/create", outer_id="g") == "FACESET_EXIST"
    faces = ",".join(account.tokens(2))
    merged = account.done("faceset/create", outer_id="g", force_merge=1, face_tokens=faces)
    assert merged["faceset_token"] == first["faceset_token"]
    assert (merged["face_added"], merged["face_count"]) == (2, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"outer_id": "x" * 256}, "BAD_ARGUMENTS: outer_id"),
        *[({"outer_id": f"a{sign}"}, "BAD_ARGUMENTS: outer_id") for sign in "^@,&=*'\""],
        ({"display_name": "x" * 257}, "BAD_ARGUMENTS: display_name"),
        ({"tags": "a,b="}, "BAD_ARGUMENTS: tags"),
        ({"tags": "x" * 256}, "BAD_ARGUMENTS: tags"),
        ({"user_data": "ä" * 8193}, "BAD_ARGUMENTS: user_data"),
        ({"force_merge": "2"}, "BAD_ARGUMENTS: force_merge"),
        ({"face_tokens": "1,2,3,4,5,6"}, "INVALID_FACE_TOKENS_SIZE"),
    ],
)
def test_facesets_that_are_refused(account: FaceppAccount, fields: Any, message: str) -> None:
    assert account.error("faceset/create", **fields) == message
    assert account.done("faceset/getfacesets")["facesets"] == []


def test_names_at_the_limits(account: FaceppAccount) -> None:
    longest = {"outer_id": "x" * 255, "display_name": "x" * 256, "user_data": "ä" * 8192}
    assert account.done("faceset/create", **longest)["outer_id"] == "x" * 255
    account.done("faceset/create", outer_id="人脸 1", tags="人,脸")
    assert account.done("faceset/getdetail", outer_id="人脸 1")["tags"] == "人,脸"


def test_only_so_many_facesets(account: FaceppAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.emulators.facepp_facesets._FACESETS_MAX", 2)
    for _ in range(2):
        account.done("faceset/create")
    assert account.error("faceset/create") == "FACESET_QUOTA_EXCEEDED"


def test_add_faces(account: FaceppAccount) -> None:
    account.done("faceset/create", outer_id="g")
    first, second = account.tokens(2)
    added = account.add("g", [first, "unknown", second])[0]
    assert set(added) == NAMES | {"face_added", "face_count", "failure_detail"}
    assert (added["face_added"], added["face_count"]) == (2, 2)
    assert added["failure_detail"] == [{"reason": "INVALID_FACE_TOKEN", "face_token": "unknown"}]
    again = account.add("g", [first])[0]
    assert (again["face_added"], again["face_count"], again["failure_detail"]) == (0, 2, [])


def test_a_full_faceset(account: FaceppAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.emulators.facepp_store._FACES_PER_SET_MAX", 2)
    account.done("faceset/create", outer_id="g")
    faces = account.tokens(3)
    added = account.add("g", faces)[0]
    assert (added["face_added"], added["face_count"]) == (2, 2)
    assert added["failure_detail"] == [{"reason": "QUOTA_EXCEEDED", "face_token": faces[2]}]
    assert account.add("g", faces[:2])[0]["failure_detail"] == []


def test_a_full_account() -> None:
    with FaceppAccount().opened(faces_max=1) as account:
        for name in "ab":
            account.done("faceset/create", outer_id=name)
        first, second = account.tokens(2)
        assert account.add("a", [first])[0]["face_added"] == 1
        refused = account.add("b", [second])[0]["failure_detail"]
    assert refused == [{"reason": "QUOTA_EXCEEDED", "face_token": second}]


def test_remove_faces(account: FaceppAccount) -> None:
    account.done("faceset/create", outer_id="g")
    faces = account.tokens(4)
    account.add("g", faces)
    removed = account.done("faceset/removeface", outer_id="g", face_tokens=f"{faces[0]},unknown")
    assert set(removed) == NAMES | {"face_removed", "face_count", "failure_detail"}
    assert (removed["face_removed"], removed["face_count"]) == (1, 3)
    assert removed["failure_detail"] == [{"reason": "INVALID_FACE_TOKEN", "face_token": "unknown"}]
    rest = account.done("faceset/getdetail", outer_id="g")["face_tokens"]
    assert rest == faces[1:]
    every = account.done("faceset/removeface", outer_id="g", face_tokens="RemoveAllFaceTokens")
    assert (every["face_removed"], every["face_count"], every["failure_detail"]) == (3, 0, [])
    assert account.error("search", outer_id="g", face_token=faces[0]) == "EMPTY_FACESET"


def test_how_many_faces_at_once(account: FaceppAccount) -> None:
    account.done("faceset/create", outer_id="g")
    many = ",".join(str(number) for number in range(1001))
    for operation in ("faceset/addface", "faceset/async/addface"):
        six = account.error(operation, outer_id="g", face_tokens=many[:11])
        assert six == "INVALID_FACE_TOKENS_SIZE"
    for operation in ("faceset/removeface", "faceset/async/removeface"):
        too_many = account.error(operation, outer_id="g", face_tokens=many)
        assert too_many == "INVALID_FACE_TOKENS_SIZE"
    thousand = account.done("faceset/removeface", outer_id="g", face_tokens=many[:-5])
    assert len(thousand["failure_detail"]) == 1000


@pytest.mark.parametrize(
    "operation", ["addface", "removeface", "getdetail", "update", "delete", "async/addface"]
)
def test_which_faceset(account: FaceppAccount, operation: str) -> None:
    path, more = f"faceset/{operation}", {"face_tokens": "a", "new_outer_id": "b"}
    assert account.error(path, **more) == "MISSING_ARGUMENTS: faceset_token, outer_id"
    both = account.error(path, outer_id="a", faceset_token="b", **more)
    assert both == "COEXISTENCE_ARGUMENTS"
    assert account.error(path, outer_id="a", **more) == "INVALID_OUTER_ID"
    assert account.error(path, faceset_token="a", **more) == "INVALID_FACESET_TOKEN"


def test_pages_of_faces(account: FaceppAccount) -> None:
    account.done("faceset/create", outer_id="g")
    faces = account.tokens(101)
    account.add("g", faces)
    first = account.done("faceset/getdetail", outer_id="g")
    assert (first["face_tokens"], first["next"]) == (faces[:100], "101")
    second = account.done("faceset/getdetail", outer_id="g", start=first["next"])
    assert second["face_tokens"] == faces[100:]
    assert "next" not in second
    assert account.done("faceset/getdetail", outer_id="g", start=10000)["face_tokens"] == []
    for start in ("0", "10001", "x", "-1", "1.5", "9" * 5000):
        answer = account.error("faceset/getdetail", outer_id="g", start=start)
        assert answer == "BAD_ARGUMENTS: start"


def test_pages_of_facesets(account: FaceppAccount) -> None:
    for number in range(101):
        account.done("faceset/create", outer_id=f"g{number}", tags="odd" if number % 2 else "even")
    first = account.done("faceset/getfacesets")
    assert [row["outer_id"] for row in first["facesets"]] == [f"g{n}" for n in range(100)]
    assert set(first["facesets"][0]) == {"faceset_token", "outer_id", "display_name", "tags"}
    second = account.done("faceset/getfacesets", start=first["next"])
    assert [row["outer_id"] for row in second["facesets"]] == ["g100"]
    assert "next" not in second
    odd = account.done("faceset/getfacesets", tags="odd,none")["facesets"]
    assert len(odd) == 50


def test_update(account: FaceppAccount) -> None:
    account.done("faceset/create", outer_id="g", display_name="before", tags="t")
    account.done("faceset/create", outer_id="other")
    updated = account.done("faceset/update", outer_id="g", new_outer_id="h", display_name="after")
    assert (set(updated), updated["outer_id"]) == (NAMES, "h")
    detail = account.done("faceset/getdetail", outer_id="h")
    assert (detail["display_name"], detail["tags"]) == ("after", "t")
    assert account.error("faceset/getdetail", outer_id="g") == "INVALID_OUTER_ID"
    taken = account.error("faceset/update", outer_id="h", new_outer_id="other")
    assert taken == "NEW_OUTER_ID_EXIST"
    nothing = account.error("faceset/update", outer_id="h")
    assert nothing == "MISSING_ARGUMENTS: new_outer_id, display_name, user_data, tags"


def test_delete(account: FaceppAccount) -> None:
    account.done("faceset/create", outer_id="g")
    account.add("g", account.tokens(1))
    for fields in ({}, {"check_empty": 1}):
        assert account.error("faceset/delete", outer_id="g", **fields) == "FACESET_NOT_EMPTY"
    assert account.error("faceset/delete", outer_id="g", check_empty="no") == (
        "BAD_ARGUMENTS: check_empty"
    )
    assert set(account.done("faceset/delete", outer_id="g", check_empty=0)) == NAMES
    assert account.done("faceset/getfacesets")["facesets"] == []


def test_user_ids(account: FaceppAccount) -> None:
    face = account.tokens(1)[0]
    labelled = account.done("face/setuserid", face_token=face, user_id="someone")
    assert (labelled["face_token"], labelled["user_id"]) == (face, "someone")
    for user_id in ("x" * 256, "a,b"):
        answer = account.error("face/setuserid", face_token=face, user_id=user_id)
        assert answer == "BAD_ARGUMENTS: user_id"
    assert account.error("face/setuserid", face_token=face) == "MISSING_ARGUMENTS: user_id"
    assert account.error("face/setuserid", user_id="a") == "MISSING_ARGUMENTS: face_token"
    unknown = account.error("face/setuserid", face_token="a", user_id="a")
    assert unknown == "INVALID_FACE_TOKEN: a"


def test_what_is_known_of_a_face(account: FaceppAccount) -> None:
    face = account.tokens(1)[0]
    for name in ("a", "b"):
        account.done("faceset/create", outer_id=name, face_tokens=face)
    account.done("face/setuserid", face_token=face, user_id="someone")
    detail = account.done("face/getdetail", face_token=face)
    assert [faceset["outer_id"] for faceset in detail["facesets"]] == ["a", "b"]
    assert (detail["user_id"], detail["face_token"]) == ("someone", face)
    assert detail["face_rectangle"] == {"top": 10, "left": 10, "width": 60, "height": 60}
    assert len(detail["image_id"]) == 24


def test_galleries(account: FaceppAccount) -> None:
    account.done("faceset/create", outer_id="g")
    faces = account.tokens(2)
    account.add("g", faces)
    account.done("face/setuserid", face_token=faces[0], user_id="someone")
    without = account.done("faceset/create")["faceset_token"]
    galleries = requests.get(f"{account.url}/__emulator__/galleries", timeout=10).json()
    persons = [
        {"person": name, "person_id": name, "faces": [{"face_id": face, "user_data": name}]}
        for name, face in zip(("someone", ""), faces, strict=True)
    ]
    assert galleries == [
        {"gallery": "g", "persons": persons},
        {"gallery": without, "persons": []},
    ]
    requests.post(f"{account.url}/__emulator__/clear", timeout=10).raise_for_status()
    assert account.error("face/getdetail", face_token=faces[0]).startswith("INVALID_FACE_TOKEN")
    assert account.done("faceset/getfacesets")["facesets"] == []
