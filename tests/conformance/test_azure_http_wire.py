"""Requests as clients send them that this project did not write: raw sockets, odd paths, tokens."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from providers.emulators.options import Options
from providers.emulators.server import running
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

Ask = Callable[..., requests.Response]
Error = Callable[[requests.Response], tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("ask")  # it starts every test with an empty resource
KEY = "Ocp-Apim-Subscription-Key: any\r\n"
KEYS = {"Ocp-Apim-Subscription-Key": "any"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def connection(endpoint: str) -> Iterator[socket.socket]:
    address = urlsplit(endpoint)
    with socket.create_connection((address.hostname, address.port or 0), timeout=10) as opened:
        yield opened


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer; the connection may stay open."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return status, headers, stream.read(int(headers["content-length"]))


def is_closed(connection: socket.socket) -> bool:
    return connection.recv(1) == b""


def test_http_1_0(connection: socket.socket) -> None:
    connection.sendall(f"GET /face/v1.0/persongroups HTTP/1.0\r\n{KEY}\r\n".encode())
    status, _, body = read_answer(connection)
    assert (status, body) == (200, b"[]")
    assert is_closed(connection)


def test_a_photo_over_http_1_0(connection: socket.socket) -> None:
    picture = photo(0)
    head = "POST /face/v1.0/detect HTTP/1.0\r\nContent-Type: application/octet-stream\r\n"
    connection.sendall(f"{head}{KEY}Content-Length: {len(picture)}\r\n\r\n".encode() + picture)
    status, _, body = read_answer(connection)
    assert (status, len(json.loads(body))) == (200, 1)


def test_one_connection_serves_many_requests(connection: socket.socket) -> None:
    for name in ("a", "b"):
        body = json.dumps({"name": name})
        head = f"PUT /face/v1.2/persongroups/{name} HTTP/1.1\r\nHost: x\r\n{KEY}"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        status, headers, answer = read_answer(connection)
        assert (status, answer, headers["content-length"]) == (200, b"", "0")
    head = "GET /face/v1.2/persongroups HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    connection.sendall(f"{head}{KEY}\r\n".encode())
    assert [row["name"] for row in json.loads(read_answer(connection)[2])] == ["a", "b"]
    assert is_closed(connection)


def test_chunked_upload(connection: socket.socket) -> None:
    head = "POST /face/v1.2/detect?returnFaceId=false HTTP/1.1\r\nHost: x\r\n"
    head += "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n"
    connection.sendall(f"{head}{KEY}\r\n".encode())
    picture = photo(0)
    for start in range(0, len(picture), 1000):
        chunk = picture[start : start + 1000]
        connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    status, _, body = read_answer(connection)
    rectangle = {"top": 10, "left": 10, "width": 60, "height": 60}
    assert (status, json.loads(body)) == (200, [{"faceRectangle": rectangle}])


def test_a_client_that_waits_before_its_body(connection: socket.socket) -> None:
    head = "PUT /face/v1.2/facelists/c HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    connection.sendall(f"{head}{KEY}Content-Length: 12\r\n\r\n".encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    connection.sendall(b'{"name":"n"}')
    assert read_answer(connection)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/face/v1.0/persongroups",
        "/face/v1.0-preview/persongroups",
        "/face/v1.3-preview.1/persongroups/",
        "//face/v1.2//persongroups",
        "/Face/V1.0/PersonGroups",
    ],
)
def test_paths_as_clients_write_them(connection: socket.socket, path: str) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{KEY}\r\n".encode())
    assert read_answer(connection)[2] == b"[]"


def test_an_endpoint_with_a_slash_at_its_end(endpoint: str) -> None:
    url = f"{endpoint}//face/v1.2/persongroups/c"
    assert requests.put(url, json={"name": "n"}, headers=KEYS, timeout=10).status_code == 200
    train = requests.post(f"{url}/train/", headers=KEYS, timeout=10)
    status = requests.get(train.headers["operation-Location"], headers=KEYS, timeout=10)
    assert status.json()["status"] == "failed"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/face/v1.2"),
        ("GET", "/face/v1.2/dynamicpersongroups"),
        ("PUT", "/face/v1.2/detect"),
        ("POST", "/face/v1.2/persongroups/a/b/c"),
    ],
)
def test_unknown_paths_and_methods(endpoint: str, error: Error, method: str, path: str) -> None:
    answer = requests.request(method, f"{endpoint}{path}", headers=KEYS, timeout=10)
    assert error(answer) == (404, "404", "Resource not found")


def test_every_answer_has_an_id_of_its_own(endpoint: str, ask: Ask) -> None:
    url = f"{endpoint}/face/v1.2/facelists"
    answers = [
        ask("GET", "/facelists"),
        ask("GET", "/facelists/none"),
        requests.get(url, timeout=10),
    ]
    ids = {answer.headers["apim-request-id"] for answer in answers}
    assert len(ids) == 3
    assert all(UUID.fullmatch(one) for one in ids)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Ocp-Apim-Subscription-Key": "right"}, 200),
        ({"Authorization": "Bearer right"}, 200),
        ({"Authorization": "bearer right"}, 200),
        ({"Ocp-Apim-Subscription-Key": "wrong"}, 401),
        ({"Ocp-Apim-Subscription-Key": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic right"}, 401),
        ({}, 401),
    ],
)
def test_keys_and_tokens(guarded: str, headers: dict[str, str], status: int) -> None:
    answer = requests.get(f"{guarded}/face/v1.2/facelists", headers=headers, timeout=10)
    assert answer.status_code == status
    assert answer.headers.get("x-ms-error-code") == (None if status == 200 else "401")


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """Start an emulator with one key and without Microsoft's approval."""
    options = Options(keys=frozenset({"right"}), gated=True)
    with running("azure", StubRecogniser(), CALIBRATION, options=options) as url:
        yield url


