"""Faces of collections through the real SDK: index, filter, list, search, delete."""

import io
import runpy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from PIL import Image

from audit.types import RecognisedFace, Recogniser
from providers.emulators.options import Options
from providers.emulators.server import running

STUB = SimpleNamespace(
    **runpy.run_path(str(Path(__file__).parents[1] / "providers" / "stub_emulator.py"))
)
Start = Callable[..., Any]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start an emulator of its own; return its client. They end with the module."""
    with ExitStack() as stack:

        def start(
            recogniser: Recogniser | None = None, region: str = "eu-west-1", **options: Any
        ) -> Any:
            recogniser = recogniser or STUB.StubRecogniser()
            emulator = running(
                "rekognition", recogniser, STUB.CALIBRATION, options=Options(**options)
            )
            return connect(stack.enter_context(emulator), region)

        yield start


def connect(url: str, region: str = "eu-west-1") -> Any:
    return boto3.client(
        "rekognition",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="no secret",
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
    )


@pytest.fixture(scope="module")
def emulator(start: Start) -> Any:
    return start()


@pytest.fixture
def rekognition(emulator: Any) -> Any:
    requests.post(f"{emulator.meta.endpoint_url}/__emulator__/clear", timeout=10)
    emulator.create_collection(CollectionId="c")
    return emulator


def image(*who: int, **what: Any) -> dict[str, bytes]:
    return {"Bytes": STUB.photo(*who, **what)}


def index(rekognition: Any, *who: int, collection: str = "c", **more: Any) -> list[str]:
    faces = {"faces": more.pop("faces", 1)}
    indexed = rekognition.index_faces(
        CollectionId=collection, Image=image(*who, **faces), QualityFilter="NONE", **more
    )
    return [record["Face"]["FaceId"] for record in indexed["FaceRecords"]]


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


class Posed:
    """Finds one face of a size, pose and confidence of its own in every photo."""

    name = "posed"

    def __init__(self) -> None:
        self.face = self.pose()

    def pose(
        self, *, side: int = 100, nose: float = 50.0, confidence: float = 1.0
    ) -> RecognisedFace:
        points = [(30.0, 40.0), (70.0, 40.0), (nose, 63.0), (35.0, 80.0), (65.0, 80.0)]
        self.face = RecognisedFace(0, 0, side, side, confidence, [1.0, 0.0], points)
        return self.face

    def __call__(self, _: bytes) -> Sequence[RecognisedFace]:
        return [self.face]


@pytest.fixture(scope="module")
def posed() -> Posed:
    return Posed()


@pytest.fixture(scope="module")
def filtering(start: Start, posed: Posed) -> Any:
    client = start(posed)
    client.create_collection(CollectionId="c")
    return client


def picture(level: int, contrast: int, note: str = "") -> dict[str, bytes]:
    """Draw two grey areas; a note makes it another file, which is looked at anew."""
    checks = Image.new("L", (200, 200), level - contrast)
    checks.paste(level + contrast, (20, 0, 200, 200))
    buffer = io.BytesIO()
    checks.save(buffer, "PNG")
    return {"Bytes": buffer.getvalue() + note.encode()}


@pytest.mark.parametrize(
    ("quality_filter", "pose", "level", "contrast", "reasons"),
    [
        ("HIGH", {}, 128, 100, []),
        ("LOW", {}, 16, 14, []),
        ("AUTO", {}, 16, 14, ["LOW_BRIGHTNESS"]),
        ("NONE", {}, 128, 0, []),
        ("LOW", {}, 128, 0, ["LOW_SHARPNESS"]),
        ("MEDIUM", {"confidence": 0.9}, 128, 100, []),
        ("HIGH", {"confidence": 0.9}, 128, 100, ["LOW_CONFIDENCE"]),
        ("LOW", {"side": 42}, 128, 100, []),
        ("AUTO", {"side": 42}, 128, 100, ["SMALL_BOUNDING_BOX"]),
        ("AUTO", {"nose": 73.0}, 128, 100, []),
        ("HIGH", {"nose": 73.0}, 128, 100, ["EXTREME_POSE"]),
        ("AUTO", {"side": 42}, 9, 0, ["LOW_BRIGHTNESS", "LOW_SHARPNESS", "SMALL_BOUNDING_BOX"]),
    ],
)
def test_quality_filters(
    filtering: Any,
    posed: Posed,
    quality_filter: str,
    pose: dict[str, Any],
    level: int,
    contrast: int,
    reasons: list[str],
) -> None:
    posed.pose(**pose)
    photo = picture(level, contrast, quality_filter + str(pose))
    asked = {"CollectionId": "c", "Image": photo, "QualityFilter": quality_filter}
    indexed = filtering.index_faces(**asked)
    assert [face["Reasons"] for face in indexed["UnindexedFaces"]] == ([reasons] if reasons else [])
    assert len(indexed["FaceRecords"]) == (not reasons)
    if reasons:
        with pytest.raises(filtering.exceptions.InvalidParameterException):
            filtering.search_faces_by_image(**asked)
        unsearched = filtering.search_users_by_image(**asked)["UnsearchedFaces"]
        assert [face["Reasons"] for face in unsearched] == [reasons]


def test_what_is_measured_of_a_face(start: Start) -> None:
    client = start(Posed())
    [detail] = client.detect_faces(Image=picture(128, 100))["FaceDetails"]
    landmarks = {point["Type"]: (point["X"], point["Y"]) for point in detail["Landmarks"]}
    assert landmarks == {
        "eyeLeft": (0.15, 0.2),
        "eyeRight": (0.35, 0.2),
        "nose": (0.25, 0.315),
        "mouthLeft": (0.175, 0.4),
        "mouthRight": (0.325, 0.4),
    }
    assert detail["Pose"]["Yaw"] == detail["Pose"]["Roll"] == 0
    assert detail["Quality"]["Brightness"] == pytest.approx(73.7, abs=0.1)
    [detail] = client.detect_faces(Image=picture(128, 9), Attributes=["DEFAULT", "SMILE"])[
        "FaceDetails"
    ]
    assert detail["Smile"] == {"Value": False, "Confidence": 50.0}
    assert "AgeRange" not in detail


def test_ratios_are_of_the_turned_picture(start: Start) -> None:
    client = start(Posed())
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (200, 400)).save(buffer, "JPEG", exif=exif)
    [detail] = client.detect_faces(Image={"Bytes": buffer.getvalue()})["FaceDetails"]
    assert detail["BoundingBox"] == {"Left": 0, "Top": 0, "Width": 0.25, "Height": 0.5}


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


def test_search_by_image(rekognition: Any) -> None:
    """The stub's faces of one person lie 0.1 rad apart from variant to variant."""
    for variant in (0, 2, 4):
        index(rekognition, 1, variant, ExternalImageId=f"v{variant}")
    index(rekognition, 2, ExternalImageId="other")

    def found(**more: Any) -> dict[str, float]:
        answer = rekognition.search_faces_by_image(CollectionId="c", Image=image(1), **more)
        assert answer["SearchedFaceBoundingBox"]["Width"] == 0.375
        assert answer["SearchedFaceConfidence"] == 99.0
        return {
            match["Face"]["ExternalImageId"]: match["Similarity"] for match in answer["FaceMatches"]
        }

    scores = found(FaceMatchThreshold=0, MaxFaces=4096)
    assert list(scores) == ["v0", "v2", "v4", "other"]
    assert scores["v0"] == 99.909
    assert scores["other"] == 0.669
    assert list(found()) == ["v0", "v2", "v4"]
    assert list(found(FaceMatchThreshold=scores["v2"])) == ["v0", "v2"]
    assert list(found(MaxFaces=1)) == ["v0"]


