"""The recogniser behind an emulator: away from the event loop, on all cores."""

import asyncio
import os
from collections.abc import Sequence

from audit.types import RecognisedFace, Recogniser


class FaceFinder:
    """Finds faces in worker threads, in as many photos at once as there are cores.

    Requests that come with the same photo at the same time share one look at it.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._cores = asyncio.Semaphore(os.cpu_count() or 1)
        self._looks: dict[bytes, asyncio.Task[Sequence[RecognisedFace]]] = {}

    async def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        """Return the faces of a photo, largest first; raises ValueError if it can't be decoded."""
        if image not in self._looks:
            self._looks[image] = asyncio.create_task(self._look(image))
        return await asyncio.shield(self._looks[image])

    async def _look(self, image: bytes) -> Sequence[RecognisedFace]:
        try:
            async with self._cores:
                return await asyncio.to_thread(self._recogniser, image)
        finally:
            del self._looks[image]
