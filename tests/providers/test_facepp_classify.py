"""Every way in which Face++ says no, as it comes over the wire and as the adapter reads it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from providers.base import Failure, FailureKind
from providers.facepp import FaceppProvider
from tests.providers.accounts import FACEPP_KEYS
from tests.providers.canned import canned
from tests.providers.stub_emulator import photo

Connect = Callable[..., FaceppProvider]
Disturb = Callable[..., None]
Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def service() -> str:
    return "facepp"


def failure(provider: FaceppProvider, call: Callable[[], Any]) -> Failure:
    with pytest.raises(Exception) as caught:
        call()
    told = provider.classify(caught.value)
    assert not [key for key in FACEPP_KEYS.values() if key in repr(told)]
    return told


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("429", FailureKind.THROTTLED),
        ("500", FailureKind.TRANSIENT),
        ("503", FailureKind.TRANSIENT),
        ("reset", FailureKind.TRANSIENT),
        ("half_body", FailureKind.TRANSIENT),
        ("lost_response", FailureKind.TRANSIENT),
    ],
)
def test_one_request_goes_out_however_it_fails(
    facepp: FaceppProvider, disturb: Disturb, log: Log, kind: str, expected: FailureKind
) -> None:
    disturb("*", kind)
    calls: list[Callable[[], Any]] = [
        lambda: facepp.create_gallery("g"),
        lambda: facepp.enrol("g", "one", photo(0), "tag"),
        lambda: facepp.attach("g", "", ["face"]),
        lambda: facepp.label("g", "face", "one"),
        lambda: facepp.detect(photo(0)),
        lambda: facepp.identify("g", ["face"], 0.0, 5),
        lambda: facepp.verify("g", "face", "face"),
        facepp.list_galleries,
        lambda: facepp.list_gallery("g"),
        lambda: facepp.remove_faces("g", ["face"]),
        lambda: facepp.delete_gallery("g"),
    ]
    assert {failure(facepp, call).kind for call in calls} == {expected}
    assert [row["operation"] for row in log()] == list(facepp.capabilities.operations.values())
    assert {row["fault"] for row in log()} == {kind}


@pytest.mark.parametrize(
    ("kind", "attached"), [("lost_response", 1), ("half_body", 1), ("reset", 0)]
)
def test_what_a_broken_wire_leaves_behind(
    facepp: FaceppProvider, disturb: Disturb, kind: str, attached: int
) -> None:
    facepp.create_gallery("g")
    face = facepp.enrol("g", "one", photo(0), "tag").id
    disturb("faceset/addface", kind)
    failure(facepp, lambda: facepp.attach("g", "", [face]))
    held = facepp.list_gallery("g").people
    assert [person.face_ids for person in held] == [(face,)] * attached


def test_silence_is_transient(emulator: str, connect: Connect, disturb: Disturb, log: Log) -> None:
    impatient = connect(emulator, read_timeout_s=0.2)
    disturb("*", "hang", seconds=600)
    assert failure(impatient, impatient.list_galleries).kind is FailureKind.TRANSIENT
    assert len(log()) == 1


def test_nobody_listening_is_transient(connect: Connect) -> None:
    nobody = connect("http://127.0.0.1:9")
    assert failure(nobody, nobody.list_galleries).kind is FailureKind.TRANSIENT


def test_conflicts_and_absences(facepp: FaceppProvider) -> None:
    facepp.create_gallery("g")
    facepp.attach("g", "", [facepp.detect(photo(0))])
    unknown = "0" * 32
    calls: list[tuple[Callable[[], Any], str, FailureKind]] = [
        (lambda: facepp.create_gallery("g"), "FACESET_EXIST", FailureKind.CONFLICT),
        (lambda: facepp.list_gallery("h"), "INVALID_OUTER_ID", FailureKind.ABSENT),
        (lambda: facepp.remove_faces("h", [unknown]), "INVALID_OUTER_ID", FailureKind.ABSENT),
        (lambda: facepp.delete_gallery("h"), "INVALID_OUTER_ID", FailureKind.ABSENT),
        (lambda: facepp.label("g", unknown, "one"), "INVALID_FACE_TOKEN", FailureKind.ABSENT),
        (lambda: facepp.identify("g", [unknown], 0, 5), "INVALID_FACE_TOKEN", FailureKind.ABSENT),
        (lambda: facepp.verify("g", unknown, unknown), "INVALID_FACE_TOKEN", FailureKind.ABSENT),
        (
            lambda: facepp.attach("g", "", [str(number) for number in range(6)]),
            "INVALID_FACE_TOKENS_SIZE",
            FailureKind.FATAL,
        ),
        (lambda: facepp.create_gallery("not^one"), "BAD_ARGUMENTS", FailureKind.FATAL),
    ]
    for call, code, kind in calls:
        told = failure(facepp, call)
        assert (told.code, told.kind) == (code, kind)


def test_refused_photos(facepp: FaceppProvider) -> None:
    photos = {
        "NoFace": photo(0, faces=0),
        "INVALID_IMAGE_SIZE": photo(0, size=(4097, 64)),
        "IMAGE_ERROR_UNSUPPORTED_FORMAT": b"no picture",
        "413": bytes(9 * 1024 * 1024),
    }
    for code, image in photos.items():
        for call in (
            partial(facepp.detect, image),
            partial(facepp.enrol, "g", "one", image, "tag"),
        ):
            told = failure(facepp, call)
            assert (told.code, told.kind) == (code, FailureKind.PHOTO)
            assert told.no_face is (code == "NoFace")


def test_a_full_gallery_is_a_quota(start: Callable[..., str], connect: Connect) -> None:
    facepp = connect(start(faces_max=1))
    facepp.create_gallery("g")
    first, second = (facepp.enrol("g", "one", photo(0), "tag").id for _ in range(2))
    assert facepp.attach("g", "", [first]) == {}
    told = failure(facepp, lambda: facepp.attach("g", "", [second]))
    assert (told.code, told.kind) == ("QUOTA_EXCEEDED", FailureKind.QUOTA)


def test_a_wrong_key_and_a_blocked_account_are_refusals(
    start: Callable[..., str], connect: Connect
) -> None:
    wrong, blocked = connect(start(keys=frozenset({"right"}))), connect(start(gated=True))
    for facepp, code in ((wrong, "AUTHENTICATION_ERROR"), (blocked, "AUTHORIZATION_ERROR")):
        told = failure(facepp, facepp.list_galleries)
        assert (told.code, told.kind) == (code, FailureKind.REFUSED)
        assert "FACEPP_API_KEY" in told.message


HTML = "<html>Bad gateway</html>"


def error(message: str) -> str:
    return f'{{"time_used": 3, "error_message": "{message}", "request_id": "1,a"}}'


@pytest.mark.parametrize(
    ("status", "body", "code", "kind"),
    [
        (403, error("CONCURRENCY_LIMIT_EXCEEDED"), "CONCURRENCY_LIMIT_EXCEEDED", "throttled"),
        (403, error("AUTHORIZATION_ERROR: Denied by Client"), "AUTHORIZATION_ERROR", "refused"),
        (403, error("INSUFFICIENT_PERMISSION:landmark"), "INSUFFICIENT_PERMISSION", "refused"),
        (403, error("NEW_KIND_OF_403"), "NEW_KIND_OF_403", "refused"),
        (400, error("INVALID_FACE_TOKEN:abc"), "INVALID_FACE_TOKEN", "absent"),
        (400, error("INVALID_FACESET_TOKEN"), "INVALID_FACESET_TOKEN", "absent"),
        (400, error("IMAGE_FILE_TOO_LARGE: image_file"), "IMAGE_FILE_TOO_LARGE", "photo"),
        (400, error("FACESET_QUOTA_EXCEEDED"), "FACESET_QUOTA_EXCEEDED", "quota"),
        (400, error("FACE_QUOTA_EXCEEDED"), "FACE_QUOTA_EXCEEDED", "quota"),
        (404, error("API_NOT_FOUND"), "API_NOT_FOUND", "fatal"),
        (500, error("INTERNAL_ERROR"), "INTERNAL_ERROR", "transient"),
        (413, "Request Entity Too Large", "413", "photo"),
        (429, error("slow down"), "slow down", "throttled"),
        (502, HTML, "UNREADABLE_ANSWER", "transient"),
        (200, HTML, "UNREADABLE_ANSWER", "transient"),
        (200, "[]", "UNREADABLE_ANSWER", "transient"),
        (200, '{"faces": [', "UNREADABLE_ANSWER", "transient"),
        (200, "{}", "KeyError", "fatal"),
    ],
)
def test_answers_that_the_emulator_does_not_give(
    connect: Connect, status: int, body: str, code: str, kind: str
) -> None:
    with canned(status, body) as (endpoint, seen):
        facepp = connect(endpoint)
        told = failure(facepp, lambda: facepp.detect(photo(0)))
        facepp.close()
    assert (told.code, told.kind) == (code, kind)
    assert [request.path for request in seen] == ["/facepp/v3/detect"]


def test_keys_echoed_by_the_service_are_cut_out(connect: Connect) -> None:
    with canned(401, error(f"AUTHENTICATION_ERROR: {' '.join(FACEPP_KEYS.values())}")) as (
        endpoint,
        _,
    ):
        facepp = connect(endpoint)
        told = failure(facepp, facepp.list_galleries)
        facepp.close()
    assert told.message.startswith("AUTHENTICATION_ERROR: [key] [key]. To do")


def test_redirects_are_not_followed(connect: Connect) -> None:
    with canned(302, HTML, Location="/elsewhere") as (endpoint, seen):
        facepp = connect(endpoint)
        failure(facepp, facepp.list_galleries)
        facepp.close()
    assert [request.path for request in seen] == ["/facepp/v3/faceset/getfacesets"]
