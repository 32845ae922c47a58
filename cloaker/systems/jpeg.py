"""Control: JPEG compression of the same DSSIM as a cloak.

Quality is a whole number, so that the DSSIM stays a little below the budget; where even quality 100
is more visible than the budget allows, the face stays as it is. Colour keeps its full resolution:
halved, as most files have it, it alone is more visible than the small budgets allow.
"""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cloaker.systems.control import Control

_QUALITY_MAX = 100


class Jpeg(Control):
    """A quality a face."""

    def disturbed(self, strength: Tensor) -> Tensor:
        """Return the faces as JPEG files of quality 100 down to 1 show them; 0 is no file."""
        levels = (strength * _QUALITY_MAX).round().int().tolist()
        pictures = self.scene.clean.clone()
        for part, level in zip(self.scene.parts(pictures), levels, strict=True):
            if level:
                part.copy_(_compressed(part, _QUALITY_MAX + 1 - level))
        return pictures


def _compressed(face: Tensor, quality: int) -> Tensor:
    pixels = face.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=quality, subsampling="4:4:4")
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
