"""Finding faces with MTCNN, which comes from facenet-pytorch."""

import copy
import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cloaker import memory
from cloaker.geometry import planes
from cloaker.known_faces import CODE_VERSION, MIN_PROBABILITY, MIN_SIDE_PX, Face
from cloaker.quick_import import without_compiler

with without_compiler():
    from facenet_pytorch import MTCNN

Pixels = NDArray[np.uint8]
_DETECTION_SIDE_MAX_PX = 1280
_FINEST_PX = 20
_PYRAMID_FACTOR = 0.709


class FaceFinder:
    """Finds faces in upright photos that are large and certain enough.

    `searched_from_px` is the smallest face that MTCNN has to look for, 20 or more: `min_side_px`
    is faster, and only faces of about that size may be found otherwise. Safe to call from
    threads.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        min_side_px: int = MIN_SIDE_PX,
        min_probability: float = MIN_PROBABILITY,
        searched_from_px: int = _FINEST_PX,
    ) -> None:
        self.min_side_px = min_side_px
        self.min_probability = min_probability
        self._searched_from_px = searched_from_px
        self._detector = MTCNN(keep_all=True, factor=_PYRAMID_FACTOR, device=torch.device(device))
        # On CPUs, torch pools twice as fast with the channels innermost.
        self._detector.to(memory_format=torch.channels_last)

    @property
    def settings(self) -> Mapping[str, float]:
        """Return what decides, beside a photo's pixels, which faces are found."""
        return {
            "version": CODE_VERSION,
            "min_side_px": self.min_side_px,
            "min_probability": self.min_probability,
            "searched_from_px": self._searched_from_px,
        }

    def find(self, pixels: Pixels) -> tuple[Face, ...]:
        """Return the faces of a height x width x 3 RGB photo, largest first."""
        small, scale = _shrink(pixels)
        height, width = pixels.shape[:2]
        faces = (_clip(face, height, width) for face in self._detect(small, scale))
        kept = [face for face in faces if self._counts(face)]
        if small is not pixels:
            memory.give_back()
        return tuple(sorted(kept, key=lambda face: -face.width * face.height))

    def _counts(self, face: Face) -> bool:
        return face.side >= self.min_side_px and face.probability >= self.min_probability

    def _detect(self, pixels: Pixels, scale: float) -> Iterator[Face]:
        detector = copy.copy(self._detector)
        detector.min_face_size = _first_level_px(self._searched_from_px * scale)
        if min(pixels.shape[:2]) < detector.min_face_size:
            return
        # The photo's channels lie apart in memory: so it is averaged down faster.
        with torch.inference_mode():
            photo = planes(pixels).contiguous().permute(1, 2, 0)
            boxes, probabilities, landmarks = detector.detect(photo, landmarks=True)
        if boxes is None:
            return
        # MTCNN hands back arrays of objects; pixel centres stay centres when scaled.
        boxes, landmarks = (
            (np.asarray(points, dtype=np.float64) + 0.5) / scale - 0.5
            for points in (boxes, landmarks)
        )
        for (left, top, right, bottom), probability, points in zip(
            boxes.tolist(), probabilities, landmarks.tolist(), strict=True
        ):
            five = tuple((x, y) for x, y in points)
            yield Face(left, top, right - left, bottom - top, float(probability), five)


def _first_level_px(face_px: float) -> float:
    """Return the size of face that the first level of MTCNN's pyramid is to look for.

    Whole levels are left out, so that the others stay as they are and so do their findings.
    """
    left_out = math.log(max(1.0, face_px / _FINEST_PX), 1 / _PYRAMID_FACTOR)
    return _FINEST_PX / _PYRAMID_FACTOR ** math.floor(left_out)


def _shrink(pixels: Pixels) -> tuple[Pixels, float]:
    height, width = pixels.shape[:2]
    scale = min(1.0, _DETECTION_SIDE_MAX_PX / max(height, width))
    if scale == 1:
        return pixels, scale
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(small), scale


def _clip(face: Face, height: int, width: int) -> Face:
    left, right = (min(max(x, 0.0), width) for x in (face.left, face.left + face.width))
    top, bottom = (min(max(y, 0.0), height) for y in (face.top, face.top + face.height))
    return Face(left, top, right - left, bottom - top, face.probability, face.landmarks)
