"""The pictures that Azure Face accepts, and the faces that it sees in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from audit.types import RecognisedFace
from providers.emulators.azure_wire import (
    DETECTION_MODELS,
    ServiceError,
    bad_argument,
    json_body,
    model,
)
from providers.emulators.download import download
from providers.emulators.images import ImageHeader, read_header, smallest_face_px
from providers.emulators.recognition import FaceFinder

FACE_USER_DATA_MAX = 1024
_BYTES_MIN = 1024
_BYTES_MAX = 6 * 1024 * 1024
_SIDE_MAX = 4096
_FORMATS = {"JPEG", "PNG", "GIF", "BMP", "MPO"}  # MPO: a JPEG with more pictures behind it
_FACE_MIN_PX = 36
_FACES_MAX = 100


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """The faces of a picture, largest first, and the picture's size."""

    faces: Sequence[RecognisedFace]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class NewFace:
    """A face to be stored."""

    user_data: str | None
    embedding: Sequence[float]


async def image_body(request: Request) -> bytes:
    """Return the picture that a request carries, or that its JSON body names by a link."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/octet-stream":
        return await request.body()
    if content_type != "application/json":
        raise ServiceError(415, "BadArgument", "Invalid Media Type.")
    url = (await json_body(request)).get("url")
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        raise ServiceError(400, "InvalidURL", "Invalid image URL.")
    try:
        return await download(url, bytes_max=_BYTES_MAX)
    except ValueError as error:
        raise ServiceError(
            400,
            "InvalidURL",
            "Invalid image URL or error downloading from target server. Remote server error "
            'returned: "An error occurred while sending the request."',
        ) from error


async def new_face(finder: FaceFinder, request: Request) -> NewFace:
    """Return the one face that a request wants stored; raises for a picture that is refused."""
    query = request.query_params
    model(query.get("detectionModel"), DETECTION_MODELS, "detectionModel")
    user_data = query.get("userData")
    if user_data is not None and len(user_data) > FACE_USER_DATA_MAX:
        raise bad_argument("'userData' is too long.")
    found = await find_faces(finder, await image_body(request))
    face = _chosen_face(found, query.get("targetFace") or None)
    return NewFace(user_data, face.embedding)


async def find_faces(finder: FaceFinder, image: bytes) -> FoundFaces:
    """Return the faces that are large enough; raises for a picture that is refused."""
    header = _checked(image)
    try:
        found = await finder(image)
    except ValueError as error:
        raise _undecodable() from error
    smallest = smallest_face_px(header.width, header.height, _FACE_MIN_PX)
    faces = [face for face in found if min(face.width, face.height) >= smallest]
    faces.sort(key=lambda face: face.width * face.height, reverse=True)
    return FoundFaces(faces[:_FACES_MAX], header.width, header.height)


def _chosen_face(found: FoundFaces, target: str | None) -> RecognisedFace:
    """Return the one face, or with a target "left,top,width,height" the one that it covers best."""
    faces = found.faces
    if target is not None:
        box = _target_box(target, found)
        faces = sorted(
            (face for face in faces if _overlap(face, box)),
            key=lambda face: _overlap(face, box),
            reverse=True,
        )[:1]
    if not faces:
        raise ServiceError(400, "InvalidImage", "No face detected in the image.")
    if len(faces) > 1:
        raise ServiceError(400, "InvalidImage", "There is more than 1 face in the image.")
    return faces[0]


def _checked(image: bytes) -> ImageHeader:
    if len(image) < _BYTES_MIN:
        raise ServiceError(400, "InvalidImageSize", "Image size is too small.")
    if len(image) > _BYTES_MAX:
        raise ServiceError(400, "InvalidImageSize", "Image size is too big.")
    header = read_header(image)
    if header is None or header.format not in _FORMATS:
        raise _undecodable()
    if max(header.width, header.height) > _SIDE_MAX:
        raise ServiceError(400, "InvalidImageSize", "Image size is too big.")
    return header


def _undecodable() -> ServiceError:
    return ServiceError(400, "InvalidImage", "Decoding error, image format unsupported.")


def _target_box(target: str, found: FoundFaces) -> tuple[int, int, int, int]:
    numbers = [number.strip() for number in target.split(",")]
    if len(numbers) != 4 or not all(_is_whole(number) for number in numbers):
        raise bad_argument("Invalid argument targetFace.")
    left, top, width, height = map(int, numbers)
    if not width or not height:
        raise bad_argument("Invalid argument targetFace.")
    if left + width > found.width or top + height > found.height:
        raise bad_argument("Argument targetFace out of range.")
    return left, top, width, height


def _is_whole(number: str) -> bool:
    return number.isascii() and number.isdecimal() and len(number) < 10


def _overlap(face: RecognisedFace, box: tuple[int, int, int, int]) -> int:
    left, top, width, height = box
    across = min(face.left + face.width, left + width) - max(face.left, left)
    down = min(face.top + face.height, top + height) - max(face.top, top)
    return max(across, 0) * max(down, 0)
