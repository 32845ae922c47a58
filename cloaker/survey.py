"""Where the faces are in each photo and how a network sees them: found once, remembered."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audit.errors import AuditError
from audit.types import Photo
from cloaker import device
from cloaker.embeddings import EmbeddingCache, SeenFace
from cloaker.faces import Pixels
from cloaker.geometry import align, planes, similarity
from cloaker.known_faces import MIN_SIDE_PX, Face, KnownFaces
from cloaker.networks.base import EmbeddingNetwork, Points

Read = Callable[[Photo], Pixels]
UNREADABLE = (OSError, ValueError, AuditError)
_CODE_VERSION = 4  # raised whenever the same photo gives another crop
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Located:
    """A face of a photo: its five landmarks and the network's raw embedding, D."""

    landmarks: Points
    embedding: Tensor


Survey = Mapping[str, tuple[Located, ...] | str]
"""By photo hash: the faces, largest first, or why there is none."""


class Surveyor:
    """Finds, aligns and embeds faces of photos, the largest or all; remembers them in the cache."""

    def __init__(
        self,
        network: EmbeddingNetwork,
        faces: KnownFaces,
        read: Read,
        cache: EmbeddingCache,
        *,
        every_face: bool = False,
    ) -> None:
        self._network, self._faces, self._read, self._cache = network, faces, read, cache
        self._faces_max = None if every_face else 1
        self.device = next(chain(network.parameters(), network.buffers())).device

    def survey(self, photos: Sequence[Photo]) -> Survey:
        """Return each photo's faces, or why it has none."""
        kept = self._cache.get(self.settings, [photo.sha256 for photo in photos])
        seen = {sha: self._located(faces) for sha, faces in kept.items()}
        new = [photo for photo in photos if photo.sha256 not in seen]
        for start in range(0, len(new), _BATCH):
            seen.update(self._look(new[start : start + _BATCH]))
        return seen

    def units(self, photos: Sequence[Photo]) -> dict[str, NDArray[np.float32]]:
        """Return the unit embedding (D) of the largest face of each photo that shows one."""
        found = self.survey(photos)
        return {
            sha: torch.nn.functional.normalize(faces[0].embedding, dim=0).cpu().numpy()
            for sha, faces in found.items()
            if not isinstance(faces, str)
        }

    def _look(self, photos: Sequence[Photo]) -> dict[str, tuple[Located, ...] | str]:
        broken: dict[str, tuple[Located, ...] | str] = {}
        found: dict[str, Sequence[Face]] = {}
        crops: list[Tensor] = []
        with ThreadPoolExecutor(device.threads(self.device)) as pool:
            for photo, seen in zip(photos, pool.map(self._find, photos), strict=True):
                if isinstance(seen, str):
                    broken[photo.sha256] = seen
                else:
                    found[photo.sha256] = [face for face, _ in seen]
                    crops += [crop for _, crop in seen]
        embedded = self._embedded(found, crops)
        self._cache.put(self.settings, embedded)
        return broken | {sha: self._located(faces) for sha, faces in embedded.items()}

    def _find(self, photo: Photo) -> list[tuple[Face, Tensor]] | str:
        """Return a photo's faces, each with its crop, or why it can't be read."""
        try:
            pixels = self._read(photo)
        except UNREADABLE as error:
            return unreadable(error)
        faces = self._faces.find(photo.sha256, pixels)[: self._faces_max]
        return [(face, self._crop(pixels, face.landmarks)) for face in faces]

    def _crop(self, pixels: Pixels, landmarks: Points) -> Tensor:
        """Return an aligned face, 3 x height x width in 0..255, on the device."""
        crop = self._network.crop
        matrix = similarity(landmarks, crop.points)
        return align(planes(pixels).to(self.device), matrix, crop)

    def _embedded(
        self, found: Mapping[str, Sequence[Face]], crops: Sequence[Tensor]
    ) -> dict[str, list[SeenFace]]:
        """Return the faces of each photo with their embeddings; `crops` are all of them in order."""
        embeddings = iter(self._embed(crops))
        return {sha: [(face, next(embeddings)) for face in faces] for sha, faces in found.items()}

    def _embed(self, crops: Sequence[Tensor]) -> Iterable[NDArray[np.float32]]:
        if not crops:
            return ()
        with torch.no_grad():
            parts = torch.split(torch.stack(list(crops)), _BATCH)
            embeddings = torch.cat([self._network(part) for part in parts])
        return [row.numpy() for row in embeddings.float().cpu()]

    def _located(self, faces: Sequence[SeenFace]) -> tuple[Located, ...] | str:
        if not faces:
            return f"no face of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels found"
        return tuple(
            Located(face.landmarks, torch.tensor(embedding, device=self.device))
            for face, embedding in faces
        )

    @property
    def settings(self) -> Mapping[str, object]:
        """Return what, beside a photo's bytes, decides where its faces are and how they are seen."""
        return {
            "version": _CODE_VERSION,
            "network": [self._network.name, self._network.weights_sha256],
            "faces": dict(self._faces.settings),
            "faces_max": self._faces_max,
        }


def unreadable(error: Exception) -> str:
    """Return the reason of a failure to read a photo."""
    return f"unreadable: {error}"