FEATURE = "Feature is not supported, missing approval for one or more of the following features: "
ASK = "Please apply for access at https://aka.ms/facerecognition"
NOT_APPROVED = {
    "code": "UnsupportedFeature",
    "message": f"{FEATURE}Identification,Verification. {ASK}",
}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.2", NOT_APPROVED),
        (
            "v1.0",
            {
                "code": "InvalidRequest",
                "message": "Invalid request has been sent.",
                "innererror": NOT_APPROVED,
            },
        ),
    ],
)
@pytest.mark.parametrize("path", ["detect", "identify", "verify", "findsimilars", "group"])
def test_what_needs_approval(
    guarded: str, version: str, path: str, expected: dict[str, Any]
) -> None:
    url, headers = f"{guarded}/face/{version}/{path}", {"Ocp-Apim-Subscription-Key": "right"}
    answer = requests.post(url, json={}, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()) == (403, {"error": expected})
    assert answer.headers["x-ms-error-code"] == expected["code"]


def test_what_needs_none(guarded: str) -> None:
    headers = {"Ocp-Apim-Subscription-Key": "right", "Content-Type": "application/octet-stream"}
    url = f"{guarded}/face/v1.2/detect?returnFaceId=false"
    answer = requests.post(url, photo(0), headers=headers, timeout=10)
    assert [set(row) for row in answer.json()] == [{"faceRectangle"}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"name": "\\ud800"}',
        b"[" * 100_000,
        b'{"name": "\xff"}',
        b"null",
        b'"text"',
    ],
)
def test_bodies_that_are_no_json_object(ask: Ask, error: Error, body: bytes) -> None:
    for method, path in (("PUT", "/facelists/c"), ("POST", "/identify"), ("POST", "/group")):
        headers = {"Content-Type": "application/json"}
        status, code, _ = error(ask(method, path, data=body, headers=headers))
        assert (status, code) == (400, "BadArgument")


def test_identify_knows_groups_of_both_kinds(ask: Ask, error: Error) -> None:
    face = ask("POST", "/detect", data=photo(0)).json()[0]["faceId"]
    people = {}
    for kind, field in (
        ("persongroups", "personGroupId"),
        ("largepersongroups", "largePersonGroupId"),
    ):
        ask("PUT", f"/{kind}/c", json={"name": "n"})
        person = ask("POST", f"/{kind}/c/persons", json={"name": "n"}).json()["personId"]
        query = {"faceIds": [face], field: "c"}
        noun = f"{field[0].upper()}{field[1:-2]}"
        assert error(ask("POST", "/identify", json=query))[1] == f"{noun}NotTrained"
        ask("POST", f"/{kind}/c/persons/{person}/persistedfaces", data=photo(0))
        ask("POST", f"/{kind}/c/train")
        [answer] = ask("POST", "/identify", json=query).json()
        people[field] = answer["candidates"][0]["personId"]
        assert people[field] == person
        body = {"faceId": face, "personId": person, field: "c"}
        assert ask("POST", "/verify", json=body).json()["isIdentical"] is True
        status, code, text = error(ask("POST", "/verify", json=body | {field: "none"}))
        assert (status, code) == (400, f"{noun}NotFound")
        assert text.endswith("Group is not found.")
    assert people["personGroupId"] != people["largePersonGroupId"]
    both = {"faceIds": [face], "personGroupId": "c", "largePersonGroupId": "c"}
    assert error(ask("POST", "/identify", json=both)) == (
        400,
        "PersonGroupIdAndLargePersonGroupIdBothNotNull",
        "Large person group ID and person group ID are both not null.",
    )
