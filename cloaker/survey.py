"""Where the faces are in each photo and how a network sees them: found once, remembered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from audit.errors import AuditError
from audit.types import Photo, content_hash
from cloaker.cache import Cache
from cloaker.faces import Pixels
from cloaker.geometry import align, planes, similarity
from cloaker.known_faces import MIN_SIDE_PX, KnownFaces
from cloaker.networks.base import EmbeddingNetwork, Points

Read = Callable[[Photo], Pixels]
UNREADABLE = (OSError, ValueError, AuditError)
_CODE_VERSION = 2  # raised whenever the same photo gives another crop
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
        cache: Cache,
        *,
        every_face: bool = False,
    ) -> None:
        self._network, self._faces, self._read, self._cache = network, faces, read, cache
        self._faces_max = None if every_face else 1
        self.device = next(chain(network.parameters(), network.buffers())).device

    def survey(self, photos: Sequence[Photo]) -> Survey:
        """Return each photo's faces, or why it has none."""
        known = {photo.sha256: self._recall(photo) for photo in photos}
        seen = {sha: faces for sha, faces in known.items() if faces is not None}
        new = [photo for photo in photos if photo.sha256 not in seen]
        for start in range(0, len(new), _BATCH):
            seen.update(self._look(new[start : start + _BATCH]))
        return seen

    def _look(self, photos: Sequence[Photo]) -> dict[str, tuple[Located, ...] | str]:
        seen: dict[str, tuple[Located, ...] | str] = {}
        aligned: list[tuple[str, Points, Tensor]] = []
        for photo in photos:
            try:
                pixels = self._read(photo)
            except UNREADABLE as error:
                seen[photo.sha256] = unreadable(error)
                continue
            faces = self._faces.find(photo.sha256, pixels)[: self._faces_max]
            if not faces:
                seen[photo.sha256] = self._remember_no_face(photo)
            for face in faces:
                crop = self._crop(pixels, face.landmarks)
                aligned.append((photo.sha256, face.landmarks, crop))
        return seen | self._embed(aligned)

    def _crop(self, pixels: Pixels, landmarks: Points) -> Tensor:
        """Return an aligned face, 3 x height x width in 0..255, on the device."""
        crop = self._network.crop
        matrix = similarity(landmarks, crop.points)
        return align(planes(pixels).to(self.device), matrix, crop)

    def _embed(
        self, aligned: Sequence[tuple[str, Points, Tensor]]
    ) -> dict[str, tuple[Located, ...]]:
        if not aligned:
            return {}
        with torch.no_grad():
            crops = torch.stack([crop for _, _, crop in aligned])
            embeddings = torch.cat([self._network(part) for part in torch.split(crops, _BATCH)])
        located: dict[str, list[Located]] = {}
        for (sha, landmarks, _), embedding in zip(aligned, embeddings, strict=True):
            located.setdefault(sha, []).append(Located(landmarks, embedding))
        for sha, faces in located.items():
            kept = [
                {"landmarks": face.landmarks, "embedding": face.embedding.tolist()}
                for face in faces
            ]
            self._cache.put(self._key(sha), {"faces": kept})
        return {sha: tuple(faces) for sha, faces in located.items()}

    def _remember_no_face(self, photo: Photo) -> str:
        reason = f"no face of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels found"
        self._cache.put(self._key(photo.sha256), {"reason": reason})
        return reason

    def _recall(self, photo: Photo) -> tuple[Located, ...] | str | None:
        kept = self._cache.get(self._key(photo.sha256))
        if kept is None:
            return None
        return str(kept["reason"]) if "reason" in kept else tuple(map(self._located, kept["faces"]))

    def _located(self, kept: Mapping[str, Any]) -> Located:
        landmarks = tuple((x, y) for x, y in kept["landmarks"])
        return Located(landmarks, torch.tensor(kept["embedding"], device=self.device))

    @property
    def settings(self) -> Mapping[str, object]:
        """Return what, beside a photo's bytes, decides where its faces are and how they are seen."""
        return {
            "version": _CODE_VERSION,
            "network": [self._network.name, self._network.weights_sha256],
            "faces": dict(self._faces.settings),
            "faces_max": self._faces_max,
        }

    def _key(self, sha256: str) -> str:
        return content_hash({"survey": self.settings, "photo": sha256})


def unreadable(error: Exception) -> str:
    """Return the reason of a failure to read a photo."""
    return f"unreadable: {error}"
