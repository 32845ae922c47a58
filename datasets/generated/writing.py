"""Photos of generated people as files, marked as such."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from datasets.generated.identity import person
from datasets.generated.render import Picture, render

GENERATOR_VERSION = 1
MARK = {"audit-generated": "1"}
"""The text chunk that tells a generated person's PNG; a cloaked one keeps it."""
_ORIGIN = "audit-generated-from"


def write_people(
    folder: Path,
    people: int,
    photos: int | Callable[[int], int],
    seed: int = 0,
    on_photo: Callable[[Path], None] | None = None,
) -> None:
    """Write photos as folder/person-000/0001.png and on; files that are there already stay.

    `photos` is the number per person, or tells it by the person's number. `on_photo` hears of
    every photo, written or there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(people):
        count = photos(index) if callable(photos) else photos
        for photo_index in range(count):
            path = folder / f"person-{index:03d}" / f"{photo_index + 1:04d}.png"
            origin = f"version {GENERATOR_VERSION} seed {seed} person {index} photo {photo_index}"
            if not _holds(path, origin):
                _write(path, render(person(index, seed), photo_index, seed), origin)
            if on_photo is not None:
                on_photo(path)


def is_generated(info: Mapping[Any, object]) -> bool:
    """Tell from a Pillow image's `info` whether the file shows a generated person."""
    return all(info.get(key) == value for key, value in MARK.items())


def _holds(path: Path, origin: str) -> bool:
    try:
        with Image.open(path) as picture:
            return picture.info.get(_ORIGIN) == origin
    except (FileNotFoundError, UnidentifiedImageError):
        return False


def _write(path: Path, picture: Picture, origin: str) -> None:
    """Write a file whole or not at all, whatever else writes here at the same time."""
    path.parent.mkdir(exist_ok=True)
    text = PngInfo()
    for key, value in MARK.items():
        text.add_text(key, value)
    text.add_text(_ORIGIN, origin)
    part = path.parent.parent / f".part-{os.getpid()}"
    Image.fromarray(picture).save(part, "PNG", pnginfo=text, compress_level=3)
    part.replace(path)
