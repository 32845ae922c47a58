"""The stub recogniser, for services that overlook small faces."""

import dataclasses
import io
from collections.abc import Sequence

from PIL import Image

from audit.types import RecognisedFace
from tests.providers.stub_emulator import StubRecogniser


class ScaledRecogniser:
    """Finds the stub's faces as large as the picture: 60 and 40 px for each 160 px of its width."""

    name = "scaled"

    def __init__(self) -> None:
        self._stub = StubRecogniser()

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        found = self._stub(image)
        with Image.open(io.BytesIO(image)) as opened:
            scale = opened.width // 160
        return [self._scaled(face, scale) for face in found]

    def _scaled(self, face: RecognisedFace, scale: int) -> RecognisedFace:
        left, top, side = face.left * scale, face.top * scale, face.width * scale
        x, y, part = left + side / 2, top + side / 2, side / 5
        eyes = [(x - part, y - part), (x + part, y - part)]
        mouth = [(x - part, y + part), (x + part, y + part)]
        marks = [*eyes, (x, y + 0.16 * part), *mouth]
        return dataclasses.replace(
            face, left=left, top=top, width=side, height=side, landmarks=marks
        )
