"""Detect, identify and verify on the wire, as a client without the SDK sees them.

Paths, statuses and texts: REST reference v1.2 and "Azure AI Face API error codes".
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.providers.stub_emulator import photo

Ask = Callable[..., requests.Response]
Error = Callable[[requests.Response], tuple[int, str, str]]
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOBODY = "00000000-0000-4000-8000-000000000000"
MODELS = "detectionModel=detection_03&recognitionModel=recognition_04"


def test_detect(ask: Ask) -> None:
    rows = ask(
        "POST", f"/detect?{MODELS}&returnRecognitionModel=true", data=photo(0, faces=2)
    ).json()
    assert [row["faceRectangle"] for row in rows] == [
        {"top": 10, "left": 10, "width": 60, "height": 60},
        {"top": 10, "left": 80, "width": 40, "height": 40},
    ]
    assert {row["recognitionModel"] for row in rows} == {"recognition_04"}
    assert all(UUID.fullmatch(row["faceId"]) for row in rows)
    rows = ask("POST", f"/detect?{MODELS}&returnFaceId=false", data=photo(0)).json()
    assert [set(row) for row in rows] == [{"faceRectangle"}]
    assert ask("POST", f"/detect?{MODELS}", data=photo(0, faces=0)).json() == []


@pytest.mark.parametrize(
    "query",
    [
        "recognitionModel=recognition_9",
        "detectionModel=detection_9",
        "returnFaceId=maybe",
        "faceIdTimeToLive=59",
        "faceIdTimeToLive=86401",
        "returnFaceAttributes=shoeSize",
        "detectionModel=detection_02&returnFaceLandmarks=true",
    ],
)
def test_detect_arguments_that_are_refused(ask: Ask, query: str, error: Error) -> None:
    assert error(ask("POST", f"/detect?{query}", data=photo(0)))[:2] == (400, "BadArgument")


def test_pictures_by_link_and_other_bodies(ask: Ask, person: str, error: Error) -> None:
    for path in ("/detect", f"{person}/persistedfaces"):
        answer = ask("POST", path, json={"url": "http://127.0.0.1:9/photo.jpg"})
        assert error(answer)[:2] == (400, "InvalidURL")
        assert error(ask("POST", path, json={}))[:2] == (400, "InvalidURL")
        answer = ask("POST", path, data="text", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415


@pytest.mark.parametrize(
    ("size", "message"), [(1023, "Image size is too small."), (6291457, "Image size is too big.")]
)
def test_picture_sizes(ask: Ask, size: int, message: str, error: Error) -> None:
    answer = ask("POST", "/detect", data=b"\0" * size)
    assert error(answer) == (400, "InvalidImageSize", message)


def test_training_and_identification(ask: Ask, group: str, person: str, error: Error) -> None:
    face = ask("POST", f"/detect?{MODELS}", data=photo(0)).json()[0]["faceId"]
    query = {"faceIds": [face], "largePersonGroupId": "g"}
    not_trained = ("LargePersonGroupNotTrained", "Large person group not trained.")
    assert error(ask("GET", f"{group}/training")) == (404, *not_trained)
    assert error(ask("POST", "/identify", json=query)) == (400, *not_trained)
    ask("POST", f"{person}/persistedfaces", data=photo(0))
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


def test_identify_offers_ten_above_one_half_by_default(ask: Ask, group: str) -> None:
    for number in range(12):
        person = ask("POST", f"{group}/persons", json={"name": str(number)}).json()["personId"]
        picture = photo(0 if number < 11 else 1)
        ask("POST", f"{group}/persons/{person}/persistedfaces", data=picture)
    ask("POST", f"{group}/train")
    for probe, offered, above in ((0, 10, 0.5), (5, 0, 0.5)):
        data = photo(probe)
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
    ask: Ask, group: str, person: str, change: dict[str, Any], expected: str, error: Error
) -> None:
    ask("POST", f"{person}/persistedfaces", data=photo(0))
    ask("POST", f"{group}/train")
    face = ask("POST", f"/detect?{MODELS}", data=photo(0)).json()[0]["faceId"]
    query = {"faceIds": [face], "largePersonGroupId": "g"} | change
    status, _, message = error(ask("POST", "/identify", json=query))
    assert status == 400
    assert expected in message


def test_verify(ask: Ask, group: str, person: str, error: Error) -> None:
    ask("POST", f"{person}/persistedfaces", data=photo(0))
    first, second, other = (
        ask("POST", f"/detect?{MODELS}", data=photo(*who)).json()[0]["faceId"]
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


def test_models_must_agree(ask: Ask, group: str, person: str, error: Error) -> None:
    ask("POST", f"{person}/persistedfaces", data=photo(0))
    ask("POST", f"{group}/train")
    old = ask("POST", "/detect", data=photo(0)).json()[0]["faceId"]
    new = ask("POST", f"/detect?{MODELS}", data=photo(0)).json()[0]["faceId"]
    incompatible = (400, "BadArgument", "'recognitionModel' is incompatible.")
    scope = {"largePersonGroupId": "g"}
    assert error(ask("POST", "/identify", json={"faceIds": [old]} | scope)) == incompatible
    assert error(ask("POST", "/verify", json={"faceId1": old, "faceId2": new})) == incompatible
    number = person.rpartition("/")[2]
    body = {"faceId": old, "personId": number} | scope
    assert error(ask("POST", "/verify", json=body)) == incompatible
