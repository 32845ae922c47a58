"""Every operation's answer and error, held against botocore's own service model."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import requests
from botocore.model import ListShape, OperationModel, Shape, StringShape, StructureShape

from providers.emulators.calibration import Calibration
from providers.emulators.options import Options
from providers.emulators.rekognition import RekognitionEmulator
from providers.emulators.server import running
from tests.conformance.rekognition_client import NOWHERE, connect, image
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser

COMMON_ERRORS = {"ValidationException", "SerializationException", "AccessDeniedException"}
Reply = tuple[str, dict[str, Any]]


def check(shape: Shape, value: Any, *, raw: bool, path: str) -> None:
    """Assert that a value, as it was on the wire or as botocore parsed it, fits its shape."""
    limits = shape.metadata
    if isinstance(shape, StructureShape):
        assert isinstance(value, dict), path
        assert set(value) <= set(shape.members), f"{path}: unknown {set(value)}"
        assert set(limits.get("required", ())) <= set(value), path
        for name, member in value.items():
            check(shape.members[name], member, raw=raw, path=f"{path}.{name}")
    elif isinstance(shape, ListShape):
        assert isinstance(value, list), path
        # Not the minimum: DeletedFaces shares its shape with a parameter, and can be empty.
        assert len(value) <= limits.get("max", len(value)), path
        for item in value:
            check(shape.member, item, raw=raw, path=f"{path}[]")
    elif isinstance(shape, StringShape):
        assert isinstance(value, str), path
        assert limits.get("min", 0) <= len(value) <= limits.get("max", len(value)), path
        assert not shape.enum or value in shape.enum, f"{path}: {value}"
        assert re.fullmatch(limits.get("pattern", "(?s).*"), value), f"{path}: {value}"
    else:
        check_scalar(shape, value, raw=raw, path=path)


def check_scalar(shape: Shape, value: Any, *, raw: bool, path: str) -> None:
    parsed_types: dict[str, tuple[type, ...]] = {
        "integer": (int,),
        "long": (int,),
        "float": (float, int),
        "boolean": (bool,),
        "timestamp": (float, int) if raw else (datetime,),
    }
    assert isinstance(value, parsed_types[shape.type_name]), f"{path}: {value!r}"
    assert isinstance(value, bool) == (shape.type_name == "boolean"), path
    limits = shape.metadata
    assert limits.get("min", value) <= value <= limits.get("max", value), f"{path}: {value}"


@pytest.fixture(scope="module")
def replies() -> list[Reply]:
    return []


@pytest.fixture(scope="module")
def rekognition(replies: list[Reply]) -> Iterator[Any]:
    """Yield a client that checks every answer that it gets."""

    def answered(model: OperationModel, http_response: Any, parsed: Any, **_: Any) -> None:
        raw = json.loads(http_response.content)
        headers = http_response.headers
        assert headers["content-type"] == "application/x-amz-json-1.1"
        assert re.fullmatch(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers["x-amzn-RequestId"]
        )
        replies.append((model.name, raw))
        if http_response.status_code == 200:
            assert model.output_shape
            check(model.output_shape, raw, raw=True, path=model.name)
            parsed = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
            check(model.output_shape, parsed, raw=False, path=model.name)
        else:
            known = {shape.name for shape in model.error_shapes} | COMMON_ERRORS
            assert raw["__type"] == raw["Code"] == parsed["Error"]["Code"]
            assert raw["Code"] in known
            assert raw["Message"]

    options = Options(clock=lambda: 1_700_000_000.25)
    with running("rekognition", StubRecogniser(), CALIBRATION, options=options) as url:
        client = connect(url)
        client.meta.events.register("after-call.rekognition", answered)
        yield client
        client.close()


@pytest.fixture
def refused(rekognition: Any) -> Callable[..., str]:
    """Return how to have a request refused: by the operation's method, for the error's code."""

    def refused(method: str, **parameters: Any) -> str:
        with pytest.raises(rekognition.exceptions.ClientError) as caught:
            getattr(rekognition, method)(**parameters)
        return str(caught.value.response["Error"]["Code"])

    return refused


def test_collections(rekognition: Any, refused: Callable[..., str]) -> None:
    created = rekognition.create_collection(CollectionId="c", Tags={"purpose": "an audit"})
    name = "aws:rekognition:eu-west-1:123456789012:collection/c"
    assert (created["StatusCode"], created["CollectionArn"]) == (200, name)
    assert refused("create_collection", CollectionId="c") == "ResourceAlreadyExistsException"
    described = rekognition.describe_collection(CollectionId="c")
    assert described["CollectionARN"] == f"arn:{name}"
    assert described["CreationTimestamp"].timestamp() == 1_700_000_000.25
    listed = rekognition.list_collections()
    assert (listed["CollectionIds"], listed["FaceModelVersions"]) == (["c"], ["7.0"])
    token = refused("list_collections", NextToken="forged")
    assert token == "InvalidPaginationTokenException"
    assert rekognition.delete_collection(CollectionId="c")["StatusCode"] == 200
    for method in ("describe_collection", "delete_collection", "list_faces", "list_users"):
        assert refused(method, CollectionId="c") == "ResourceNotFoundException"


def test_faces(rekognition: Any, refused: Callable[..., str]) -> None:
    rekognition.create_collection(CollectionId="f")
    indexed = rekognition.index_faces(
        CollectionId="f",
        Image=image(1, faces=2),
        ExternalImageId="someone",
        DetectionAttributes=["ALL"],
    )
    [record], [unindexed] = indexed["FaceRecords"], indexed["UnindexedFaces"]
    assert unindexed["Reasons"] == ["SMALL_BOUNDING_BOX"]
    face = record["Face"]["FaceId"]
    listed = rekognition.list_faces(CollectionId="f")["Faces"]
    assert listed == [record["Face"]]
    rekognition.index_faces(CollectionId="f", Image=image(1, 1))
    found = rekognition.search_faces(CollectionId="f", FaceId=face)
    assert len(found["FaceMatches"]) == 1
    found = rekognition.search_faces_by_image(CollectionId="f", Image=image(1))
    assert len(found["FaceMatches"]) == 2
    deleted = rekognition.delete_faces(CollectionId="f", FaceIds=[face, NOWHERE])
    assert deleted["DeletedFaces"] == [face]
    assert deleted["UnsuccessfulFaceDeletions"][0]["Reasons"] == ["FACE_NOT_FOUND"]
    assert refused("search_faces", CollectionId="f", FaceId=face) == "InvalidParameterException"


def test_users(rekognition: Any, refused: Callable[..., str]) -> None:
    rekognition.create_collection(CollectionId="u")
    both = {"CollectionId": "u", "UserId": "someone"}
    rekognition.create_user(**both)
    assert refused("create_user", **both) == "ConflictException"
    record = rekognition.index_faces(CollectionId="u", Image=image(1))["FaceRecords"][0]
    face = record["Face"]["FaceId"]
    associated = rekognition.associate_faces(**both, FaceIds=[face, NOWHERE])
    assert associated["AssociatedFaces"] == [{"FaceId": face}]
    assert rekognition.list_users(CollectionId="u")["Users"] == [
        {"UserId": "someone", "UserStatus": "ACTIVE"}
    ]
    found = rekognition.search_users_by_image(CollectionId="u", Image=image(1, faces=2))
    assert found["UserMatches"][0]["User"]["UserId"] == "someone"
    assert found["UnsearchedFaces"][0]["Reasons"] == ["FACE_NOT_LARGEST"]
    found = rekognition.search_users(CollectionId="u", FaceId=face)
    assert found["SearchedFace"] == {"FaceId": face}
    found = rekognition.search_users(**both)
    assert (found["SearchedUser"], found["UserMatches"]) == ({"UserId": "someone"}, [])
    kept = rekognition.delete_faces(CollectionId="u", FaceIds=[face])
    assert kept["UnsuccessfulFaceDeletions"] == [
        {"FaceId": face, "UserId": "someone", "Reasons": ["ASSOCIATED_TO_AN_EXISTING_USER"]}
    ]
    freed = rekognition.disassociate_faces(**both, FaceIds=[face, NOWHERE])
    assert freed["DisassociatedFaces"] == [{"FaceId": face}]
    rekognition.delete_user(**both)
    assert refused("delete_user", **both) == "ResourceNotFoundException"


def test_photos(rekognition: Any, refused: Callable[..., str]) -> None:
    detected = rekognition.detect_faces(Image=image(2, faces=2), Attributes=["ALL"])
    assert len(detected["FaceDetails"]) == 2
    compared = rekognition.compare_faces(SourceImage=image(2), TargetImage=image(2, faces=2))
    assert len(compared["FaceMatches"]) == len(compared["UnmatchedFaces"]) == 1
    nobody = image(0, faces=0)
    code = refused("compare_faces", SourceImage=nobody, TargetImage=image(2))
    assert code == "InvalidParameterException"
    bucket = {"S3Object": {"Bucket": "bucket", "Name": "photo.jpg"}}
    assert refused("detect_faces", Image=bucket) == "InvalidS3ObjectException"
    bitmap = image(2, file_format="BMP")
    assert refused("detect_faces", Image=bitmap) == "InvalidImageFormatException"


def test_all_of_them_were_asked(replies: list[Reply]) -> None:
    calibration = Calibration(1, 0)
    emulator = RekognitionEmulator(StubRecogniser(), calibration, Options())
    assert {name for name, _ in replies} == emulator.operations
    emulator.close()


def test_throttles_and_failures(rekognition: Any, refused: Callable[..., str]) -> None:
    url = rekognition.meta.endpoint_url
    codes = {"429": "ProvisionedThroughputExceededException", "500": "InternalServerError"}
    for kind, code in codes.items():
        rules = {"rules": [{"kind": kind}]}
        requests.post(f"{url}/__emulator__/faults", json=rules, timeout=10).raise_for_status()
        assert refused("list_collections") == code
    requests.post(f"{url}/__emulator__/faults", json={"rules": []}, timeout=10).raise_for_status()
