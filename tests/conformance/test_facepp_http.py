"""How any client may speak to the Face++ emulator, and how it answers.

Sources: console.faceplusplus.com, documents 4888373, 4888381, 4888391; the requests of python-facepp,
of the Ruby, PHP and Android clients.
"""

import base64
import http.client
import http.server
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from providers.base import Rate
from providers.emulators.options import Options
from providers.emulators.server import running
from tests.providers.stub_emulator import CALIBRATION, StubRecogniser, photo

Ask = Callable[..., requests.Response]
KEY = {"api_key": "any", "api_secret": "any"}
REQUEST_ID = re.compile(r"\d{10},[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def facepp() -> Iterator[str]:
    with running("facepp", StubRecogniser(), CALIBRATION) as url:
        yield url


@pytest.fixture
def ask(facepp: str) -> Iterator[Ask]:
    requests.post(f"{facepp}/__emulator__/clear", timeout=10).raise_for_status()
    with requests.Session() as session:

        def ask(operation: str, files: Any = None, **fields: object) -> requests.Response:
            url = f"{facepp}/facepp/v3/{operation}"
            return session.post(url, data=KEY | fields, files=files, timeout=10)

        yield ask


@pytest.fixture
def picture() -> bytes:
    drawn: bytes = photo(1)
    return drawn


def faces_of(answer: requests.Response) -> int:
    assert answer.status_code == 200, answer.text
    return len(answer.json()["faces"])


def raw(facepp: str, request: bytes) -> bytes:
    host, _, port = urlsplit(facepp).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_every_answer_is_numbered_and_timed(ask: Ask) -> None:
    for answer in (ask("faceset/getfacesets"), ask("detect")):
        body = answer.json()
        assert REQUEST_ID.fullmatch(body["request_id"])
        assert isinstance(body["time_used"], int)
        assert body["time_used"] >= 0
        assert answer.headers["content-type"] == "application/json"
    assert body["error_message"] == "MISSING_ARGUMENTS: image_url, image_file, image_base64"


def test_keys() -> None:
    options = Options(keys=frozenset({"good"}))
    with running("facepp", StubRecogniser(), CALIBRATION, options=options) as url:

        def listed(**fields: str) -> tuple[int, str | None]:
            answer = requests.post(f"{url}/facepp/v3/faceset/getfacesets", fields, timeout=10)
            return answer.status_code, answer.json().get("error_message")

        assert listed() == (400, "MISSING_ARGUMENTS: api_key")
        assert listed(api_key="", api_secret="s") == (400, "MISSING_ARGUMENTS: api_key")
        assert listed(api_key="good") == (400, "MISSING_ARGUMENTS: api_secret")
        assert listed(api_key="wrong", api_secret="s") == (401, "AUTHENTICATION_ERROR")
        assert listed(api_key="good", api_secret="s") == (200, None)


def test_an_account_that_is_not_let_in() -> None:
    options = Options(gated=True)
    with running("facepp", StubRecogniser(), CALIBRATION, options=options) as url:
        answer = requests.post(f"{url}/facepp/v3/detect", data=KEY, timeout=10)
    assert answer.status_code == 403
    assert answer.json() == {"error_message": "AUTHORIZATION_ERROR:Denied by Admin"}


def test_paths_that_there_are_not(facepp: str) -> None:
    for method, path in [("POST", "v3/nothing"), ("POST", "v1/detect"), ("GET", "v3/detect")]:
        answer = requests.request(method, f"{facepp}/facepp/{path}", data=KEY, timeout=10)
        assert (answer.status_code, answer.json()) == (404, {"error_message": "API_NOT_FOUND"})


def test_slashes_too_many_are_let_pass(facepp: str) -> None:
    answer = requests.post(f"{facepp}//facepp/v3/faceset/getfacesets/", data=KEY, timeout=10)
    assert answer.json()["facesets"] == []


def test_a_request_that_is_too_large_is_told_so_in_plain_text(ask: Ask) -> None:
    answer = ask("detect", {"image_file": bytes(8 * MIB)})
    assert (answer.status_code, answer.text) == (413, "Request Entity Too Large")
    assert answer.headers["content-type"].startswith("text/plain")


def test_fields_in_the_query(facepp: str, picture: bytes) -> None:
    url = f"{facepp}/facepp/v3/detect?{urlencode(KEY)}"
    assert faces_of(requests.post(url, files={"image_file": picture}, timeout=10)) == 1
    url = f"{facepp}/facepp/v3/faceset/create?{urlencode(KEY | {'outer_id': 'query'})}"
    assert requests.post(url, timeout=10).json()["outer_id"] == "query"


def test_unknown_and_empty_fields_do_not_matter(ask: Ask, picture: bytes) -> None:
    empty = {"calculate_all": "0", "face_rectangle": "", "return_attributes": "", "image_url": ""}
    answer = ask("detect", {"image_file": ("a.png", picture)}, start=1, outer_ids="x", **empty)
    assert faces_of(answer) == 1
    created = ask("faceset/create", outer_id="", tags="", display_name="", face_token="")
    assert created.json()["outer_id"] == ""
    listed = ask("faceset/getfacesets", tags="", start="").json()["facesets"]
    assert [faceset["outer_id"] for faceset in listed] == [""]


def test_a_file_goes_before_base64_and_base64_before_a_link(ask: Ask, picture: bytes) -> None:
    encoded, broken = base64.b64encode(picture).decode(), "http://127.0.0.1:1/none"
    assert faces_of(ask("detect", {"image_file": picture}, image_base64="?", image_url=broken)) == 1
    assert faces_of(ask("detect", image_base64=encoded, image_url=broken)) == 1
    answer = ask("detect", {"image_file": b"text"}, image_base64=encoded)
    assert answer.json()["error_message"] == "IMAGE_ERROR_UNSUPPORTED_FORMAT: image_file"


@pytest.mark.parametrize("form", ["urlencoded", "multipart"])
def test_base64_as_clients_write_it(ask: Ask, picture: bytes, form: str) -> None:
    files = {"nothing": b"x"} if form == "multipart" else None
    encoded = base64.b64encode(picture).decode()
    for text in (
        encoded,
        encoded.rstrip("="),
        base64.encodebytes(picture).decode(),
        f"data:image/png;base64,{encoded}",
    ):
        assert faces_of(ask("detect", files, image_base64=text)) == 1


def test_text_is_utf_8_percent_encoded_or_not(facepp: str, ask: Ask) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    body = f"{urlencode(KEY)}&outer_id=人脸".encode()
    url = f"{facepp}/facepp/v3/faceset/create"
    created = requests.post(url, data=body, headers=headers, timeout=10).json()
    assert created["outer_id"] == "人脸"
    assert ask("faceset/getdetail", outer_id="人脸").ok
    assert ask("faceset/getdetail", {"outer_id": (None, "人脸")}).ok


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="image_file"',
        'form-data; name="image_file"; filename="a.png"',
        'file; name="image_file"; filename="a.png"',
    ],
)
def test_parts_as_clients_write_them(facepp: str, picture: bytes, disposition: str) -> None:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in KEY.items()
    ]
    head = f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
    body = b"".join([*parts, head, picture, b"\r\n--b--\r\n"])
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    url = f"{facepp}/facepp/v3/detect"
    assert faces_of(requests.post(url, data=body, headers=headers, timeout=10)) == 1


