"""Rekognition's protocol on the wire: signatures, encodings, throttles, and who retries them."""

import base64
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from botocore import UNSIGNED

from providers.base import Rate
from tests.conformance.rekognition_client import ONCE, connect
from tests.providers.stub_emulator import photo

SCOPE = "AKID/20260101/us-east-1/rekognition/aws4_request"
SIGNATURE = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature={'0' * 64}"
HEADERS = {
    "Authorization": SIGNATURE,
    "X-Amz-Date": "20260101T000000Z",
    "X-Amz-Target": "RekognitionService.ListCollections",
    "Content-Type": "application/x-amz-json-1.1",
}
Start = Callable[..., Any]


@pytest.fixture(scope="module")
def module_url(emulator: Callable[..., str]) -> str:
    return emulator("rekognition")


@pytest.fixture
def url(module_url: str) -> str:
    requests.post(f"{module_url}/__emulator__/clear", timeout=10).raise_for_status()
    return module_url


def post(url: str, **changes: str | None) -> requests.Response:
    """Ask with other headers (their names with underscores), None = without that one."""
    sent: dict[str, str | None] = dict(HEADERS)
    sent |= {name.replace("_", "-"): value for name, value in changes.items()}
    headers = {name: value for name, value in sent.items() if value is not None}
    return requests.post(url, data=b"{}", headers=headers, timeout=10)


def code(answer: requests.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["__type"] == body["Code"]
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-RequestId"]
    return answer.status_code, body["Code"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Authorization": None}, "MissingAuthenticationTokenException"),
        ({"Authorization": "Bearer token"}, "IncompleteSignatureException"),
        ({"Authorization": SIGNATURE[:-1]}, "IncompleteSignatureException"),
        ({"X_Amz_Date": None}, "IncompleteSignatureException"),
        (
            {"Authorization": SIGNATURE.replace("rekognition", "s3")},
            "InvalidSignatureException",
        ),
    ],
)
def test_requests_without_a_signature(
    url: str, changes: dict[str, str | None], expected: str
) -> None:
    assert code(post(url, **changes)) == (400, expected)


def test_signatures_in_other_hands(url: str) -> None:
    tight = SIGNATURE.replace(", ", ",")
    assert post(url, Authorization=tight).status_code == 200
    dated = post(url, X_Amz_Date=None, Date="Thu, 01 Jan 2026 00:00:00 GMT")
    assert dated.status_code == 200


def test_keys(emulator: Callable[..., str]) -> None:
    url = emulator("rekognition", keys=frozenset({"AKIDKNOWN"}))
    connect(url, key="AKIDKNOWN").list_collections()
    with pytest.raises(connect(url).exceptions.ClientError, match="UnrecognizedClientException"):
        connect(url).list_collections()
    nobody = connect(url, signature_version=UNSIGNED)
    with pytest.raises(nobody.exceptions.ClientError, match="MissingAuthenticationToken"):
        nobody.list_collections()


def test_an_account_without_permission(start: Start) -> None:
    denied = start(gated=True)
    with pytest.raises(denied.exceptions.AccessDeniedException, match="rekognition:DetectFaces"):
        denied.detect_faces(Image={"Bytes": b"x"})


@pytest.mark.parametrize(
    "target",
    [
        None,
        "RekognitionService.DetectLabels",
        "RekognitionService.Unknown",
        "Rekognition.ListCollections",
    ],
)
def test_unknown_operations(url: str, target: str | None) -> None:
    assert code(post(url, X_Amz_Target=target)) == (400, "UnknownOperationException")
    log = requests.get(f"{url}/__emulator__/log", timeout=10).json()
    assert [(entry["operation"], entry["status"]) for entry in log] == [("Unknown", 400)]


def test_other_paths_and_methods(url: str) -> None:
    assert code(post(f"{url}/2016-06-27")) == (400, "UnknownOperationException")
    answer = requests.get(url, headers=HEADERS, timeout=10)
    assert code(answer) == (400, "UnknownOperationException")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-amz-json-1.1; charset=utf-8",
        "application/x-amz-json-1.0",
        "application/json",
        None,
    ],
)
def test_content_types(url: str, content_type: str | None) -> None:
    answer = post(url, Content_Type=content_type)
    assert (answer.status_code, answer.json()["CollectionIds"]) == (200, [])


