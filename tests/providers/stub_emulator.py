"""A recogniser that reads people from colours; run as a script, an emulator with it.

python stub_emulator.py STATE_FOLDER
"""

import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from audit.types import RecognisedFace
from providers.emulators.calibration import Calibration
from providers.emulators.options import Options
from providers.emulators.server import serve

CALIBRATION = Calibration(slope=12.0, offset=-5.0)
_STEP = 25


def photo(
    person: int,
    variant: int = 0,
    *,
    faces: int = 1,
    size: tuple[int, int] = (160, 120),
    file_format: str = "PNG",
) -> bytes:
    """Draw a photo of `person` (0..6); the further two variants are apart, the less alike."""
    noise = np.random.default_rng([person, variant, faces]).integers(0, 256, (64, 64, 3), np.uint8)
    image = Image.new("RGB", size)
    image.paste(Image.fromarray(noise), (32, 0))
    image.paste((faces * _STEP, person * _STEP, variant * _STEP), (0, 0, 32, 32))
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


class StubRecogniser:
    """Finds the faces that `photo` has drawn: side by side, the second one smaller and person 6."""

    name = "stub"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        self.calls += 1
        try:
            with Image.open(io.BytesIO(image)) as opened:
                colours = opened.convert("RGB").getpixel((8, 8))
        except (OSError, SyntaxError) as error:
            raise ValueError("no picture") from error
        assert isinstance(colours, tuple)
        faces, person, variant = (round(colour / _STEP) for colour in colours)
        people = [(person, variant), (6, 0)][:faces]
        found = [self._face(place, *who) for place, who in enumerate(people)]
        return found[::-1]  # smallest first, so that ordering is left to the emulator

    def _face(self, place: int, person: int, variant: int) -> RecognisedFace:
        embedding = [0.0] * 8
        embedding[person] = math.cos(0.1 * variant)
        embedding[7] = math.sin(0.1 * variant)
        side = 60 - 20 * place
        return RecognisedFace(10 + 70 * place, 10, side, side, 0.99, embedding)


if __name__ == "__main__":
    serve("azure", StubRecogniser(), CALIBRATION, options=Options(state=Path(sys.argv[1])))
