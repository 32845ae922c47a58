"""Photos of generated people as aligned crops, the way a run sees them; kept in a file."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray

from cloaker.faces import FaceFinder
from cloaker.geometry import align, similarity
from cloaker.networks.base import Crop
from datasets.generated import person, render

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Crops:
    """Crops N x 3 x height x width (uint8) and each one's person, and the photos without a face."""

    pixels: Pixels
    people: NDArray[np.int64]
    missed: int


def cropped(photo: Pixels, finder: FaceFinder, crop: Crop) -> Pixels | None:
    """Return the aligned crop of a photo's largest face, 3 x height x width; None without one."""
    faces = finder.find(photo)
    if not faces:
        return None
    matrix = similarity(faces[0].landmarks, crop.points)
    aligned = align(torch.from_numpy(photo.copy()).permute(2, 0, 1), matrix, crop)
    return aligned.round().clamp(0, 255).byte().numpy()


def stacked(found: Iterable[tuple[int, Pixels | None]]) -> Crops:
    """Gather (person, crop) pairs."""
    pairs = list(found)
    kept = [(who, pixels) for who, pixels in pairs if pixels is not None]
    return Crops(
        np.stack([pixels for _, pixels in kept]),
        np.array([who for who, _ in kept], dtype=np.int64),
        len(pairs) - len(kept),
    )


def generated_crops(people: range, photos: int, crop: Crop, workers: int) -> Crops:
    """Render, find and align photos of generated people."""
    with ProcessPoolExecutor(workers) as pool:
        parts = pool.map(_of_person, people, repeat(photos), repeat(crop))
        return stacked(pair for part in parts for pair in part)


def _of_person(index: int, photos: int, crop: Crop) -> list[tuple[int, Pixels | None]]:
    return list(_crops_of(index, photos, crop))


def _crops_of(index: int, photos: int, crop: Crop) -> Iterator[tuple[int, Pixels | None]]:
    torch.set_num_threads(1)
    finder = FaceFinder()
    who = person(index)
    for photo_index in range(photos):
        yield index, cropped(render(who, photo_index), finder, crop)
