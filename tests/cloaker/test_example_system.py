from collections.abc import Callable
from pathlib import Path

import example_system
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from audit.types import Cloak, Photo, Targets
from cloaker.cloaking import cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import SYSTEMS, resolve
from cloaker.networks.base import EmbeddingNetwork


def _read(photo: Photo) -> NDArray[np.uint8]:
    return np.asarray(Image.open(photo.path).convert("RGB"))


def test_one_file_and_one_row_make_a_system(
    network: EmbeddingNetwork,
    draw_photos: Callable[[int, int], list[Photo]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SYSTEMS, "away", example_system.ROW)
    row = resolve("away", "low", ["step_px=2"])
    networks = {network.name: network.weights_sha256}
    result = cloak_photos(
        Cloak("away", "low", row, networks, Targets.SAME, 0),
        [network],
        draw_photos(0, 1),
        {},
        read=_read,
        faces=KnownFaces(tmp_path / "faces"),
        out=tmp_path / "out",
        cache=tmp_path / "cache",
    )
    (cloaked,) = result.cloaked
    assert (cloaked.system, cloaked.level, cloaked.steps) == ("away", "low", 3)
    assert 0 < cloaked.linf <= 3 * 2
    assert cloaked.dssim <= 0.01
    assert cloaked.embedding_shift > 0.01
    assert (tmp_path / "out" / cloaked.file).exists()
