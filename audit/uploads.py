"""The bytes that leave the machine: the cloaked file or the original, within the limits.

A tracker who changes the photos that it gets does so here, before its service sees them.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from audit.calls import copy_of
from audit.cloaks import CloakedFiles
from audit.errors import UserError
from audit.types import Photo, PhotoSet
from providers.base import Capabilities

FaceSide = Callable[[Photo], float | None]
"""From a photo to the shorter side of its largest face in pixels, None if it has none."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo's bytes as a service gets them. `change` says what was changed, "" = nothing."""

    data: bytes
    change: str = ""


PhotoBytes = Callable[[str, str], Upload]
"""From an arm and a photo, as calls name it, to the bytes to send."""


class Uploads:
    """Knows which file stands for a photo in which arm, and what is done to it.

    `transforms` are those of each arm, by its name.
    """

    def __init__(
        self,
        photo_set: PhotoSet,
        cloaked: CloakedFiles,
        face_side: FaceSide,
        transforms: Mapping[str, Sequence[str]],
    ) -> None:
        self._originals = {photo.sha256: photo for photo in photo_set.photos}
        self._cloaked = cloaked
        self._face_side = face_side
        self._transforms = transforms

    def within(self, capabilities: Capabilities) -> PhotoBytes:
        """Return the same bytes made to fit a service's limits."""
        return Limited(self, capabilities)

    def unchanged(self, arm: str, sha256: str) -> Upload:
        """Return the bytes as they are; what the service does not take, it refuses."""
        return Upload(self(arm, sha256))

    def face_side_px(self, photo: str) -> float | None:
        """Return the shorter side of the largest face of a photo; its cloak and copies have the same."""
        return self._face_side(self._originals[copy_of(photo)[0]])

    def __call__(self, arm: str, photo: str) -> bytes:
        """Return a photo's bytes in an arm; raises UserError if the file changed since the plan."""
        from datasets import transforms

        sha256, copy = copy_of(photo)
        cloaked = self._cloaked.get(arm, {}).get(sha256)
        data = cloaked.read_bytes() if cloaked else _unchanged(self._originals[sha256])
        return transforms.apply(data, transforms.of_copy(self._transforms.get(arm, ()), copy))


@dataclass(frozen=True, slots=True)
class Limited:
    """Uploads that a service accepts: format, file size, picture size and face size."""

    uploads: Uploads
    capabilities: Capabilities

    def __call__(self, arm: str, sha256: str) -> Upload:
        """Return the bytes as they are if the service takes them, else changed and how."""
        from datasets import upload

        limits = upload.Limits(
            formats=self.capabilities.image_formats,
            bytes_max=self.capabilities.image_bytes_max,
            side_min_px=self.capabilities.image_side_min_px,
            side_max_px=self.capabilities.image_side_max_px,
            face_side_min_px=self.capabilities.face_side_min_px,
        )
        data, change = upload.fit(
            self.uploads(arm, sha256), limits, self.uploads.face_side_px(sha256)
        )
        return Upload(data, change)


def _unchanged(photo: Photo) -> bytes:
    try:
        data = photo.path.read_bytes()
    except OSError as error:
        raise UserError(f"{photo.path} can't be read any more: {error.strerror}.") from None
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise UserError(
            f"{photo.path} has changed since the run was planned.",
            remedy="put the old file back, or start a new run",
        )
    return data
