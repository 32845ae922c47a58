"""The pictures that Rekognition accepts, and the faces that it sees in them."""

import hashlib
import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image

from audit.types import RecognisedFace
from providers.emulators.images import ImageHeader, read_header, smallest_face_px
from providers.emulators.recognition import FaceFinder
from providers.emulators.rekognition_wire import ServiceError, invalid_parameters

_BYTES_MAX = 5_242_880
_SIDE_MIN = 80
_SIDE_MAX = 10_000
"""As an error text of the live service tells; the documents do not say."""
_FORMATS = {"JPEG", "PNG", "MPO"}  # MPO: a JPEG with more pictures behind it
_FACE_MIN_PX = 40
_FACES_MAX = 100
_TURNED_BY_90 = range(5, 9)
_ID_SPACE = uuid.UUID("5c9d3c4e-4e0a-5b5e-8f6b-0d6e1c7a9b42")


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture's bytes, its size after the EXIF turn, and the faces in it, largest first."""

    data: bytes
    width: int
    height: int
    faces: Sequence[RecognisedFace]

    @property
    def image_id(self) -> str:
        """The id that the service gives this picture, in every collection."""
        return derived_id(self.data)

    def box(self, face: RecognisedFace) -> dict[str, float]:
        """Return a face's BoundingBox: ratios of the picture's size."""
        return {
            "Width": face.width / self.width,
            "Height": face.height / self.height,
            "Left": face.left / self.width,
            "Top": face.top / self.height,
        }


def derived_id(data: bytes, *more: object) -> str:
    """Return the UUID that always is that of a picture, or of something about it."""
    name = hashlib.sha256(data).hexdigest()
    return str(uuid.uuid5(_ID_SPACE, "/".join([name, *map(str, more)])))


async def find_faces(finder: FaceFinder, image: Mapping[str, Any]) -> Photo:
    """Return an Image parameter's picture with its faces; raises for a picture that is refused."""
    data = _image_bytes(image)
    header = _checked(data)
    try:
        found = await finder(data)
    except ValueError as error:
        raise _invalid_format() from error
    width, height = _turned_size(data, header)
    smallest = smallest_face_px(width, height, _FACE_MIN_PX)
    faces = [face for face in found if min(face.width, face.height) >= smallest]
    faces.sort(key=lambda face: face.width * face.height, reverse=True)
    return Photo(data, width, height, faces[:_FACES_MAX])


def _image_bytes(image: Mapping[str, Any]) -> bytes:
    if ("Bytes" in image) == ("S3Object" in image):
        raise invalid_parameters()
    if "S3Object" in image:
        message = "Unable to get object metadata from S3. Check object key, region and/or access permissions."
        raise ServiceError("InvalidS3ObjectException", message)
    data: bytes = image["Bytes"]
    return data


def _checked(data: bytes) -> ImageHeader:
    if len(data) > _BYTES_MAX:
        raise ServiceError("ImageTooLargeException", "Image size is too large.")
    header = read_header(data)
    if header is None or header.format not in _FORMATS:
        raise _invalid_format()
    if max(header.width, header.height) > _SIDE_MAX:
        message = (
            f"Input image dimensions {header.width} x {header.height} exceed maximum dimension "
            f"size of {_SIDE_MAX} pixels"
        )
        raise ServiceError("ImageTooLargeException", message)
    if min(header.width, header.height) < _SIDE_MIN:
        raise invalid_parameters()
    return header


def _invalid_format() -> ServiceError:
    return ServiceError("InvalidImageFormatException", "Request has invalid image format")


def _turned_size(data: bytes, header: ImageHeader) -> tuple[int, int]:
    if header.format == "PNG" and b"eXIf" not in data:  # Pillow would decode it all to look
        return header.width, header.height
    with Image.open(io.BytesIO(data)) as image:
        turn = image.getexif().get(ExifTags.Base.Orientation)
    turned = turn in _TURNED_BY_90
    return (header.height, header.width) if turned else (header.width, header.height)
