"""The pictures that Face++ accepts, and the faces that it finds in them."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from audit.types import RecognisedFace
from providers.emulators.download import download
from providers.emulators.facepp_looks import looks, square
from providers.emulators.facepp_store import Face, FaceppStore
from providers.emulators.facepp_wire import Fields, ServiceError
from providers.emulators.images import read_header
from providers.emulators.recognition import FaceFinder

_BYTES_MAX = 2 * 1024 * 1024
_SIDE_PX = (48, 4096)
_FORMATS = {"JPEG", "PNG", "MPO"}  # MPO: a JPEG with more pictures behind it
_FACE_MIN_PX = 48
_FACE_MIN_SHARE = 1 / 48


@dataclass(frozen=True, slots=True)
class Names:
    """The four ways to name a face, numbered in compare. A token goes before a picture.

    Detect takes no token: its name there is empty.
    """

    token: str
    file: str
    base64: str
    url: str

    @property
    def all_missing(self) -> ServiceError:
        """Return the error for a request that names no face."""
        names = [self.url, self.file, self.base64, self.token]
        return ServiceError(400, f"MISSING_ARGUMENTS: {', '.join(filter(None, names))}")


PICTURE = Names("", "image_file", "image_base64", "image_url")
ONE = Names("face_token", "image_file", "image_base64", "image_url")
PAIR = tuple(
    Names(f"face_token{n}", f"image_file{n}", f"image_base64_{n}", f"image_url{n}") for n in (1, 2)
)


@dataclass(frozen=True, slots=True)
class Found:
    """The faces of a picture, largest first, each with a token of its own."""

    image_id: str
    faces: Sequence[Face]

    def shown(self) -> list[dict[str, Any]]:
        """Return the faces as answers list them."""
        return [
            {"face_token": face.token, "face_rectangle": face.looks["face_rectangle"]}
            for face in self.faces
        ]


class Pictures:
    """Finds the faces of a request's picture and keeps them for 72 hours."""

    def __init__(self, store: FaceppStore, finder: FaceFinder, clock: Callable[[], float]) -> None:
        self._store = store
        self._finder = finder
        self._clock = clock

    async def find(self, fields: Fields, names: Names, *, smallest_px: int = 0) -> Found:
        """Return the faces of at least this side; raises for a picture that is refused."""
        name, image = await _picture(fields, names)
        header = read_header(_refused_if_large(image, name))
        if header is None or header.format not in _FORMATS:
            raise _unreadable(name)
        sides = (header.width, header.height)
        if min(sides) < _SIDE_PX[0] or max(sides) > _SIDE_PX[1]:
            raise ServiceError(400, f"INVALID_IMAGE_SIZE: {name}")
        try:
            found = await self._finder(image)
        except ValueError as error:
            raise _unreadable(name) from error
        smallest = max(smallest_px, _FACE_MIN_PX, min(sides) * _FACE_MIN_SHARE)
        large = sorted((face for face in found if _side(face) >= smallest), key=_side, reverse=True)
        seen = await asyncio.to_thread(lambda: [looks(image, face) for face in large])
        image_id = base64.b64encode(hashlib.md5(image, usedforsecurity=False).digest()).decode()
        described = zip(seen, (face.embedding for face in large), strict=True)
        return Found(image_id, self._store.add_faces(image_id, described, self._clock()))


async def _picture(fields: Fields, names: Names) -> tuple[str, bytes]:
    """Return a picture and the name of the field that it came in; a file goes before the rest."""
    data, encoded, url = (
        fields.file(names.file),
        fields.text(names.base64),
        fields.text(names.url),
    )
    if data is not None:
        return names.file, data
    if encoded is not None:
        return names.base64, _decoded(encoded, names.base64)
    if url is not None:
        return names.url, await _downloaded(url, names.url)
    raise names.all_missing


def _decoded(text: str, name: str) -> bytes:
    """Decode base64 with or without padding, line breaks and a data URL's head."""
    try:
        return base64.b64decode(text.rpartition("base64,")[2] + "==")
    except (binascii.Error, ValueError) as error:
        raise _unreadable(name) from error


async def _downloaded(url: str, name: str) -> bytes:
    try:
        return await download(url, bytes_max=_BYTES_MAX)
    except ValueError as error:
        if isinstance(error.__cause__, requests.Timeout):
            raise ServiceError(412, f"IMAGE_DOWNLOAD_TIMEOUT: {name}") from error
        raise ServiceError(400, f"INVALID_IMAGE_URL: {name}") from error


def _refused_if_large(image: bytes, name: str) -> bytes:
    if len(image) > _BYTES_MAX:
        raise ServiceError(400, f"IMAGE_FILE_TOO_LARGE: {name}")
    return image


def _unreadable(name: str) -> ServiceError:
    return ServiceError(400, f"IMAGE_ERROR_UNSUPPORTED_FORMAT: {name}")


def _side(face: RecognisedFace) -> int:
    return square(face)["width"]
