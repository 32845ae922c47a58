"""The recogniser behind an emulator, one photo at a time, away from the event loop."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from audit.types import RecognisedFace, Recogniser

_REMEMBERED = 1024


class FaceFinder:
    """Finds faces in a worker thread and remembers the answers to the latest photos."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._lock = asyncio.Lock()
        self._found: OrderedDict[str, Sequence[RecognisedFace]] = OrderedDict()

    async def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        """Return the faces of a photo, largest first; raises ValueError if it can't be decoded."""
        key = hashlib.sha256(image).hexdigest()
        async with self._lock:
            if key not in self._found:
                self._found[key] = await asyncio.to_thread(self._recogniser, image)
                if len(self._found) > _REMEMBERED:
                    self._found.popitem(last=False)
            return self._found[key]
