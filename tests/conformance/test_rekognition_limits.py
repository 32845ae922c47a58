"""What botocore lets pass and the service refuses: patterns, lengths, enums, ranges, pictures."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from providers.emulators.options import Options
from providers.emulators.server import running
from tests.conformance.rekognition_client import NOWHERE
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

SIGNATURE = (
    "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/rekognition/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
)
PATTERN = "Member must satisfy regular expression pattern:"
TAG_PATTERN = r"^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]*$"
COLLECTION_PATTERN = r"[a-zA-Z0-9_.\-]+"
USER_PATTERN = r"[a-zA-Z0-9_.\-:]+"
FACE_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
Ask = Callable[[str, Any], tuple[int, dict[str, Any]]]


def image(data: bytes) -> dict[str, str]:
    return {"Bytes": base64.b64encode(data).decode()}


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Yield how to ask for an operation with any body at all."""
    with (
        running("rekognition", StubRecogniser(), CALIBRATION, options=Options()) as url,
        requests.Session() as session,
    ):
        session.headers.update({"Authorization": SIGNATURE, "X-Amz-Date": "20260101T000000Z"})

        def ask(operation: str, body: Any) -> tuple[int, dict[str, Any]]:
            headers = {"X-Amz-Target": f"RekognitionService.{operation}"}
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            answer = session.post(url, data=data, headers=headers, timeout=10)
            return answer.status_code, answer.json()

        assert ask("CreateCollection", {"CollectionId": "c"})[0] == 200
        yield ask


VIOLATIONS = [
    ("CreateCollection", {}, "null at 'collectionId'", "Member must not be null"),
    (
        "CreateCollection",
        {"CollectionId": "a b"},
        "'a b' at 'collectionId'",
        f"{PATTERN} {COLLECTION_PATTERN}",
    ),
    (
        "CreateCollection",
        {"CollectionId": "a" * 256},
        f"'{'a' * 256}' at 'collectionId'",
        "Member must have length less than or equal to 255",
    ),
    (
        "CreateCollection",
        {"CollectionId": "t", "Tags": {"aws:own": "tag"}},
        "'{aws:own=tag}' at 'tags'",
        f"Map keys must satisfy constraint: [{PATTERN} {TAG_PATTERN}]",
    ),
    (
        "ListCollections",
        {"MaxResults": 4097},
        "'4097' at 'maxResults'",
        "Member must have value less than or equal to 4096",
    ),
    (
        "ListUsers",
        {"CollectionId": "c", "MaxResults": 501},
        "'501' at 'maxResults'",
        "Member must have value less than or equal to 500",
    ),
    (
        "IndexFaces",
        {"CollectionId": "c", "Image": image(b"x"), "MaxFaces": 0},
        "'0' at 'maxFaces'",
        "Member must have value greater than or equal to 1",
    ),
    (
        "IndexFaces",
        {"CollectionId": "c", "Image": image(b"")},
        "'java.nio.HeapByteBuffer[pos=0 lim=0 cap=0]' at 'image.bytes'",
        "Member must have length greater than or equal to 1",
    ),
    (
        "IndexFaces",
        {"CollectionId": "c", "Image": image(b"x"), "ExternalImageId": "a/b"},
        "'a/b' at 'externalImageId'",
        f"{PATTERN} {USER_PATTERN}",
    ),
    (
        "IndexFaces",
        {"CollectionId": "c", "Image": image(b"x"), "QualityFilter": "BEST"},
        "'BEST' at 'qualityFilter'",
        "Member must satisfy enum value set: [NONE, AUTO, LOW, MEDIUM, HIGH]",
    ),
    (
        "DetectFaces",
        {"Image": {"S3Object": {"Bucket": "no", "Name": "n"}}},
        "'no' at 'image.s3Object.bucket'",
        "Member must have length greater than or equal to 3",
    ),
    (
        "SearchFaces",
        {"CollectionId": "c", "FaceId": "me"},
        "'me' at 'faceId'",
        f"{PATTERN} {FACE_PATTERN}",
    ),
    (
        "SearchFaces",
        {"CollectionId": "c", "FaceId": NOWHERE, "FaceMatchThreshold": 100.5},
        "'100.5' at 'faceMatchThreshold'",
        "Member must have value less than or equal to 100",
    ),
    (
        "DeleteFaces",
        {"CollectionId": "c", "FaceIds": []},
        "'[]' at 'faceIds'",
        "Member must have length greater than or equal to 1",
    ),
    (
        "DeleteFaces",
        {"CollectionId": "c", "FaceIds": ["a", "b"]},
        "'[a, b]' at 'faceIds'",
        f"Member must satisfy constraint: [{PATTERN} {FACE_PATTERN}]",
    ),
    (
        "CreateUser",
        {"CollectionId": "c", "UserId": "u" * 129},
        f"'{'u' * 129}' at 'userId'",
        "Member must have length less than or equal to 128",
    ),
    (
        "CreateUser",
        {"CollectionId": "c", "UserId": "u", "ClientRequestToken": "a b"},
        "'a b' at 'clientRequestToken'",
        f"{PATTERN} ^[a-zA-Z0-9-_]+$",
    ),
    (
        "AssociateFaces",
        {"CollectionId": "c", "UserId": "u", "FaceIds": [NOWHERE] * 101},
        f"'[{', '.join([NOWHERE] * 101)}]' at 'faceIds'",
        "Member must have length less than or equal to 100",
    ),
]


