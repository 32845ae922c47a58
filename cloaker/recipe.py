"""What is cloaked, and how: photos with their faces, and all that decides what they become."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from threading import Event

import torch
from torch import Tensor

from audit.types import Cloak, CloakedPhoto, Photo
from cloaker.attack import Goal
from cloaker.faces import Pixels
from cloaker.networks.base import EmbeddingNetwork, Points
from cloaker.pasting import Carried
from cloaker.survey import Read


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides, beside the photos, what a batch becomes.

    `networks` are those of the cloak, in order; `judges` are others that the cloaked photos are
    measured with. `text` goes into the PNGs. `read` returns a photo's upright RGB pixels, uint8
    height x width x 3, `carried` what else its file holds that the PNG is to keep. Once `stop` is
    set, no photo is read any more: so threads that read photos nobody needs end soon.
    """

    cloak: Cloak
    networks: Sequence[EmbeddingNetwork]
    judges: Sequence[EmbeddingNetwork]
    text: Mapping[str, str]
    read: Read
    carried: Callable[[Photo], Carried] | None
    stop: Event = field(default_factory=Event)

    @property
    def device(self) -> torch.device:
        """Return where the cloak is computed."""
        return next(chain(self.networks[0].parameters(), self.networks[0].buffers())).device

    def pixels(self, photo: Photo) -> Pixels:
        """Return a photo's pixels. Raises Unneeded once nobody needs them."""
        if self.stop.is_set():
            raise Unneeded
        return self.read(photo)


class Unneeded(Exception):  # noqa: N818 - nothing went wrong
    """Nobody waits for the photos any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """A face's best iterate less the clean face, 3 x height x width, after so many steps.

    It is on the working grid. Of a system with late parameters it is float16 in main memory, so
    that a kept one and a new one make the same bytes.
    """

    pixels: Tensor
    steps: int


@dataclass(frozen=True, slots=True)
class Task:
    """A face to be cloaked: where it is, each network's raw embedding of it, and its goal.

    `change` is what it was once optimised to, where that is known.
    """

    photo: Photo
    landmarks: Points
    own: tuple[Tensor, ...]
    seed: int
    goal: Goal
    change: Change | None = None


Batch = Sequence[Sequence[Task]]
"""Photos that are cloaked together, each as its faces."""


@dataclass(frozen=True, slots=True)
class Made:
    """A cloaked photo: its record, its file's bytes, and its faces' changes worth keeping."""

    record: CloakedPhoto
    png: bytes
    changes: tuple[Change, ...]


Outcome = tuple[str, Made | str]
"""A photo's hash, and what was made of it or why it can't be cloaked."""
