"""The faces of photos, looked for once per photo ever; importing this imports no torch."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from audit.types import content_hash
from cloaker.cache import Cache

if TYPE_CHECKING:
    from cloaker.faces import FaceFinder

MIN_SIDE_PX = 36
"""Azure Face finds no smaller face in a photo of up to 1920 x 1080."""
MIN_PROBABILITY = 0.9

CODE_VERSION = 1
"""Raised whenever the same photo gives other faces."""


@dataclass(frozen=True, slots=True)
class Face:
    """A face: its box in pixels, clipped to the photo, and five landmarks.

    The landmarks (x, y) are the eye at the photo's left, the eye at its right, the nose tip, the
    mouth corner at the left and the one at the right.
    """

    left: float
    top: float
    width: float
    height: float
    probability: float
    landmarks: tuple[tuple[float, float], ...]

    @property
    def side(self) -> float:
        """Return the shorter side of the box."""
        return min(self.width, self.height)


class KnownFaces:
    """Finds faces and remembers them by content in a folder. Safe to call from threads.

    `device` tells where to look for new ones; it is asked, and the detector loaded, for the first
    photo that was never looked at.
    """

    def __init__(self, folder: Path, device: Callable[[], str] = lambda: "cpu") -> None:
        self._cache = Cache(folder)
        self._device = device
        self._finder: FaceFinder | None = None
        self._loading = Lock()

    @property
    def settings(self) -> Mapping[str, float]:
        """Return what decides, beside a photo's bytes, which faces are found."""
        return {
            "version": CODE_VERSION,
            "min_side_px": MIN_SIDE_PX,
            "min_probability": MIN_PROBABILITY,
        }

    def known(self, sha256: str) -> tuple[Face, ...] | None:
        """Return the faces of a photo that was looked at before, largest first; None else."""
        kept = self._cache.get(self._key(sha256))
        return None if kept is None else tuple(_face(**face) for face in kept)

    def find(self, sha256: str, pixels: NDArray[np.uint8]) -> tuple[Face, ...]:
        """Return the faces, largest first, of a photo of height x width x 3 RGB."""
        known = self.known(sha256)
        if known is not None:
            return known
        found = self._loaded().find(pixels)
        self._cache.put(self._key(sha256), [asdict(face) for face in found])
        return found

    def _key(self, sha256: str) -> str:
        return content_hash({"faces": self.settings, "photo": sha256})

    def _loaded(self) -> "FaceFinder":
        from cloaker.faces import FaceFinder

        with self._loading:
            if self._finder is None:
                self._finder = FaceFinder(self._device())
            return self._finder


def _face(landmarks: list[list[float]], **box: float) -> Face:
    return Face(**box, landmarks=tuple((x, y) for x, y in landmarks))