@pytest.mark.parametrize(("operation", "body", "value", "constraint"), VIOLATIONS)
def test_violations(
    ask: Ask, operation: str, body: dict[str, Any], value: str, constraint: str
) -> None:
    status, answer = ask(operation, body)
    assert (status, answer["__type"]) == (400, "ValidationException")
    assert answer["Message"] == (
        f"1 validation error detected: Value {value} failed to satisfy constraint: {constraint}"
    )


def test_a_text_that_is_no_unicode_is_told_back(ask: Ask) -> None:
    status, answer = ask("CreateCollection", b'{"CollectionId": "\\ud800"}')
    assert (status, answer["Code"]) == (400, "ValidationException")
    assert answer["Message"].count("\ud800") == 1


def test_all_violations_are_told_at_once(ask: Ask) -> None:
    _, answer = ask("CreateUser", {"CollectionId": "a b", "UserId": ""})
    assert answer["Message"].startswith("3 validation errors detected: Value 'a b' at")
    assert answer["Message"].count("; Value '' at 'userId' failed to satisfy constraint: ") == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "Could not parse the request body into JSON"),
        (b"\xff", "Could not parse the request body into JSON"),
        (b'{"MaxFaces": NaN}', "Could not parse the request body into JSON"),
        (b"[" * 100_000, "Could not parse the request body into JSON"),
        ([], "Start of structure or map found where not expected."),
        ({"CollectionId": 5}, "NUMBER_VALUE can not be converted to a String"),
        ({"CollectionId": "c", "Image": {"Bytes": "?"}}, "Value is not valid base64"),
        ({"CollectionId": "c", "MaxFaces": "1"}, "STRING_VALUE can not be converted to an Integer"),
        ({"CollectionId": "c", "MaxFaces": True}, "TRUE_VALUE can not be converted to an Integer"),
        (b'{"MaxFaces": 1e999}', "DECIMAL_VALUE can not be converted to an Integer"),
        ({"DetectionAttributes": "ALL"}, "STRING_VALUE can not be converted to a List"),
        ({"DetectionAttributes": [None]}, "NULL_VALUE can not be converted to a String"),
        ({"Image": "x"}, "Start of structure or map found where not expected."),
    ],
)
def test_what_is_no_request(ask: Ask, body: Any, message: str) -> None:
    status, answer = ask("IndexFaces", body)
    assert (status, answer["Code"]) == (400, "SerializationException")
    assert answer["Message"] == message


def test_nulls_and_unknown_members_are_ignored(ask: Ask) -> None:
    status, answer = ask("ListCollections", {"MaxResults": None, "Future": {"x": [1]}})
    assert (status, answer["CollectionIds"]) == (200, ["c"])
    assert ask("ListCollections", b"")[0] == 200


def padded(data: bytes, size: int) -> bytes:
    return data + bytes(size - len(data))


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (image(b"no picture"), "InvalidImageFormatException"),
        (image(photo(0, file_format="GIF")), "InvalidImageFormatException"),
        (image(photo(0)[:200]), "InvalidImageFormatException"),
        (image(padded(photo(0), 5_242_881)), "ImageTooLargeException"),
        (image(photo(0, size=(10_001, 80))), "ImageTooLargeException"),
        (image(photo(0, size=(160, 79))), "InvalidParameterException"),
        ({}, "InvalidParameterException"),
        (image(b"x") | {"S3Object": {"Bucket": "abc", "Name": "n"}}, "InvalidParameterException"),
        ({"S3Object": {"Bucket": "abc", "Name": "n"}}, "InvalidS3ObjectException"),
    ],
)
def test_pictures_that_are_refused(ask: Ask, picture: dict[str, Any], code: str) -> None:
    for operation in ("IndexFaces", "SearchFacesByImage", "SearchUsersByImage"):
        status, answer = ask(operation, {"CollectionId": "c", "Image": picture})
        assert (status, answer["Code"]) == (400, code)
    status, answer = ask("DetectFaces", {"Image": picture})
    assert (status, answer["Code"]) == (400, code)
    both = {"SourceImage": image(photo(0)), "TargetImage": picture}
    assert ask("CompareFaces", both)[1]["Code"] == code


def test_pictures_at_the_limits(ask: Ask) -> None:
    for data in (
        padded(photo(0), 5_242_880),
        photo(0, size=(80, 80)),
        photo(0, file_format="JPEG"),
    ):
        assert ask("DetectFaces", {"Image": image(data)})[0] == 200


def test_small_faces_are_not_found(ask: Ask) -> None:
    """The stub's face has 60 pixels: enough up to 2880 x 1620."""
    found = {
        size: len(ask("DetectFaces", {"Image": image(photo(0, size=size))})[1]["FaceDetails"])
        for size in ((1920, 1080), (2880, 1620), (2882, 1080), (1622, 2000))
    }
    assert list(found.values()) == [1, 1, 0, 0]


def test_names_are_case_sensitive(ask: Ask) -> None:
    code = ask("DescribeCollection", {"CollectionId": "C"})[1]["Code"]
    assert code == "ResourceNotFoundException"
