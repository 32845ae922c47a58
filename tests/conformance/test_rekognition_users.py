"""Users of collections through the real SDK: create, associate, search, disassociate, delete."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from audit.types import RecognisedFace
from providers.emulators.matching import rank
from providers.emulators.options import Matching, Options
from providers.emulators.server import running
from tests.conformance import rekognition_client
from tests.conformance.rekognition_client import NOWHERE, connect, image
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

Start = Callable[..., Any]


@pytest.fixture
def rekognition(rekognition: Any) -> Any:
    """Add two users to the collection."""
    for user in ("ann", "bob"):
        rekognition.create_user(CollectionId="c", UserId=user)
    return rekognition


def index(client: Any, *who: int, **more: Any) -> str:
    [face] = rekognition_client.index(client, *who, **more)
    return face


def associate(client: Any, user: str, *faces: str, threshold: float = 0, **more: Any) -> Any:
    answer = client.associate_faces(
        CollectionId="c", UserId=user, FaceIds=faces, UserMatchThreshold=threshold, **more
    )
    answer["AssociatedFaces"] = [face["FaceId"] for face in answer["AssociatedFaces"]]
    return answer


def owners(client: Any) -> dict[str, str | None]:
    faces = client.list_faces(CollectionId="c")["Faces"]
    return {face["FaceId"]: face.get("UserId") for face in faces}


def test_users_by_pages(rekognition: Any) -> None:
    rekognition.create_user(CollectionId="c", UserId="cyd")
    pages = rekognition.get_paginator("list_users").paginate(
        CollectionId="c", PaginationConfig={"PageSize": 2}
    )
    shown = [[(user["UserId"], user["UserStatus"]) for user in page["Users"]] for page in pages]
    assert shown == [[("ann", "CREATED"), ("bob", "CREATED")], [("cyd", "CREATED")]]
    assert rekognition.describe_collection(CollectionId="c")["UserCount"] == 3


def test_association(rekognition: Any) -> None:
    first, second, third = (index(rekognition, 1, variant) for variant in range(3))
    answer = associate(rekognition, "ann", first, second, first)
    assert (answer["AssociatedFaces"], answer["UserStatus"]) == ([first, second], "ACTIVE")
    again = associate(rekognition, "ann", second, third, NOWHERE)
    assert again["AssociatedFaces"] == [third]
    assert again["UnsuccessfulFaceAssociations"] == [
        {"FaceId": NOWHERE, "Reasons": ["FACE_NOT_FOUND"]}
    ]
    other = associate(rekognition, "bob", first)
    assert other["UnsuccessfulFaceAssociations"] == [
        {"FaceId": first, "UserId": "ann", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]}
    ]
    assert other["UserStatus"] == "CREATED"
    assert set(owners(rekognition).values()) == {"ann"}
    own = rekognition.list_faces(CollectionId="c", UserId="ann")["Faces"]
    assert [face["FaceId"] for face in own] == [first, second, third]
    assert rekognition.list_faces(CollectionId="c", UserId="bob")["Faces"] == []


def test_the_threshold_counts_from_the_second_call_on(rekognition: Any) -> None:
    ann, stranger, twin = index(rekognition, 1), index(rekognition, 2), index(rekognition, 1, 1)
    assert associate(rekognition, "bob", stranger, ann, threshold=100)["AssociatedFaces"] != []
    rekognition.disassociate_faces(CollectionId="c", UserId="bob", FaceIds=[stranger, ann])
    associate(rekognition, "ann", ann)
    both = {"CollectionId": "c", "UserId": "ann"}
    answer = rekognition.associate_faces(**both, FaceIds=[stranger, twin])
    assert answer["AssociatedFaces"] == [{"FaceId": twin}]
    [refused] = answer["UnsuccessfulFaceAssociations"]
    assert refused == {
        "FaceId": stranger,
        "UserId": "ann",
        "Confidence": 0.669,
        "Reasons": ["LOW_MATCH_CONFIDENCE"],
    }
    assert associate(rekognition, "ann", stranger)["AssociatedFaces"] == [stranger]


def test_a_user_has_a_hundred_faces(start: Start) -> None:
    class OneFace:
        name = "one-face"

        def __call__(self, image: bytes) -> list[RecognisedFace]:
            del image
            return [RecognisedFace(0, 0, 60, 60, 1.0, [1.0, 0.0])]

    client = start(OneFace())
    client.create_collection(CollectionId="c")
    client.create_user(CollectionId="c", UserId="ann")
    faces = []
    for number in range(102):
        indexed = client.index_faces(
            CollectionId="c",
            Image={"Bytes": photo(1) + number.to_bytes()},
            QualityFilter="NONE",
        )
        faces.append(indexed["FaceRecords"][0]["Face"]["FaceId"])
    assert len(associate(client, "ann", *faces[:99])["AssociatedFaces"]) == 99
    answer = associate(client, "ann", *faces[99:101])
    assert answer["AssociatedFaces"] == faces[99:100]
    assert answer["UnsuccessfulFaceAssociations"] == [
        {"FaceId": faces[100], "UserId": "ann", "Reasons": []}
    ]
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        associate(client, "ann", faces[101])


def test_disassociation(rekognition: Any) -> None:
    mine, hers, free = index(rekognition, 1), index(rekognition, 2), index(rekognition, 3)
    associate(rekognition, "ann", mine)
    associate(rekognition, "bob", hers)
    answer = rekognition.disassociate_faces(
        CollectionId="c", UserId="ann", FaceIds=[mine, hers, free, NOWHERE]
    )
    assert answer["DisassociatedFaces"] == [{"FaceId": mine}]
    assert answer["UnsuccessfulFaceDisassociations"] == [
        {"FaceId": hers, "UserId": "bob", "Reasons": ["ASSOCIATED_TO_A_DIFFERENT_USER"]},
        {"FaceId": NOWHERE, "Reasons": ["FACE_NOT_FOUND"]},
    ]
    assert answer["UserStatus"] == "CREATED"
    assert owners(rekognition) == {mine: None, hers: "bob", free: None}


def test_a_deleted_user_leaves_its_faces(rekognition: Any) -> None:
    face = index(rekognition, 1)
    associate(rekognition, "ann", face)
    rekognition.delete_user(CollectionId="c", UserId="ann")
    assert owners(rekognition) == {face: None}
    assert rekognition.search_users_by_image(CollectionId="c", Image=image(1))["UserMatches"] == []
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException, match="user id: ann"):
        associate(rekognition, "ann", face)


def found(client: Any, *who: int, **more: Any) -> dict[str, float]:
    answer = client.search_users_by_image(CollectionId="c", Image=image(*who), **more)
    return {match["User"]["UserId"]: match["Similarity"] for match in answer["UserMatches"]}


def test_search_by_image(rekognition: Any) -> None:
    assert found(rekognition, 1, UserMatchThreshold=0) == {}
    associate(rekognition, "ann", index(rekognition, 1, 1), index(rekognition, 1, 4))
    associate(rekognition, "bob", index(rekognition, 2))
    index(rekognition, 1)
    assert found(rekognition, 1) == {"ann": 99.903}
    assert found(rekognition, 1, UserMatchThreshold=0) == {"ann": 99.903, "bob": 0.669}
    assert found(rekognition, 1, UserMatchThreshold=0, MaxUsers=1) == {"ann": 99.903}
    assert list(found(rekognition, 2, UserMatchThreshold=0)) == ["bob", "ann"]


def test_search_by_an_image_without_a_face(rekognition: Any) -> None:
    answer = rekognition.search_users_by_image(CollectionId="c", Image=image(1, faces=0))
    assert (answer["UserMatches"], answer["UnsearchedFaces"]) == ([], [])
    assert "SearchedFace" not in answer
    assert answer["FaceModelVersion"] == "7.0"


def test_search_by_face_or_user(rekognition: Any) -> None:
    mine, free = index(rekognition, 1), index(rekognition, 1, 1)
    associate(rekognition, "ann", mine)
    associate(rekognition, "bob", index(rekognition, 1, 2))

    def search(**by: Any) -> list[str]:
        answer = rekognition.search_users(CollectionId="c", **by)
        return [match["User"]["UserId"] for match in answer["UserMatches"]]

    assert search(FaceId=mine) == ["ann", "bob"]
    assert sorted(search(FaceId=free)) == ["ann", "bob"]
    assert search(UserId="ann") == ["bob"]
    rekognition.create_user(CollectionId="c", UserId="nobody")
    assert search(UserId="nobody") == []
    for by in ({}, {"FaceId": mine, "UserId": "ann"}, {"FaceId": NOWHERE}):
        with pytest.raises(rekognition.exceptions.InvalidParameterException):
            search(**by)
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        search(UserId="stranger")


@pytest.mark.parametrize("matching", Matching)
def test_matching_is_chosen(start: Start, matching: Matching) -> None:
    client = start(matching=matching)
    client.create_collection(CollectionId="c")
    client.create_user(CollectionId="c", UserId="ann")
    associate(client, "ann", index(client, 1), index(client, 2))
    faces = np.eye(8, dtype=np.float32)
    [(_, cosine)] = rank(["ann", "ann"], faces[1:3], faces[1], matching)
    assert found(client, 1, UserMatchThreshold=0) == {
        "ann": round(100 * CALIBRATION.score(cosine), 3)
    }


def test_a_token_does_its_request_once(rekognition: Any) -> None:
    new = {"CollectionId": "c", "UserId": "new", "ClientRequestToken": "token-1"}
    rekognition.create_user(**new)
    rekognition.create_user(**new)
    with pytest.raises(
        rekognition.exceptions.IdempotentParameterMismatchException, match="token-1 you have"
    ):
        rekognition.create_user(**new | {"UserId": "newer"})
    with pytest.raises(rekognition.exceptions.ConflictException):
        rekognition.create_user(**new | {"ClientRequestToken": "token-2"})
    face = index(rekognition, 1)
    for _ in range(2):
        answer = associate(rekognition, "new", face, ClientRequestToken="token-1")
        assert answer["AssociatedFaces"] == [face]
    for _ in range(2):
        rekognition.delete_user(**new)
    users = rekognition.list_users(CollectionId="c")["Users"]
    assert [user["UserId"] for user in users] == ["ann", "bob"]


def test_a_refused_request_may_be_tried_again_with_its_token(rekognition: Any) -> None:
    late = {"CollectionId": "late", "UserId": "ann", "ClientRequestToken": "token"}
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.create_user(**late)
    rekognition.create_collection(CollectionId="late")
    rekognition.create_user(**late)


def test_tokens_go_with_their_collection(rekognition: Any) -> None:
    new = {"CollectionId": "c", "UserId": "new", "ClientRequestToken": "token"}
    for _ in range(2):
        rekognition.create_user(**new)
        assert rekognition.list_users(CollectionId="c")["Users"][-1]["UserId"] == "new"
        rekognition.delete_collection(CollectionId="c")
        rekognition.create_collection(CollectionId="c")


def test_updating_takes_time_and_tokens_expire(start: Start) -> None:
    now = [1_700_000_000.0]
    client = start(clock=lambda: now[0], training_s=5.0)
    client.create_collection(CollectionId="c")
    new = {"CollectionId": "c", "UserId": "ann", "ClientRequestToken": "token"}
    client.create_user(**new)
    answer = associate(client, "ann", index(client, 1))
    assert answer["UserStatus"] == "UPDATING"
    now[0] += 5
    assert client.list_users(CollectionId="c")["Users"][0]["UserStatus"] == "ACTIVE"
    now[0] += 86401
    client.delete_user(CollectionId="c", UserId="ann")
    client.create_user(**new)
    assert client.list_users(CollectionId="c")["Users"][0]["UserStatus"] == "CREATED"


def test_state_survives_a_restart(tmp_path: Path) -> None:
    new = {"CollectionId": "c", "UserId": "ann", "ClientRequestToken": "token"}
    options = Options(state=tmp_path)
    with running("rekognition", StubRecogniser(), CALIBRATION, options=options) as url:
        client = connect(url)
        client.create_collection(CollectionId="c")
        client.create_user(**new)
        associate(client, "ann", index(client, 1))
    with running("rekognition", StubRecogniser(), CALIBRATION, options=options) as url:
        client = connect(url)
        client.create_user(**new)
        assert found(client, 1) == {"ann": 99.909}


def test_what_the_emulator_shows_of_itself(rekognition: Any) -> None:
    hers, theirs, nobodys = (
        index(rekognition, 1, ExternalImageId="ann-1"),
        index(rekognition, 2, ExternalImageId="passer-by"),
        index(rekognition, 3),
    )
    associate(rekognition, "ann", hers)
    url = rekognition.meta.endpoint_url
    assert requests.get(f"{url}/__emulator__/galleries", timeout=10).json() == [
        {
            "gallery": "c",
            "persons": [
                {"person": person, "person_id": person, "faces": faces}
                for person, faces in (
                    ("ann", [{"face_id": hers, "external_id": "ann-1"}]),
                    ("bob", []),
                    ("passer-by", [{"face_id": theirs, "external_id": "passer-by"}]),
                    ("", [{"face_id": nobodys, "external_id": None}]),
                )
            ],
        }
    ]
