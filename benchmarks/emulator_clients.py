"""Emulators as processes of their own, and clients of them for benchmarks.

The clients are bare keep-alive HTTP: an SDK's own work would be measured with the emulator's.
"""

import base64
import json
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

_ANSWER_WITHIN_S = 120
_BOUNDARY = "3f1c0a"


@contextmanager
def started(*command: str) -> Iterator[tuple[str, int]]:
    """Run a Python command that serves an emulator; yield its URL and process id."""
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("listening on ").strip(), process.pid
        finally:
            process.terminate()


class Client(ABC):
    """One keep-alive connection to a service's emulator.

    `seconds` are those that each request with a photo took; `requests` counts the others too.
    """

    gallery_faces_max = 1_000_000

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=_ANSWER_WITHIN_S)
        self.seconds: list[float] = []
        self.requests = 0

    @abstractmethod
    def create(self, gallery: str) -> None:
        """Create an empty gallery."""

    def add_person(self, gallery: str, name: str) -> str:
        """Return the id of a new person."""
        del gallery
        return name

    @abstractmethod
    def enrol(self, gallery: str, person: str, photo: bytes) -> None:
        """Add the one face of a photo to a person."""

    def train(self, gallery: str) -> None:
        """Make a gallery ready for identification, where that takes a request."""
        del gallery

    @abstractmethod
    def identify(self, gallery: str, photo: bytes) -> int:
        """Return how many candidates are offered for the one face of a photo."""

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes, *, photo: bool
    ) -> Any:
        began = time.perf_counter()
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        text = response.read()
        self.requests += 1
        if photo:
            self.seconds.append(time.perf_counter() - began)
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {text[:300]!r}")
        return json.loads(text) if text else None


class Azure(Client):
    """Persons of a large person group."""

    def create(self, gallery: str) -> None:
        self._ask("PUT", _group(gallery), {"name": gallery, "recognitionModel": "recognition_04"})

    def add_person(self, gallery: str, name: str) -> str:
        person: str = self._ask("POST", f"{_group(gallery)}/persons", {"name": name})["personId"]
        return person

    def enrol(self, gallery: str, person: str, photo: bytes) -> None:
        self._ask("POST", f"{_group(gallery)}/persons/{person}/persistedfaces", photo)

    def train(self, gallery: str) -> None:
        self._ask("POST", f"{_group(gallery)}/train", {})

    def identify(self, gallery: str, photo: bytes) -> int:
        [face] = self._ask("POST", "detect?recognitionModel=recognition_04", photo)
        asked = {
            "faceIds": [face["faceId"]],
            "largePersonGroupId": gallery,
            "maxNumOfCandidatesReturned": 100,
            "confidenceThreshold": 0,
        }
        return len(self._ask("POST", "identify", asked)[0]["candidates"])

    def _ask(self, method: str, path: str, body: bytes | dict[str, Any]) -> Any:
        is_photo = isinstance(body, bytes)
        headers = {
            "Ocp-Apim-Subscription-Key": "benchmark",
            "Content-Type": "application/octet-stream" if is_photo else "application/json",
        }
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._send(method, f"/face/v1.2/{path}", headers, sent, photo=is_photo)


class Rekognition(Client):
    """Faces of a collection."""

    def create(self, gallery: str) -> None:
        self._ask("CreateCollection", CollectionId=gallery)

    def enrol(self, gallery: str, person: str, photo: bytes) -> None:
        found = self._ask(
            "IndexFaces",
            CollectionId=gallery,
            Image=_image(photo),
            ExternalImageId=person,
            MaxFaces=1,
            QualityFilter="NONE",
        )
        assert len(found["FaceRecords"]) == 1, found

    def identify(self, gallery: str, photo: bytes) -> int:
        found = self._ask(
            "SearchFacesByImage",
            CollectionId=gallery,
            Image=_image(photo),
            FaceMatchThreshold=0,
            MaxFaces=4096,
        )
        return len(found["FaceMatches"])

    def _ask(self, operation: str, **parameters: Any) -> Any:
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"RekognitionService.{operation}",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/rekognition/"
            f"aws4_request, SignedHeaders=host, Signature={64 * '0'}",
        }
        body = json.dumps(parameters).encode()
        return self._send("POST", "/", headers, body, photo="Image" in parameters)


class Facepp(Client):
    """Faces of a FaceSet."""

    gallery_faces_max = 10_000

    def create(self, gallery: str) -> None:
        self._ask("faceset/create", outer_id=gallery)

    def enrol(self, gallery: str, person: str, photo: bytes) -> None:
        token = self._detect(photo)
        self._ask("face/setuserid", face_token=token, user_id=person)
        added = self._ask("faceset/addface", outer_id=gallery, face_tokens=token)
        assert added["face_added"] == 1, added

    def identify(self, gallery: str, photo: bytes) -> int:
        asked = {"outer_id": gallery, "face_token": self._detect(photo)}
        return len(self._ask("search", None, **asked, return_result_count="5")["results"])

    def _detect(self, photo: bytes) -> str:
        [face] = self._ask("detect", photo)["faces"]
        token: str = face["face_token"]
        return token

    def _ask(self, operation: str, photo: bytes | None = None, **fields: str) -> Any:
        fields |= {"api_key": "key", "api_secret": "secret"}
        if photo is None:
            content_type, body = "application/x-www-form-urlencoded", urlencode(fields).encode()
        else:
            content_type, body = f"multipart/form-data; boundary={_BOUNDARY}", _form(fields, photo)
        headers, path = {"Content-Type": content_type}, f"/facepp/v3/{operation}"
        return self._send("POST", path, headers, body, photo=photo is not None)


CLIENTS: dict[str, type[Client]] = {
    "azure": Azure,
    "rekognition": Rekognition,
    "facepp": Facepp,
}


def distinct(photos: Sequence[bytes], start: int, count: int) -> list[bytes]:
    """Return files of which no two are equal bytes, from `start` on: what follows a PNG's end."""
    return [
        photos[number % len(photos)] + number.to_bytes(8, "big")
        for number in range(start, start + count)
    ]


def _group(gallery: str) -> str:
    return f"largepersongroups/{gallery}"


def _image(photo: bytes) -> dict[str, str]:
    return {"Bytes": base64.b64encode(photo).decode()}


def _form(fields: dict[str, str], photo: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name="
    texts = [f'{head}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    file = f'{head}"image_file"; filename="photo.png"\r\nContent-Type: image/png\r\n\r\n'
    return "".join([*texts, file]).encode() + photo + f"\r\n--{_BOUNDARY}--\r\n".encode()
