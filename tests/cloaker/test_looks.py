"""What can be seen of a cloak beside the face: nothing outside its region, no colour at its rim."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate

from audit.types import Cloak, Photo, Targets
from cloaker.cloaking import cloak_photos
from cloaker.faces import FaceFinder
from cloaker.known_faces import KnownFaces
from cloaker.levels import SYSTEMS, resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.region import FaceRegion

MakePhotos = Callable[[int, int], list[Photo]]
INSIDE_A_CROP = [name for name in SYSTEMS if not resolve(name, "high")["whole_photo"]]
RIM = 0.25  # of the mask: the outer fourth of the fade


def pixels(photo: Photo) -> NDArray[np.uint8]:
    return np.array(Image.open(photo.path).convert("RGB"))


def reached(
    photo: NDArray[np.uint8], network: EmbeddingNetwork, finder: FaceFinder
) -> NDArray[np.float32]:
    """Return how much of a change may reach each pixel, height x width in 0..1."""
    (face,) = finder.find(photo)
    region = FaceRegion(photo, face.landmarks, [network.crop], torch.device("cpu"))
    mask = torch.zeros(photo.shape[:2])
    size = region.clean.shape[-2:]
    region.box.of(mask).copy_(interpolate(region.mask()[None], size=size, mode="bilinear")[0, 0])
    return mask.numpy()


@pytest.mark.parametrize("system", INSIDE_A_CROP)
def test_outside_the_region_bytes_stay_and_its_rim_keeps_its_colour(
    system: str,
    network: EmbeddingNetwork,
    finder: FaceFinder,
    draw_photos: MakePhotos,
    tmp_path: Path,
) -> None:
    photos = draw_photos(0, 2)
    row = resolve(system, "high", ["steps=6"])
    result = cloak_photos(
        Cloak(system, "high", row, {network.name: network.weights_sha256}, Targets.SAME, 0),
        [network],
        photos,
        {"other": draw_photos(1, 2)},
        read=pixels,
        faces=KnownFaces(tmp_path / "faces"),
        out=tmp_path / "out",
        cache=tmp_path / "cache",
    )
    for photo, record in zip(photos, result.cloaked, strict=True):
        before, mask = pixels(photo), reached(pixels(photo), network, finder)
        change = np.asarray(Image.open(tmp_path / "out" / record.file)).astype(float) - before
        rim = (mask > 0) & (mask < RIM)
        assert not change[mask == 0].any()
        assert change[mask > RIM].any()
        assert np.abs(change[rim].mean(axis=0)).max() < 1