def test_the_largest_face_searches(rekognition: Any) -> None:
    index(rekognition, 1, ExternalImageId="large")
    index(rekognition, 6, ExternalImageId="small")
    found = rekognition.search_faces_by_image(CollectionId="c", Image=image(1, 1, faces=2))
    assert [match["Face"]["ExternalImageId"] for match in found["FaceMatches"]] == ["large"]
    nobody = "There are no faces in the image. Should be at least 1."
    with pytest.raises(rekognition.exceptions.InvalidParameterException, match=nobody):
        rekognition.search_faces_by_image(CollectionId="c", Image=image(1, faces=0))


def test_search_by_face_leaves_out_the_face(rekognition: Any) -> None:
    [face], [twin] = index(rekognition, 1), index(rekognition, 1, 1)
    index(rekognition, 2)
    found = rekognition.search_faces(CollectionId="c", FaceId=face)
    assert found["SearchedFaceId"] == face
    assert [match["Face"]["FaceId"] for match in found["FaceMatches"]] == [twin]
    found = rekognition.search_faces(
        CollectionId="c", FaceId=face, MaxFaces=1, FaceMatchThreshold=0
    )
    assert [match["Face"]["FaceId"] for match in found["FaceMatches"]] == [twin]


def test_search_follows_every_change(rekognition: Any) -> None:
    def found() -> list[str]:
        answer = rekognition.search_faces_by_image(CollectionId="c", Image=image(1))
        return sorted(match["Face"]["FaceId"] for match in answer["FaceMatches"])

    assert found() == []
    first = index(rekognition, 1, 1)
    assert found() == first
    more = [index(rekognition, 1, variant)[0] for variant in range(2, 5)]
    assert found() == sorted(first + more)
    deleted = rekognition.delete_faces(CollectionId="c", FaceIds=[*first, more[0], first[0]])
    assert deleted["DeletedFaces"] == [*first, more[0]]
    assert found() == sorted(more[1:])
    assert index(rekognition, 1, 1) == first
    assert found() == sorted(first + more[1:])
    rekognition.delete_collection(CollectionId="c")
    rekognition.create_collection(CollectionId="c")
    assert found() == []


