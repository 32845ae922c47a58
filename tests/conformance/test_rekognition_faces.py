"""Faces of collections through the real SDK: index, list, delete."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from audit.types import RecognisedFace
from providers.emulators.options import Options
from providers.emulators.server import running
from tests.conformance.rekognition_client import connect, image, index
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser

Start = Callable[..., Any]


def test_a_face_is_shown_in_ratios_of_the_picture(rekognition: Any) -> None:
    indexed = rekognition.index_faces(
        CollectionId="c", Image=image(3), ExternalImageId="someone:1", QualityFilter="NONE"
    )
    [record] = indexed["FaceRecords"]
    face, detail = record["Face"], record["FaceDetail"]
    box = {"Left": 10 / 160, "Top": 10 / 120, "Width": 60 / 160, "Height": 60 / 120}
    assert face["BoundingBox"] == detail["BoundingBox"] == box
    assert face["Confidence"] == detail["Confidence"] == 99.0
    assert face["ExternalImageId"] == "someone:1"
    assert face["IndexFacesModelVersion"] == indexed["FaceModelVersion"] == "7.0"
    assert set(detail) == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
    assert indexed["UnindexedFaces"] == []


def test_ids_are_equal_in_all_collections(rekognition: Any) -> None:
    rekognition.create_collection(CollectionId="d")
    first = index(rekognition, 1, faces=2, ExternalImageId="a")
    assert len(set(first)) == 2
    assert index(rekognition, 1, faces=2, collection="d", ExternalImageId="b") == first
    assert set(index(rekognition, 1, 1)).isdisjoint(first)


def test_the_same_photo_is_stored_once_by_external_id(rekognition: Any) -> None:
    first = index(rekognition, 1, ExternalImageId="a")
    assert index(rekognition, 1, ExternalImageId="a") == first
    again = index(rekognition, 1, ExternalImageId="b")
    assert index(rekognition, 1, ExternalImageId="b") == again != first
    assert index(rekognition, 1) not in (first, again)
    faces = rekognition.list_faces(CollectionId="c")["Faces"]
    assert [face.get("ExternalImageId") for face in faces] == ["a", "b", None]
    assert len({face["ImageId"] for face in faces}) == 1
    rekognition.delete_faces(CollectionId="c", FaceIds=first)
    assert index(rekognition, 1, ExternalImageId="b") == again
    assert rekognition.describe_collection(CollectionId="c")["FaceCount"] == 2


def test_the_largest_faces_are_indexed(rekognition: Any) -> None:
    indexed = rekognition.index_faces(
        CollectionId="c", Image=image(1, faces=2), MaxFaces=1, QualityFilter="NONE"
    )
    assert [record["Face"]["BoundingBox"]["Width"] for record in indexed["FaceRecords"]] == [0.375]
    [unindexed] = indexed["UnindexedFaces"]
    assert unindexed["Reasons"] == ["EXCEEDS_MAX_FACES"]
    assert unindexed["FaceDetail"]["BoundingBox"]["Width"] == 0.25
    nobody = rekognition.index_faces(CollectionId="c", Image=image(1, faces=0))
    assert (nobody["FaceRecords"], nobody["UnindexedFaces"]) == ([], [])


def test_listing_by_pages(rekognition: Any) -> None:
    everyone = [index(rekognition, person)[0] for person in range(5)]
    pages = rekognition.get_paginator("list_faces").paginate(
        CollectionId="c", PaginationConfig={"PageSize": 2}
    )
    shown = [[face["FaceId"] for face in page["Faces"]] for page in pages]
    assert shown == [everyone[:2], everyone[2:4], everyone[4:]]
    chosen = rekognition.list_faces(CollectionId="c", FaceIds=everyone[1:3])
    assert [face["FaceId"] for face in chosen["Faces"]] == everyone[1:3]
    assert len(rekognition.list_faces(CollectionId="c", MaxResults=0)["Faces"]) == 5
    token = rekognition.list_faces(CollectionId="c", MaxResults=1)["NextToken"]
    with pytest.raises(rekognition.exceptions.InvalidPaginationTokenException):
        rekognition.list_collections(NextToken=token)
    for name in ("d", "e"):
        rekognition.create_collection(CollectionId=name)
    pages = rekognition.get_paginator("list_collections").paginate(PaginationConfig={"PageSize": 1})
    assert [page["CollectionIds"] for page in pages] == [["c"], ["d"], ["e"]]


def test_regions_know_nothing_of_each_other(rekognition: Any) -> None:
    other = connect(rekognition.meta.endpoint_url, region="us-east-1")
    assert other.list_collections()["CollectionIds"] == []
    arn = other.create_collection(CollectionId="c")["CollectionArn"]
    assert arn == "aws:rekognition:us-east-1:123456789012:collection/c"
    index(other, 1)
    assert rekognition.describe_collection(CollectionId="c")["FaceCount"] == 0


def test_the_accounts_faces_are_limited(start: Start) -> None:
    client = start(faces_max=2)
    client.create_collection(CollectionId="c")
    index(client, 1, faces=2)
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        index(client, 2)
    assert len(index(client, 1, faces=2)) == 2


def test_a_collection_that_goes_while_a_photo_is_looked_at(start: Start) -> None:
    clients: list[Any] = []

    class Slow(StubRecogniser):
        def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
            clients[0].delete_collection(CollectionId="c")
            return super().__call__(image)

    clients.append(client := start(Slow()))
    client.create_collection(CollectionId="c")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        index(client, 1)


def test_state_survives_a_restart(tmp_path: Path) -> None:
    def faces(url: str) -> Any:
        client = connect(url)
        found = client.search_faces_by_image(CollectionId="c", Image=image(1))
        return client.list_faces(CollectionId="c")["Faces"], found["FaceMatches"]

    options = Options(state=tmp_path)
    with running("rekognition", StubRecogniser(), CALIBRATION, options=options) as url:
        client = connect(url)
        client.create_collection(CollectionId="c")
        index(client, 1, ExternalImageId="a")
        before = faces(url)
    with running("rekognition", StubRecogniser(), CALIBRATION, options=options) as url:
        assert faces(url) == before
        assert len(before[1]) == 1
