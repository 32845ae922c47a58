"""Aligned faces to train on, from photos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audit.types import Photo
from cloaker.geometry import align, planes, similarity
from cloaker.known_faces import KnownFaces
from cloaker.networks.base import Crop
from cloaker.survey import UNREADABLE, Read


@dataclass(frozen=True, slots=True)
class Examples:
    """Crops N x 3 x height x width (uint8), and the place of each one's person among `people`.

    `sources` are the hashes of the photos that they come from, before any cloak.
    """

    people: tuple[str, ...]
    crops: Tensor
    owners: Tensor
    sources: tuple[str, ...]

    def kept(self, mask: Tensor) -> "Examples":
        """Return those in a mask (N)."""
        sources = [source for source, kept in zip(self.sources, mask.tolist(), strict=True) if kept]
        return Examples(self.people, self.crops[mask], self.owners[mask], tuple(sources))

    def of(self, people: Tensor) -> "Examples":
        """Return those of people chosen by their places."""
        return self.kept(torch.isin(self.owners, people))


def examples(
    photos: Mapping[str, Sequence[Photo]],
    crop: Crop,
    faces: KnownFaces,
    read: Read,
    sources: Mapping[str, str] | None = None,
) -> Examples:
    """Return the largest face of every photo that shows one; people keep their order.

    `sources` names the photo, by its hash, that a cloaked one was made of.
    """
    crops, owners, hashes = [], [], []
    for place, some in enumerate(photos.values()):
        for photo in some:
            if (face := _face(photo, crop, faces, read)) is not None:
                crops.append(face)
                owners.append(place)
                hashes.append((sources or {}).get(photo.sha256, photo.sha256))
    shape = (0, 3, crop.height, crop.width)
    stacked = torch.stack(crops) if crops else torch.zeros(shape, dtype=torch.uint8)
    return Examples(tuple(photos), stacked, torch.tensor(owners, dtype=torch.long), tuple(hashes))


def _face(photo: Photo, crop: Crop, faces: KnownFaces, read: Read) -> Tensor | None:
    try:
        pixels = read(photo)
    except UNREADABLE:
        return None
    found = faces.find(photo.sha256, pixels)
    if not found:
        return None
    aligned = align(planes(pixels), similarity(found[0].landmarks, crop.points), crop)
    return aligned.round().clamp(0, 255).byte()