def test_faces_are_compared(rekognition: Any) -> None:
    compared = rekognition.compare_faces(SourceImage=image(1), TargetImage=image(1, 2, faces=2))
    [match], [other] = compared["FaceMatches"], compared["UnmatchedFaces"]
    assert match["Similarity"] == 99.884
    assert other["BoundingBox"]["Width"] == 0.25
    assert compared["SourceImageFace"]["BoundingBox"]["Width"] == 0.375
    compared = rekognition.compare_faces(
        SourceImage=image(1), TargetImage=image(1, 2, faces=2), SimilarityThreshold=0
    )
    assert [match["Similarity"] for match in compared["FaceMatches"]] == [99.884, 0.669]
    high = {"SourceImage": image(1), "TargetImage": image(2, faces=2), "QualityFilter": "HIGH"}
    assert len(rekognition.compare_faces(**high)["UnmatchedFaces"]) == 1


def test_regions_know_nothing_of_each_other(rekognition: Any) -> None:
    other = connect(rekognition.meta.endpoint_url, "us-east-1")
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

    class Slow(STUB.StubRecogniser):  # type: ignore[misc, name-defined] # comes from a script
        def __call__(self, data: bytes) -> Sequence[RecognisedFace]:
            clients[0].delete_collection(CollectionId="c")
            found: Sequence[RecognisedFace] = super().__call__(data)
            return found

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
    with running("rekognition", STUB.StubRecogniser(), STUB.CALIBRATION, options=options) as url:
        client = connect(url)
        client.create_collection(CollectionId="c")
        index(client, 1, ExternalImageId="a")
        before = faces(url)
    with running("rekognition", STUB.StubRecogniser(), STUB.CALIBRATION, options=options) as url:
        assert faces(url) == before
        assert len(before[1]) == 1
