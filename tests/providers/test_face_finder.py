import asyncio
import os
import threading
from collections.abc import Sequence

import pytest

from audit.types import RecognisedFace
from providers.emulators.recognition import FaceFinder

FACE = RecognisedFace(0, 0, 50, 50, 0.99, (1.0, 0.0))
CORES = 3


class Recogniser:
    """Waits in each photo until it is let go on, or as many threads as there are cores wait."""

    name = "waiting"

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.gate = threading.Barrier(CORES)

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        self.seen.append(image)
        self.gate.wait(timeout=30)
        if image == b"broken":
            raise ValueError("no picture")
        return (FACE,)


@pytest.fixture
def recogniser(monkeypatch: pytest.MonkeyPatch) -> Recogniser:
    monkeypatch.setattr(os, "cpu_count", lambda: CORES)
    return Recogniser()


def test_as_many_photos_are_looked_at_at_once_as_there_are_cores(recogniser: Recogniser) -> None:
    async def look() -> list[Sequence[RecognisedFace]]:
        finder = FaceFinder(recogniser)
        return await asyncio.gather(*(finder(bytes([photo])) for photo in range(2 * CORES)))

    assert asyncio.run(look()) == [(FACE,)] * 2 * CORES
    assert sorted(recogniser.seen[:CORES]) == [bytes([photo]) for photo in range(CORES)]


def test_requests_for_one_photo_share_the_look_at_it(recogniser: Recogniser) -> None:
    async def look() -> list[Sequence[RecognisedFace] | BaseException]:
        finder = FaceFinder(recogniser)
        photos = (b"same", b"broken", b"same", b"broken", b"other", bytes(bytearray(b"same")))
        return await asyncio.gather(*map(finder, photos), return_exceptions=True)

    same, broken, again, broken_again, other, copy = asyncio.run(look())
    assert same == again == copy == other == (FACE,)
    assert isinstance(broken, ValueError)
    assert isinstance(broken_again, ValueError)
    assert sorted(recogniser.seen) == [b"broken", b"other", b"same"]


def test_who_gives_up_does_not_stop_the_others(recogniser: Recogniser) -> None:
    async def look() -> Sequence[RecognisedFace]:
        finder = FaceFinder(recogniser)
        first, second = (asyncio.create_task(finder(b"same")) for _ in range(2))
        others = [asyncio.create_task(finder(photo)) for photo in (b"one", b"two")]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(*others)
        return await second

    assert asyncio.run(look()) == (FACE,)