def test_a_chunked_body_with_lower_case_headers(url: str) -> None:
    body = json.dumps({"Image": {"Bytes": base64.b64encode(photo(1)).decode()}}).encode()
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    headers = {name.lower(): value for name, value in HEADERS.items()}
    headers |= {
        "x-amz-target": "RekognitionService.DetectFaces",
        "transfer-encoding": "chunked",
        "amz-sdk-request": "attempt=1; max=3",
    }
    chunks = (body[start : start + 1000] for start in range(0, len(body), 1000))
    connection.request("POST", "/", chunks, headers, encode_chunked=True)
    answer = json.load(connection.getresponse())
    connection.close()
    assert len(answer["FaceDetails"]) == 1


def exchange(url: str, version: str, *headers: str) -> Iterator[bytes]:
    """Send a request's head; yield what comes, then the answer to its body."""
    host = urlsplit(url)
    lines = [f"POST / {version}", "Host: x", "Content-Length: 2", *headers]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    with socket.create_connection((host.hostname, host.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        if headers:
            yield connection.recv(4096)
        connection.sendall(b"{}")
        yield connection.makefile("rb").read()


def test_a_body_that_waits_to_be_asked_for(url: str) -> None:
    waiting = exchange(url, "HTTP/1.1", "Expect: 100-continue", "Connection: close")
    assert next(waiting).startswith(b"HTTP/1.1 100 ")
    head, _, body = next(waiting).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["CollectionIds"] == []


def test_http_1_0(url: str) -> None:
    [answer] = exchange(url, "HTTP/1.0")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["FaceModelVersions"] == []


def disturb(url: str, kind: str, **more: Any) -> None:
    rules = {"rules": [{"kind": kind, **more}]}
    requests.post(f"{url}/__emulator__/faults", json=rules, timeout=10).raise_for_status()


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("429", 400, "ProvisionedThroughputExceededException"),
        ("500", 500, "InternalServerError"),
        ("503", 503, "ServiceUnavailableException"),
    ],
)
def test_failures(url: str, kind: str, status: int, expected: str) -> None:
    disturb(url, kind, retry_after_s=1.25)
    answer = post(url)
    assert code(answer) == (status, expected)
    assert answer.headers["x-amz-retry-after"] == "1250"
    disturb(url, kind)
    assert "x-amz-retry-after" not in post(url).headers


@pytest.mark.parametrize("kind", ["429", "500"])
@pytest.mark.parametrize(
    ("retries", "attempts"),
    [
        ({"mode": "standard"}, 3),
        (ONCE, 1),
    ],
)
def test_who_retries(url: str, kind: str, retries: dict[str, Any], attempts: int) -> None:
    """A default SDK asks three times; one that was told not to asks once."""
    disturb(url, kind, retry_after_s=0.001)
    asking = connect(url, retries=retries)
    with pytest.raises(asking.exceptions.ClientError) as caught:
        asking.list_collections()
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == attempts - 1
    log = requests.get(f"{url}/__emulator__/log", timeout=10).json()
    assert [entry["operation"] for entry in log] == ["ListCollections"] * attempts
    assert {entry["fault"] for entry in log} == {kind}


def test_a_rate(start: Start) -> None:
    asking = start(rate=Rate(2, 60), clock=lambda: 1_700_000_000.0)
    for _ in range(2):
        asking.list_collections()
    with pytest.raises(
        asking.exceptions.ProvisionedThroughputExceededException, match="Provisioned Rate exceeded"
    ) as caught:
        asking.list_collections()
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-retry-after"] == "60000"


def test_a_lost_answer_and_its_retry(url: str) -> None:
    """The collection is there although nobody heard of it."""
    disturb(url, "lost_response", operation="CreateCollection")
    asking = connect(url)
    with pytest.raises(Exception, match="Connection was closed"):
        asking.create_collection(CollectionId="c")
    assert asking.list_collections()["CollectionIds"] == ["c"]
    disturb(url, "429", operation="DeleteUser")
    with pytest.raises(asking.exceptions.ResourceAlreadyExistsException):
        asking.create_collection(CollectionId="c")
