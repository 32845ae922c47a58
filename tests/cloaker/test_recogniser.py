import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from audit.types import Recogniser
from cloaker.embeddings import EmbeddingCache
from cloaker.networks.base import EmbeddingNetwork
from cloaker.recogniser import LocalRecogniser

Pixels = NDArray[np.uint8]
DrawPhoto = Callable[[int, int], Pixels]


def _encode(pixels: Pixels, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=form, **options)
    return stream.getvalue()


@pytest.fixture
def recogniser(network: EmbeddingNetwork) -> Recogniser:
    return LocalRecogniser(network)


def test_a_face_has_a_box_and_a_unit_embedding(recogniser: Recogniser, draw: DrawPhoto) -> None:
    (face,) = recogniser(_encode(draw(0, 0)))
    assert recogniser.name == "tiny"
    assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
    assert 0 < face.left < face.left + face.width < 250
    assert 0 < face.top < face.top + face.height < 250
    assert face.confidence >= 0.9


def test_all_faces_are_found_largest_first(recogniser: Recogniser, draw: DrawPhoto) -> None:
    small = np.asarray(Image.fromarray(draw(1, 0)).resize((150, 150)))
    frame = np.full((250, 150, 3), 90, dtype=np.uint8)
    frame[:150] = small
    first, second = recogniser(_encode(np.hstack([frame, draw(0, 0)])))
    assert first.width * first.height > second.width * second.height
    (alone,) = recogniser(_encode(draw(0, 0)))
    assert np.dot(first.embedding, alone.embedding) > 0.9


def test_a_turned_photo_is_seen_upright(recogniser: Recogniser, draw: DrawPhoto) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned = np.ascontiguousarray(np.rot90(draw(0, 0)))
    (upright,) = recogniser(_encode(draw(0, 0)))
    (seen,) = recogniser(_encode(turned, exif=exif))
    assert seen == upright


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_colour_modes_are_read(recogniser: Recogniser, draw: DrawPhoto, mode: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(draw(0, 0)).convert(mode).save(stream, format="PNG")
    assert len(recogniser(stream.getvalue())) == 1


def test_no_face_is_no_error(recogniser: Recogniser) -> None:
    assert recogniser(_encode(np.full((200, 200, 3), 90, dtype=np.uint8))) == ()


def test_the_same_bytes_are_embedded_once(network: EmbeddingNetwork, draw: DrawPhoto) -> None:
    passes: list[int] = []
    network.register_forward_hook(lambda *_: passes.append(1))
    recogniser = LocalRecogniser(network)
    photo = _encode(draw(0, 0))
    assert recogniser(photo) is recogniser(bytes(bytearray(photo)))
    assert len(passes) == 1


def test_another_process_finds_what_was_embedded(
    network: EmbeddingNetwork, draw: DrawPhoto, tmp_path: Path
) -> None:
    passes: list[int] = []
    network.register_forward_hook(lambda *_: passes.append(1))
    photo, empty = _encode(draw(0, 0)), _encode(np.full((200, 200, 3), 90, dtype=np.uint8))
    first = LocalRecogniser(network, cache=EmbeddingCache(tmp_path))
    seen = first(photo), first(empty)
    again = LocalRecogniser(network, cache=EmbeddingCache(tmp_path))
    assert (again(photo), again(empty)) == seen
    assert len(passes) == 1
    network.weights_sha256 = "1" * 64
    assert LocalRecogniser(network, cache=EmbeddingCache(tmp_path))(photo) == seen[0]
    assert len(passes) == 2


def test_threads_see_what_one_alone_sees(network: EmbeddingNetwork, draw: DrawPhoto) -> None:
    photos = [_encode(draw(person, 0)) for person in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(LocalRecogniser(network), photos))
    assert together == [LocalRecogniser(network)(photo) for photo in photos]


def test_what_is_no_picture_is_refused(recogniser: Recogniser, draw: DrawPhoto) -> None:
    photo = _encode(draw(0, 0), "JPEG")
    for broken in (
        b"",
        b"not a picture",
        photo[: len(photo) // 2],
        b"\x89PNG\r\n\x1a\n" + b"x" * 40,
    ):
        with pytest.raises(ValueError, match="picture"):
            recogniser(broken)