def test_a_broken_form_has_no_fields(facepp: str) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=b", "text/plain"):
        headers = {"Content-Type": content_type}
        url = f"{facepp}/facepp/v3/detect"
        answer = requests.post(url, data=b"api_key=x", headers=headers, timeout=10)
        assert answer.json()["error_message"] == "MISSING_ARGUMENTS: api_key"


def test_a_client_that_waits_to_be_asked_for_the_body(facepp: str, picture: bytes) -> None:
    fields = KEY | {"image_base64": base64.b64encode(picture).decode()}
    body = urlencode(fields).encode()
    head = (
        "POST /facepp/v3/detect HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        "Expect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    host, _, port = urlsplit(facepp).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["faces"]) == 1


def test_chunked_bodies_and_http_1_0(facepp: str) -> None:
    body = urlencode(KEY).encode()
    kind = "Content-Type: application/x-www-form-urlencoded\r\n"
    old = (
        f"POST /facepp/v3/faceset/getfacesets HTTP/1.0\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    )
    assert b'"facesets":[' in raw(facepp, old.encode() + body)
    connection = http.client.HTTPConnection(urlsplit(facepp).netloc, timeout=10)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    path, chunks = "/facepp/v3/faceset/getfacesets", iter([body[:5], body[5:]])
    connection.request("POST", path, chunks, headers, encode_chunked=True)
    assert "facesets" in json.load(connection.getresponse())
    connection.close()


@pytest.fixture
def site(picture: bytes) -> Iterator[str]:
    """Serve the picture at every path but /none, where there is nothing."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if self.path == "/none" else 200)
            self.end_headers()
            self.wfile.write(picture)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_pictures_by_their_address(ask: Ask, site: str) -> None:
    assert faces_of(ask("detect", image_url=f"{site}/a.png")) == 1
    for url in (f"{site}/none", "http://127.0.0.1:1/", "no address", "file:///etc/hosts"):
        answer = ask("detect", image_url=url)
        assert answer.status_code == 400
        assert answer.json()["error_message"] == "INVALID_IMAGE_URL: image_url"


def test_a_picture_that_is_not_sent_in_time(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.emulators.download._TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        answer = ask("compare", image_url1=url, image_url2=url)
    assert answer.status_code == 412
    assert answer.json()["error_message"] == "IMAGE_DOWNLOAD_TIMEOUT: image_url1"


def test_faults_have_the_services_own_form(ask: Ask, facepp: str) -> None:
    def disturbed(kind: str) -> requests.Response:
        rules = {"rules": [{"operation": "faceset/getfacesets", "kind": kind}]}
        requests.post(f"{facepp}/__emulator__/faults", json=rules, timeout=10).raise_for_status()
        return ask("faceset/getfacesets")

    throttled, defect, down = (disturbed(kind) for kind in ("429", "500", "503"))
    assert throttled.status_code == 403
    assert throttled.json()["error_message"] == "CONCURRENCY_LIMIT_EXCEEDED"
    assert REQUEST_ID.fullmatch(throttled.json()["request_id"])
    assert (defect.status_code, defect.json()["error_message"]) == (500, "INTERNAL_ERROR")
    assert (down.status_code, down.text.startswith("<html>")) == (503, True)
    assert "retry-after" not in throttled.headers


def test_a_rate_that_is_exceeded() -> None:
    options = Options(rate=Rate(1, 60.0), clock=lambda: 1_700_000_000.0)
    with running("facepp", StubRecogniser(), CALIBRATION, options=options) as url:
        first, second = (
            requests.post(f"{url}/facepp/v3/faceset/getfacesets", data=KEY, timeout=10)
            for _ in range(2)
        )
        log = requests.get(f"{url}/__emulator__/log", timeout=10).json()
    assert first.json()["request_id"].startswith("1700000000,")
    assert second.status_code == 403
    assert second.json()["error_message"] == "CONCURRENCY_LIMIT_EXCEEDED"
    assert [(entry["operation"], entry["status"]) for entry in log] == [
        ("faceset/getfacesets", 200),
        ("faceset/getfacesets", 403),
    ]
