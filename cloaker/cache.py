"""Results kept between runs, each written whole or not at all."""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit.types import CloakedPhoto

CLOAKS, EMBEDDINGS = "cloaks", "embeddings"
"""Folders of the user's cache."""


class Cache:
    """A folder of results. A key must hold everything that shapes what is kept under it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON-able value."""
        write_whole(self._path(key, ".json"), json.dumps(value).encode())

    def get(self, key: str) -> Any:
        """Return the value kept under a key, None where nothing is, or nothing whole."""
        try:
            return json.loads(self._path(key, ".json").read_bytes())
        except (OSError, ValueError):
            return None

    def put_photo(self, key: str, record: CloakedPhoto, png: bytes, out: Path) -> CloakedPhoto:
        """Keep a cloaked photo and put it at `out`; return the record that counts.

        Of several processes that cloak alike the first one counts, since rounding differs with the
        batch: everybody goes on with the same bytes.
        """
        kept = self._png(record)
        write_whole(kept, png)
        if not self._claim(key, asdict(record)):
            if (theirs := self.get_photo(key, out)) is not None:
                return theirs
            self.put(key, asdict(record))  # what stands there is not whole
        _place(kept, out)
        return record

    def get_photo(self, key: str, out: Path) -> CloakedPhoto | None:
        """Put the photo kept under a key at `out` and return its record.

        Returns None where nothing is kept, or the photo's bytes are not those of the record.
        """
        kept = self.get(key)
        if kept is None:
            return None
        record = CloakedPhoto(**kept)
        png = self._png(record)
        if not png.exists() or sha256(png.read_bytes()).hexdigest() != record.cloaked_sha256:
            return None
        _place(png, out)
        return record

    def put_arrays(self, key: str, arrays: Sequence[NDArray[Any]]) -> None:
        """Keep arrays, unless some are kept already."""
        stream = io.BytesIO()
        np.savez_compressed(stream, *arrays)
        digest = sha256(stream.getvalue()).hexdigest()
        write_whole(self._path(digest, ".npz"), stream.getvalue())
        if not self._claim(key, digest) and self.get_arrays(key) is None:
            self.put(key, digest)  # what stands there is not whole

    def get_arrays(self, key: str) -> list[NDArray[Any]] | None:
        """Return the arrays kept under a key, None where there are none, or none whole."""
        digest = self.get(key)
        if digest is None:
            return None
        try:
            data = self._path(digest, ".npz").read_bytes()
        except OSError:
            return None
        if sha256(data).hexdigest() != digest:
            return None
        return list(np.load(io.BytesIO(data)).values())

    def _claim(self, key: str, value: Any) -> bool:
        """Keep a value under a key that is free; return whether it was."""
        path = self._path(key, ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
            temporary = Path(folder) / path.name
            temporary.write_text(json.dumps(value))
            try:
                path.hardlink_to(temporary)
            except FileExistsError:
                return False
            except OSError:  # a disk without hard links
                temporary.replace(path)
        return True

    def _png(self, record: CloakedPhoto) -> Path:
        return self._path(record.cloaked_sha256, ".png")

    def _path(self, key: str, suffix: str) -> Path:
        return self._folder / key[:2] / (key + suffix)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that no reader ever sees a part of it."""
    _replace(path, lambda temporary: temporary.write_bytes(data))


def _place(source: Path, target: Path) -> None:
    def link_or_copy(temporary: Path) -> None:
        try:
            os.link(source, temporary)
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(source, temporary)

    _replace(target, link_or_copy)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder, because renaming does nothing when both names are already one file: then the
    # temporary name would be left behind.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        temporary.replace(path)
