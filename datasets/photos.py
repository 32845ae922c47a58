"""Read one photo file safely: upright, RGB, identified by the SHA-256 of its bytes.

Whatever is wrong with a file becomes a `PhotoError` with a fixed reason; nothing else is raised.
"""

import functools
import hashlib
import importlib
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from audit.errors import UserError
from audit.types import Photo

PIXELS_MAX = 100_000_000
BYTES_MAX = 512 * 1024**2  # holds any uncompressed photo of PIXELS_MAX
_STRIP_ROWS = 64
SIDE_MIN_PX = 36  # no service finds a smaller face (Azure Face: 36 x 36 pixels)

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class Reason(StrEnum):
    """Why a file can't be used: the codes in photos.jsonl."""

    ZERO_BYTE = "zero_byte"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not_a_file"
    HEIC_NOT_INSTALLED = "heic_not_installed"
    NO_PERSON_FOLDER = "no_person_folder"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"
    DUPLICATE_EXACT = "duplicate_exact"
    DUPLICATE_ACROSS_PEOPLE = "duplicate_across_people"
    DUPLICATE_OF_TRAIN = "duplicate_of_train"


class PhotoError(Exception):
    """A file that can't be used. `sha256` is empty where its bytes weren't read."""

    def __init__(self, reason: Reason, detail: str, sha256: str = "") -> None:
        self.reason = reason
        self.detail = detail
        self.sha256 = sha256
        super().__init__(f"{reason}: {detail}")


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded photo. `pixels` are RGB, uint8, height x width x 3, upright.

    `generated` tells that the file is marked as one of the bundled generated people.
    """

    sha256: str
    pixels: NDArray[np.uint8]
    generated: bool


def quiet() -> AbstractContextManager[None]:
    """Silence Pillow's warnings on odd files: a file is used or rejected, with the reason.

    Warning filters belong to the whole process: whichever thread enters this first sets them, and
    the last one to leave puts back those of before.
    """
    return _QUIET


class _Quiet:
    def __init__(self) -> None:
        self._lock, self._threads, self._before = Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._threads += 1
            if self._threads == 1:
                self._before.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._before.close()


_QUIET = _Quiet()


def read(path: Path) -> Picture:
    """Read one photo. Raises PhotoError when it can't be used."""
    with quiet():
        return decode(path)


def pixels(photo: Photo) -> NDArray[np.uint8]:
    """Return a photo's upright RGB pixels, uint8, height x width x 3.

    Raises UserError when the file is gone or no longer the one that the photo set was made of.
    """
    try:
        picture = read(photo.path)
    except PhotoError as error:
        raise _changed(photo, f"{photo.path}: {error.detail}") from error
    if picture.sha256 != photo.sha256:
        raise _changed(photo, f"{photo.path} has changed since the photo set was read")
    return picture.pixels


def decode(path: Path) -> Picture:
    """Do what `read` does, with Pillow's warnings left to the caller (see `quiet`)."""
    content = _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        with _open(content) as image:
            _check_size(*image.size)
            return Picture(sha256, _upright_rgb(image), _is_generated(image.info))
    except PhotoError as error:
        error.sha256 = sha256
        raise
    except Image.DecompressionBombError as error:
        raise PhotoError(Reason.TOO_LARGE, str(error), sha256) from error
    except Exception as error:  # decoders raise nearly anything on a broken file
        detail = f"the picture's data is broken or ends early ({error})"
        raise PhotoError(Reason.TRUNCATED, detail, sha256) from error


def _changed(photo: Photo, seen: str) -> UserError:
    return UserError(
        seen,
        expected=f"the file with SHA-256 {photo.sha256}",
        remedy="put the original file back, or start a new run with the photos as they are now",
    )


def _content(path: Path) -> bytes:
    """Return the file's bytes if it begins like a photo."""
    try:
        if not path.is_file():
            raise PhotoError(Reason.NOT_A_FILE, _what_it_is(path))
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
            if not head:
                raise PhotoError(Reason.ZERO_BYTE, "the file is empty")
            if not _format(head):
                raise PhotoError(
                    Reason.NOT_AN_IMAGE, "no JPEG, PNG, WebP, HEIC, BMP or GIF by its first bytes"
                )
            if size > BYTES_MAX:
                raise PhotoError(
                    Reason.TOO_LARGE, f"{size} bytes; at most {BYTES_MAX} bytes are read"
                )
            return head + file.read()
    except OSError as error:
        raise PhotoError(Reason.UNREADABLE, error.strerror or str(error)) from error


def _what_it_is(path: Path) -> str:
    if path.is_dir():
        return "a folder where a photo should be; photos lie directly in the person's folder"
    if path.is_symlink():
        return "a broken link"
    return "not a regular file" if path.exists() else "there is no such file"


def _format(head: bytes) -> str:
    """Return Pillow's name of the format that a file's first 16 bytes announce, or nothing."""
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return "HEIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    starts = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"BM": "BMP", b"GIF8": "GIF"}
    return next((name for start, name in starts.items() if head.startswith(start)), "")


def _open(content: bytes) -> Image.Image:
    name = _format(content[:16])
    if name == "HEIF" and not _heif_is_installed():
        raise PhotoError(
            Reason.HEIC_NOT_INSTALLED,
            "reading HEIC needs pillow-heif: install cloak-audit[heic], or save it as JPEG",
        )
    try:
        return Image.open(BytesIO(content), formats=(name,))
    except UnidentifiedImageError as error:
        detail = f"begins like a {name} file, but its header can't be read"
        raise PhotoError(Reason.NOT_AN_IMAGE, detail) from error


@functools.cache
def _heif_is_installed() -> bool:
    """Register the HEIC decoder if it is there."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


def _check_size(width: int, height: int) -> None:
    if width * height > PIXELS_MAX:
        raise PhotoError(
            Reason.TOO_LARGE, f"{width} x {height} pixels; at most {PIXELS_MAX} are decoded"
        )
    if min(width, height) < SIDE_MIN_PX:
        raise PhotoError(
            Reason.TOO_SMALL, f"{width} x {height} pixels; each side needs {SIDE_MIN_PX}"
        )


def _upright_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Return the first frame, turned as its EXIF orientation says, on white where transparent."""
    image.seek(0)
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # a photo that needs no turn isn't copied
    turned = image
    if turned.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips it
        grey = np.asarray(turned).astype(np.float64) / 257
        turned = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if turned.has_transparency_data:
        colour = turned.convert("RGBA")
        turned = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return _array(turned if turned.mode == "RGB" else turned.convert("RGB"))


def _array(rgb: Image.Image) -> NDArray[np.uint8]:
    """Return a picture's pixels, copied some rows at a time: at once it takes them three times."""
    pixels = np.empty((rgb.height, rgb.width, 3), dtype=np.uint8)
    for top in range(0, rgb.height, _STRIP_ROWS):
        rows = pixels[top : top + _STRIP_ROWS]
        rows[:] = np.asarray(rgb.crop((0, top, rgb.width, top + len(rows))))
    return pixels


def _is_generated(info: Mapping[Any, object]) -> bool:
    from datasets.generated import is_generated  # drawing people is not needed to import reading

    return is_generated(info)
