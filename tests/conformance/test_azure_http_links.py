"""Photos that a client names by their address, and the operations of Microsoft's SDK (1.0.0b2)
that the adapter never calls.
"""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from azure.ai.vision.face import FaceAdministrationClient, FaceClient
from azure.core.credentials import AzureKeyCredential

from tests.providers.stub_emulator import photo

Ask = Callable[..., requests.Response]
Error = Callable[[requests.Response], tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("ask")  # it starts every test with an empty resource
DETECTION: Any = {"detection_model": "detection_03", "recognition_model": "recognition_04"}


@pytest.fixture(scope="module")
def photos() -> Iterator[str]:
    """Serve the photo of person and variant as PERSON-VARIANT.png."""

    class Photos(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").removesuffix(".png")
            if name == "gone":
                self.send_error(404)
                return
            body = b"<html>" if name == "page" else photo(*map(int, name.split("-")))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Photos)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def faces(endpoint: str) -> Iterator[FaceClient]:
    with FaceClient(endpoint, AzureKeyCredential("k"), api_version="v1.2") as client:
        yield client


@pytest.fixture
def administration(endpoint: str) -> Iterator[FaceAdministrationClient]:
    with FaceAdministrationClient(
        endpoint, AzureKeyCredential("k"), api_version="v1.2", polling_interval=0
    ) as client:
        yield client


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_photos_by_their_address(ask: Ask, person: str, photos: str, content_type: str) -> None:
    body = f'{{"url": "{photos}/0-0.png", "unknown": [1]}}'.encode()
    headers = {"Content-Type": content_type}
    [row] = ask("POST", "/detect", data=body, headers=headers).json()
    assert row["faceRectangle"] == {"top": 10, "left": 10, "width": 60, "height": 60}
    added = ask("POST", f"{person}/persistedfaces", data=body, headers=headers)
    assert set(added.json()) == {"persistedFaceId"}


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("{photos}/gone", "InvalidURL", "error downloading from target server"),
        ("http://127.0.0.1:9/x", "InvalidURL", "error downloading from target server"),
        ("http://", "InvalidURL", "error downloading from target server"),
        ("file:///etc/hosts", "InvalidURL", "Invalid image URL."),
        ("photo.png", "InvalidURL", "Invalid image URL."),
        (5, "InvalidURL", "Invalid image URL."),
        (None, "InvalidURL", "Invalid image URL."),
        ("{photos}/page", "InvalidImageSize", "Image size is too small."),
    ],
)
def test_addresses_that_lead_nowhere(
    ask: Ask, photos: str, error: Error, url: Any, code: str, message: str
) -> None:
    body = {"url": url.format(photos=photos) if isinstance(url, str) else url}
    for path in ("/detect", "/facelists/c/persistedfaces"):
        ask("PUT", "/facelists/c", json={"name": "n"})
        status, told, text = error(ask("POST", path, json=body))
        assert (status, told) == (400, code)
        assert message in text


def test_the_sdk_detects_by_address(faces: FaceClient, photos: str) -> None:
    [face] = faces.detect_from_url(
        url=f"{photos}/1-0.png",
        **DETECTION,
        return_face_id=True,
        return_face_landmarks=True,
        return_recognition_model=True,
        return_face_attributes=["headPose", "mask", "blur", "qualityForRecognition"],
        face_id_time_to_live=120,
    )
    assert face.recognition_model == "recognition_04"
    assert face.face_landmarks is not None
    assert face.face_landmarks.under_lip_bottom.y > face.face_landmarks.pupil_left.y
    assert face.face_attributes is not None
    assert face.face_attributes.mask is not None
    assert face.face_attributes.mask.type == "noMask"
    assert face.face_attributes.quality_for_recognition == "low"


def test_the_sdk_compares_faces(faces: FaceClient, photos: str) -> None:
    ids = [
        str(face.face_id)
        for name in ("0-0", "0-1", "1-0", "2-0", "2-1", "2-2")
        for face in faces.detect_from_url(
            url=f"{photos}/{name}.png", **DETECTION, return_face_id=True
        )
    ]
    [found] = faces.find_similar(face_id=ids[0], face_ids=ids[1:])
    assert found.face_id == ids[1]
    everyone = faces.find_similar(
        face_id=ids[0], face_ids=ids[1:], mode="matchFace", max_num_of_candidates_returned=3
    )
    assert everyone[0].face_id == ids[1]
    assert len(everyone) == 3
    grouped = faces.group(face_ids=ids)
    assert grouped.groups == [ids[3:], ids[:2]]
    assert grouped.messy_group == [ids[2]]


def test_the_sdk_keeps_large_face_lists(
    faces: FaceClient, administration: FaceAdministrationClient, photos: str
) -> None:
    lists = administration.large_face_list
    lists.create("l", name="list", user_data="ours", recognition_model="recognition_04")
    first = lists.add_face_from_url("l", url=f"{photos}/0-0.png", user_data="first")
    second = lists.add_face(
        "l", photo(1), target_face=[10, 10, 60, 60], detection_model="detection_03"
    )
    lists.begin_train("l").result()
    assert lists.get_training_status("l").status == "succeeded"
    [probe] = faces.detect(photo(0, 2), **DETECTION, return_face_id=True)
    [found] = faces.find_similar_from_large_face_list(
        face_id=str(probe.face_id), large_face_list_id="l"
    )
    assert found.persisted_face_id == first.persisted_face_id
    lists.update_face("l", first.persisted_face_id, user_data="changed")
    assert lists.get_face("l", first.persisted_face_id).user_data == "changed"
    assert {face.persisted_face_id for face in lists.get_faces("l", top=10)} == {
        first.persisted_face_id,
        second.persisted_face_id,
    }
    lists.delete_face("l", first.persisted_face_id)
    lists.update("l", name="renamed")
    shown = lists.get("l", return_recognition_model=True)
    assert (shown.name, shown.user_data) == ("renamed", "ours")
    assert shown.recognition_model == "recognition_04"
    assert [row.large_face_list_id for row in lists.get_large_face_lists()] == ["l"]
    lists.delete("l")
    assert lists.get_large_face_lists() == []


def test_the_sdk_changes_groups(administration: FaceAdministrationClient, photos: str) -> None:
    groups = administration.large_person_group
    groups.create("g", name="group")
    person = groups.create_person("g", name="someone").person_id
    face = groups.add_face_from_url(
        "g", person, url=f"{photos}/0-0.png", user_data="a"
    ).persisted_face_id
    groups.update("g", user_data="ours")
    groups.update_person("g", person, name="someone else")
    groups.update_face("g", person, face, user_data="b")
    assert groups.get("g").user_data == "ours"
    assert groups.get_person("g", person).name == "someone else"
    assert groups.get_face("g", person, face).user_data == "b"
    groups.delete_face("g", person, face)
    groups.delete_person("g", person)
    assert groups.get_persons("g") == []
