"""The bytes that leave the machine: the cloaked file or the original, within the limits."""

import hashlib
from dataclasses import dataclass

from audit.cloaks import CloakedFiles
from audit.errors import UserError
from audit.types import Photo, PhotoSet
from providers.base import Capabilities


class Uploads:
    """Knows which file stands for a photo in which arm."""

    def __init__(self, photo_set: PhotoSet, cloaked: CloakedFiles) -> None:
        self._originals = {photo.sha256: photo for photo in photo_set.photos}
        self._cloaked = cloaked

    def within(self, capabilities: Capabilities) -> "Limited":
        """Return the same bytes made to fit a service's limits."""
        return Limited(self, capabilities)

    def __call__(self, arm: str, sha256: str) -> bytes:
        """Return a photo's file bytes; raises UserError if the file changed since the plan."""
        cloaked = self._cloaked.get(arm, {}).get(sha256)
        return cloaked.read_bytes() if cloaked else _unchanged(self._originals[sha256])


@dataclass(frozen=True, slots=True)
class Limited:
    """Uploads that a service accepts: format, file size and picture size."""

    uploads: Uploads
    capabilities: Capabilities

    def __call__(self, arm: str, sha256: str) -> bytes:
        """Return the bytes as they are if the service takes them, else re-encoded or smaller."""
        from datasets import upload

        return upload.fit(
            self.uploads(arm, sha256),
            formats=self.capabilities.image_formats,
            bytes_max=self.capabilities.image_bytes_max,
            side_max_px=self.capabilities.image_side_max_px,
        )


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
