"""Every way in which Azure says no, as the real SDK raises it and the adapter reads it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from providers.azure import AzureProvider
from providers.base import Failure, FailureKind
from tests.providers.canned import canned
from tests.providers.stub_emulator import photo

Connect = Callable[..., AzureProvider]
Log = Callable[[], list[dict[str, Any]]]


def failure(provider: AzureProvider, call: Callable[[], Any]) -> Failure:
    with pytest.raises(Exception) as caught:
        call()
    told = provider.classify(caught.value)
    assert provider._key not in repr(told)
    return told


@pytest.mark.parametrize("kind", ["429", "500", "503"])
@pytest.mark.parametrize("retry_after_s", [None, 7])
def test_one_request_goes_out_however_it_fails(
    azure: AzureProvider,
    disturb: Callable[..., None],
    log: Log,
    kind: str,
    retry_after_s: int | None,
) -> None:
    disturb("*", kind, retry_after_s=retry_after_s)
    calls: list[Callable[[], Any]] = [
        lambda: azure.create_gallery("g"),
        lambda: azure.add_person("g", "someone"),
        lambda: azure.enrol("g", "person", photo(0), "tag"),
        lambda: azure.train("g"),
        lambda: azure.training_state("g"),
        lambda: azure.detect(photo(0)),
        lambda: azure.identify("g", ["face"], 0.0, 100),
        lambda: azure.verify("g", "face", "person"),
        azure.list_galleries,
        lambda: azure.list_gallery("g"),
        lambda: azure.list_faces("g", "person"),
        lambda: azure.remove_person("g", "person"),
        lambda: azure.delete_gallery("g"),
    ]
    expected = FailureKind.THROTTLED if kind == "429" else FailureKind.TRANSIENT
    for call in calls:
        told = failure(azure, call)
        assert told.kind is expected
        assert told.retry_after_s == retry_after_s
    assert [row["operation"] for row in log()] == list(azure.capabilities.operations.values())


@pytest.mark.parametrize("kind", ["reset", "half_body", "lost_response"])
def test_one_request_goes_out_when_the_wire_breaks(
    azure: AzureProvider, disturb: Callable[..., None], log: Log, kind: str
) -> None:
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    disturb("*", kind)
    told = failure(azure, lambda: azure.enrol("g", person, photo(0), "tag"))
    assert told.kind is FailureKind.TRANSIENT
    assert [row["fault"] for row in log()] == [None, None, kind]


@pytest.mark.parametrize(
    ("kind", "enrolled"), [("lost_response", 1), ("half_body", 1), ("reset", 0)]
)
def test_what_a_broken_wire_leaves_behind(
    azure: AzureProvider, disturb: Callable[..., None], kind: str, enrolled: int
) -> None:
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    disturb("AddLargePersonGroupPersonFace", kind)
    failure(azure, lambda: azure.enrol("g", person, photo(0), "tag"))
    assert len(azure.list_faces("g", person)) == enrolled


def test_broken_answers_without_a_body_are_transient(
    azure: AzureProvider, disturb: Callable[..., None]
) -> None:
    disturb("*", "half_body")
    assert failure(azure, lambda: azure.create_gallery("g")).kind is FailureKind.TRANSIENT


def test_silence_is_transient(
    emulator: str, connect: Connect, disturb: Callable[..., None]
) -> None:
    impatient = connect(emulator, read_timeout_s=0.2)
    disturb("*", "hang", seconds=600)
    assert failure(impatient, impatient.list_galleries).kind is FailureKind.TRANSIENT


def test_nobody_listening_is_transient(connect: Connect) -> None:
    nobody = connect("http://127.0.0.1:9")
    assert failure(nobody, nobody.list_galleries).kind is FailureKind.TRANSIENT


def test_conflicts_and_absences(azure: AzureProvider) -> None:
    azure.create_gallery("g")
    face = azure.detect(photo(0))
    calls: dict[str, tuple[Callable[[], Any], FailureKind]] = {
        "LargePersonGroupExists": (lambda: azure.create_gallery("g"), FailureKind.CONFLICT),
        "LargePersonGroupNotFound": (lambda: azure.list_gallery("h"), FailureKind.ABSENT),
        "PersonNotFound": (lambda: azure.enrol("g", "p", photo(0), "t"), FailureKind.ABSENT),
        "LargePersonGroupNotTrained": (
            lambda: azure.identify("g", [face], 0.0, 9),
            FailureKind.FATAL,
        ),
        "BadArgument": (lambda: azure.create_gallery("Not An Id"), FailureKind.FATAL),
    }
    for code, (call, kind) in calls.items():
        told = failure(azure, call)
        assert (told.code, told.kind) == (code, kind)
    azure.delete_gallery("g")
    assert failure(azure, lambda: azure.delete_gallery("g")).kind is FailureKind.ABSENT


def test_expired_faces_are_absent(azure: AzureProvider) -> None:
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    azure.enrol("g", person, photo(0), "tag")
    azure.train("g")
    unknown = "00000000-0000-4000-8000-000000000000"
    for call in (
        lambda: azure.identify("g", [unknown], 0.0, 9),
        lambda: azure.verify("g", unknown, person),
    ):
        told = failure(azure, call)
        assert (told.code, told.kind) == ("FaceNotFound", FailureKind.ABSENT)


def test_refused_photos(azure: AzureProvider) -> None:
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    photos = {
        "No face detected in the image.": photo(0, faces=0),
        "There is more than 1 face in the image.": photo(0, faces=2),
        "Image size is too small.": b"\x89PNG",
        "Image size is too big.": photo(0, size=(4097, 64)),
        "Decoding error, image format unsupported.": photo(0)[:2000],
    }
    for message, image in photos.items():
        told = failure(azure, partial(azure.enrol, "g", person, image, "tag"))
        assert (told.message, told.kind) == (message, FailureKind.PHOTO)
        assert told.no_face is message.startswith("No face")
    told = failure(azure, lambda: azure.detect(photo(0, faces=0)))
    assert (told.kind, told.no_face) == (FailureKind.PHOTO, True)


def test_a_full_person_is_a_quota(azure: AzureProvider) -> None:
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    for number in range(248):
        azure.enrol("g", person, photo(0), str(number))
    told = failure(azure, lambda: azure.enrol("g", person, photo(0), "one more"))
    assert (told.code, told.kind) == ("QuotaExceeded", FailureKind.QUOTA)


def test_writing_while_training_is_busy(start: Callable[..., str], connect: Connect) -> None:
    azure = connect(start(training_s=3600))
    azure.create_gallery("g")
    person = azure.add_person("g", "someone")
    face = azure.detect(photo(0))
    azure.enrol("g", person, photo(0), "tag")
    azure.train("g")
    for call in (
        lambda: azure.enrol("g", person, photo(0), "tag"),
        lambda: azure.add_person("g", "another"),
        lambda: azure.identify("g", [face], 0.0, 9),
        lambda: azure.train("g"),
        lambda: azure.delete_gallery("g"),
    ):
        told = failure(azure, call)
        assert (told.code, told.kind) == ("LargePersonGroupTrainingNotFinished", FailureKind.BUSY)


def test_a_wrong_key_and_a_missing_approval_are_refusals(
    start: Callable[..., str], connect: Connect
) -> None:
    endpoint = start(keys=frozenset({"right"}), gated=True)
    wrong, right = connect(endpoint, key="wrong"), connect(endpoint, key="right")
    told = failure(wrong, wrong.list_galleries)
    assert (told.code, told.kind) == ("401", FailureKind.REFUSED)
    assert "AZURE_FACE_KEY" in told.message
    assert right.list_galleries() == []
    told = failure(right, lambda: right.detect(photo(0)))
    assert (told.code, told.kind) == ("UnsupportedFeature", FailureKind.REFUSED)
    assert "aka.ms/facerecognition" in told.message


NESTED = (
    '{"error": {"code": "InvalidRequest", "message": "Invalid request has been sent.", "innererror":'
    ' {"code": "UnsupportedFeature", "message": "Feature is not supported, missing approval for one'
    ' or more of the following features: Identification,Verification."}}}'
)
USED_UP = '{"error": {"code": "403", "message": "Out of call volume quota."}}'
CONFLICT = '{"error": {"code": "ConcurrentOperationConflict", "message": "please try later."}}'
HTML = "<html>Bad gateway</html>"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, NESTED, FailureKind.REFUSED),
        (403, USED_UP, FailureKind.QUOTA),
        (409, CONFLICT, FailureKind.BUSY),
        (502, HTML, FailureKind.TRANSIENT),
        (503, HTML, FailureKind.TRANSIENT),
        (504, HTML, FailureKind.TRANSIENT),
        (408, '{"error": {"code": "Timeout", "message": "slow"}}', FailureKind.TRANSIENT),
        (401, HTML, FailureKind.REFUSED),
        (404, HTML, FailureKind.ABSENT),
        (429, '{"error": {"code": "429", "message": "slow down"}}', FailureKind.THROTTLED),
        (418, '{"error": {"code": "Teapot", "message": "no"}}', FailureKind.FATAL),
        (200, "<html>Sign in to this network</html>", FailureKind.TRANSIENT),
    ],
)
def test_answers_that_the_emulator_does_not_give(
    connect: Connect, status: int, body: str, kind: FailureKind
) -> None:
    with canned(status, body) as (endpoint, seen):
        azure = connect(endpoint)
        assert failure(azure, lambda: azure.detect(photo(0))).kind is kind
        azure.close()
    assert [request.method for request in seen] == ["POST"]


def test_the_approval_remedy_is_told_when_nested(connect: Connect) -> None:
    with canned(403, NESTED) as (endpoint, _):
        azure = connect(endpoint)
        assert "--emulate" in failure(azure, lambda: azure.detect(photo(0))).message
        azure.close()


def test_a_key_echoed_by_the_service_is_cut_out(connect: Connect) -> None:
    body = '{"error": {"code": "401", "message": "no such key: s3cret"}}'
    with canned(401, body) as (endpoint, _):
        azure = connect(endpoint, key="s3cret")
        told = failure(azure, azure.list_galleries)
        azure.close()
    assert told.message.startswith("no such key: [key]")


def test_redirects_are_not_followed(connect: Connect) -> None:
    with canned(302, HTML, Location="http://127.0.0.1:9/") as (endpoint, seen):
        azure = connect(endpoint)
        failure(azure, azure.list_galleries)
        azure.close()
    assert [request.method for request in seen] == ["GET"]


def test_a_date_as_retry_after_is_no_number(connect: Connect) -> None:
    body = '{"error": {"code": "429", "message": "slow down"}}'
    date = "Fri, 31 Dec 1999 23:59:59 GMT"
    with canned(429, body, Retry_After=date) as (endpoint, seen):
        azure = connect(endpoint)
        told = failure(azure, azure.list_galleries)
        azure.close()
    assert (told.kind, told.retry_after_s) == (FailureKind.THROTTLED, None)
    assert [request.method for request in seen] == ["GET"]
