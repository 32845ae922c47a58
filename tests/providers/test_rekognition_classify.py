"""Every way in which Rekognition says no, as boto3 raises it and the adapter reads it."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from providers.base import Failure, FailureKind
from providers.rekognition import RekognitionProvider
from tests.providers.accounts import REKOGNITION_KEYS
from tests.providers.canned import canned
from tests.providers.stub_emulator import photo

Connect = Callable[..., RekognitionProvider]
Disturb = Callable[..., None]
Log = Callable[[], list[dict[str, Any]]]
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def service() -> str:
    return "rekognition"


def failure(provider: RekognitionProvider, call: Callable[[], Any]) -> Failure:
    with pytest.raises(Exception) as caught:
        call()
    told = provider.classify(caught.value)
    assert not [key for key in REKOGNITION_KEYS.values() if key in repr(told)]
    return told


@pytest.mark.parametrize(
    ("kind", "retry_after_s", "expected"),
    [
        ("429", None, FailureKind.THROTTLED),
        ("429", 1.5, FailureKind.THROTTLED),
        ("500", None, FailureKind.TRANSIENT),
        ("503", 7, FailureKind.TRANSIENT),
        ("reset", None, FailureKind.TRANSIENT),
        ("half_body", None, FailureKind.TRANSIENT),
        ("lost_response", None, FailureKind.TRANSIENT),
    ],
)
def test_one_request_goes_out_however_it_fails(
    faces: RekognitionProvider,
    users: RekognitionProvider,
    disturb: Disturb,
    log: Log,
    kind: str,
    retry_after_s: float | None,
    expected: FailureKind,
) -> None:
    disturb("*", kind, retry_after_s=retry_after_s)
    calls: list[Callable[[], Any]] = [
        lambda: users.create_gallery("g"),
        lambda: users.enrol("g", "one", photo(0), "tag"),
        users.list_galleries,
        lambda: users.list_gallery("g"),
        lambda: users.remove_faces("g", [NOBODY]),
        lambda: users.delete_gallery("g"),
        lambda: users.add_person("g", "one"),
        lambda: users.attach("g", "one", [NOBODY]),
        lambda: users.identify_photo("g", photo(0), 0.0, 100),
        lambda: users.remove_person("g", "one"),
        lambda: faces.identify_photo("g", photo(0), 0.0, 100),
    ]
    failures = [failure(users, call) for call in calls]
    assert {(told.kind, told.retry_after_s) for told in failures} == {(expected, retry_after_s)}
    assert {row["fault"] for row in log()} == {kind}
    operations = [*users.capabilities.operations.values(), "SearchFacesByImage"]
    assert [row["operation"] for row in log()] == operations


def test_the_environment_brings_no_retries_back(
    emulator: str, connect: Connect, disturb: Disturb, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")
    faces = connect(emulator)
    disturb("*", "500")
    failure(faces, faces.list_galleries)
    assert len(log()) == 1


@pytest.mark.parametrize(
    ("kind", "enrolled"), [("lost_response", 1), ("half_body", 1), ("reset", 0)]
)
def test_what_a_broken_wire_leaves_behind(
    faces: RekognitionProvider, disturb: Disturb, kind: str, enrolled: int
) -> None:
    faces.create_gallery("g")
    disturb("IndexFaces", kind)
    failure(faces, lambda: faces.enrol("g", "one", photo(0), "tag"))
    assert [len(one.face_ids) for one in faces.list_gallery("g").people] == [1] * enrolled


def test_silence_is_transient(emulator: str, connect: Connect, disturb: Disturb, log: Log) -> None:
    impatient = connect(emulator, read_timeout_s=0.2)
    disturb("*", "hang", seconds=600)
    assert failure(impatient, impatient.list_galleries).kind is FailureKind.TRANSIENT
    assert len(log()) == 1


def test_nobody_listening_is_transient(connect: Connect) -> None:
    nobody = connect("http://127.0.0.1:9")
    assert failure(nobody, nobody.list_galleries).kind is FailureKind.TRANSIENT


def test_conflicts_and_absences(users: RekognitionProvider) -> None:
    users.create_gallery("g")
    users._client.create_user(CollectionId="g", UserId="two")
    absent = ("ResourceNotFoundException", FailureKind.ABSENT)
    calls: list[tuple[Callable[[], Any], tuple[str, FailureKind]]] = [
        (
            lambda: users.create_gallery("g"),
            ("ResourceAlreadyExistsException", FailureKind.CONFLICT),
        ),
        (lambda: users.add_person("g", "two"), ("ConflictException", FailureKind.CONFLICT)),
        (lambda: users.list_gallery("h"), absent),
        (lambda: users.remove_person("g", "nobody"), absent),
        (lambda: users.remove_faces("h", [NOBODY]), absent),
        (lambda: users.attach("g", "nobody", [NOBODY]), absent),
        (lambda: users.delete_gallery("h"), absent),
        (lambda: users.create_gallery("not one"), ("ValidationException", FailureKind.FATAL)),
        (lambda: users.attach("g", "two", []), ("ParamValidationError", FailureKind.FATAL)),
    ]
    for call, expected in calls:
        told = failure(users, call)
        assert (told.code, told.kind) == expected


def test_refused_photos(faces: RekognitionProvider) -> None:
    faces.create_gallery("g")
    photos = {
        "InvalidImageFormatException": b"no picture",
        "ImageTooLargeException": bytes(5_242_881),
        "InvalidParameterException": photo(0, size=(79, 120)),
        "ValidationException": b"",
    }
    for code, image in photos.items():
        for call in (
            partial(faces.enrol, "g", "one", image, "tag"),
            partial(faces.identify_photo, "g", image, 0.0, 100),
        ):
            told = failure(faces, call)
            assert (told.code, told.kind) == (code, FailureKind.PHOTO)
            assert not told.no_face


def test_other_faults_of_a_photo_request_are_ours(faces: RekognitionProvider) -> None:
    faces.create_gallery("g")
    told = failure(faces, lambda: faces.enrol("g", "not a name", photo(0), "tag"))
    assert (told.code, told.kind) == ("ValidationException", FailureKind.FATAL)
    assert "externalImageId" in told.message


def test_parameters_are_named_and_not_quoted(faces: RekognitionProvider) -> None:
    picture: Any = ["the photo's bytes"]
    told = failure(faces, lambda: faces.enrol("g", "one", picture, "tag"))
    assert told.kind is FailureKind.FATAL
    assert told.message == "The SDK refuses to send Image.Bytes."


def test_a_full_account_is_a_quota(start: Callable[..., str], connect: Connect) -> None:
    faces = connect(start(faces_max=1))
    faces.create_gallery("g")
    faces.enrol("g", "one", photo(0), "tag")
    told = failure(faces, lambda: faces.enrol("g", "one", photo(1), "tag"))
    assert (told.code, told.kind) == ("ServiceQuotaExceededException", FailureKind.QUOTA)


def test_a_wrong_key_and_a_missing_permission_are_refusals(
    start: Callable[..., str], connect: Connect
) -> None:
    wrong, denied = connect(start(keys=frozenset({"right"}))), connect(start(gated=True))
    expected = {wrong: "UnrecognizedClientException", denied: "AccessDeniedException"}
    for rekognition, code in expected.items():
        told = failure(rekognition, rekognition.list_galleries)
        assert (told.code, told.kind) == (code, FailureKind.REFUSED)
        assert "check the AWS keys" in told.message


HTML = "<!DOCTYPE html><title>Bad gateway</title>"


def error(code: str, message: str = "no") -> str:
    return json.dumps({"__type": code, "Code": code, "Message": message})


@pytest.mark.parametrize(
    ("status", "body", "code", "kind"),
    [
        (400, error("ThrottlingException"), "ThrottlingException", "throttled"),
        (500, error("ThrottlingException"), "ThrottlingException", "throttled"),
        (400, error("LimitExceededException"), "LimitExceededException", "throttled"),
        (429, "slow down", "429", "throttled"),
        (400, error("com.amazon#InternalServerError"), "InternalServerError", "transient"),
        (503, error("ServiceUnavailableException"), "ServiceUnavailableException", "transient"),
        (502, HTML, "502", "transient"),
        (504, "<html>Gateway timeout</html>", "504", "transient"),
        (200, HTML, "UnreadableAnswerError", "transient"),
        (200, '{"FaceRecords": [', "UnreadableAnswerError", "transient"),
        (200, "{}", "KeyError", "fatal"),
        (413, HTML, "413", "photo"),
        (400, error("ConflictException"), "ConflictException", "busy"),
        (400, error("ExpiredTokenException"), "ExpiredTokenException", "refused"),
        (400, error("InvalidSignatureException"), "InvalidSignatureException", "refused"),
        (403, HTML, "403", "refused"),
        (
            400,
            error("IdempotentParameterMismatchException"),
            "IdempotentParameterMismatchException",
            "fatal",
        ),
        (
            400,
            error("InvalidParameterException", "Request has Invalid Parameters"),
            "InvalidParameterException",
            "photo",
        ),
        (
            400,
            error("InvalidParameterException", "maxFaces is beyond reason"),
            "InvalidParameterException",
            "fatal",
        ),
    ],
)
def test_answers_that_the_emulator_does_not_give(
    connect: Connect, status: int, body: str, code: str, kind: str
) -> None:
    with canned(status, body) as (endpoint, seen):
        rekognition = connect(endpoint)
        told = failure(rekognition, lambda: rekognition.enrol("g", "one", photo(0), "tag"))
        rekognition.close()
    assert (told.code, told.kind) == (code, kind)
    assert "<" not in told.message
    assert [request.target for request in seen] == ["IndexFaces"]


def test_a_signed_request_repeated_by_the_service_is_cut_out(connect: Connect) -> None:
    text = (
        f"The request signature of {REKOGNITION_KEYS['access_key_id']} does not match.\n\n"
        f"The Canonical String for this request should have been\n{REKOGNITION_KEYS['session_token']}"
    )
    with canned(403, error("InvalidSignatureException", text)) as (endpoint, _):
        rekognition = connect(endpoint)
        told = failure(rekognition, rekognition.list_galleries)
        rekognition.close()
    assert told.message.startswith("The request signature of [key] does not match. To do")


def test_a_face_that_is_this_users_already_is_attached(connect: Connect) -> None:
    taken = ["ASSOCIATED_TO_A_DIFFERENT_USER"]
    refusals = [
        {"FaceId": "already", "UserId": "one", "Reasons": taken},
        {"FaceId": "taken", "UserId": "two", "Reasons": taken},
        {"FaceId": "unlike", "UserId": "one", "Reasons": ["LOW_MATCH_CONFIDENCE"]},
        {"FaceId": "unsaid", "UserId": "one", "Reasons": []},
    ]
    body = json.dumps({"UnsuccessfulFaceAssociations": refusals})
    with canned(200, body) as (endpoint, _):
        rekognition = connect(endpoint, gallery="users")
        refused = rekognition.attach("g", "one", ["already", "taken", "unlike", "unsaid"])
        rekognition.close()
    assert refused == {
        "taken": "ASSOCIATED_TO_A_DIFFERENT_USER",
        "unlike": "LOW_MATCH_CONFIDENCE",
        "unsaid": "NO_REASON_GIVEN",
    }


def test_redirects_are_not_followed(connect: Connect) -> None:
    with canned(302, HTML, Location="/elsewhere") as (endpoint, seen):
        rekognition = connect(endpoint)
        failure(rekognition, rekognition.list_galleries)
        rekognition.close()
    assert [request.target for request in seen] == ["ListCollections"]


def test_an_error_that_is_cut_off_is_transient(
    faces: RekognitionProvider, disturb: Disturb
) -> None:
    disturb("*", "half_body")
    told = failure(faces, lambda: faces.list_gallery("nowhere"))
    assert (told.code, told.kind) == ("UnreadableAnswerError", FailureKind.TRANSIENT)


def test_a_wait_that_is_no_number_is_none(connect: Connect) -> None:
    body = error("ThrottlingException")
    with canned(400, body, x_amz_retry_after="soon") as (endpoint, _):
        rekognition = connect(endpoint)
        told = failure(rekognition, rekognition.list_galleries)
        rekognition.close()
    assert (told.kind, told.retry_after_s) == (FailureKind.THROTTLED, None)
