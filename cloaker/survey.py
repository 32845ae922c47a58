"""Where the face is in each photo and how the network sees it: found once, remembered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from audit.errors import AuditError
from audit.types import Photo, content_hash
from cloaker.cache import Cache
from cloaker.faces import Pixels
from cloaker.geometry import Similarity, align, planes, similarity
from cloaker.known_faces import MIN_SIDE_PX, KnownFaces
from cloaker.networks.base import EmbeddingNetwork

Read = Callable[[Photo], Pixels]
UNREADABLE = (OSError, ValueError, AuditError)
_CODE_VERSION = 1  # raised whenever the same photo gives another crop
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Located:
    """A photo's largest face: the similarity to the crop and the raw embedding, D."""

    matrix: Similarity
    embedding: Tensor


Survey = Mapping[str, Located | str]
"""By photo hash: the face, or why there is none."""


class Surveyor:
    """Finds, aligns and embeds the largest face of photos; remembers results in the cache."""

    def __init__(
        self, network: EmbeddingNetwork, faces: KnownFaces, read: Read, cache: Cache
    ) -> None:
        self._network, self._faces, self._read, self._cache = network, faces, read, cache
        self.device = next(chain(network.parameters(), network.buffers())).device

    def survey(self, photos: Sequence[Photo]) -> Survey:
        """Return each photo's largest face, or why it has none."""
        known = {photo.sha256: self._recall(photo) for photo in photos}
        seen: dict[str, Located | str] = {sha: face for sha, face in known.items() if face}
        new = [photo for photo in photos if photo.sha256 not in seen]
        for start in range(0, len(new), _BATCH):
            seen.update(self._look(new[start : start + _BATCH]))
        return seen

    def crop(self, pixels: Pixels, matrix: Similarity) -> Tensor:
        """Return a photo's aligned face, 3 x height x width in 0..255, on the device."""
        return align(planes(pixels).to(self.device), matrix, self._network.crop)

    def _look(self, photos: Sequence[Photo]) -> dict[str, Located | str]:
        seen: dict[str, Located | str] = {}
        aligned: dict[str, tuple[Similarity, Tensor]] = {}
        for photo in photos:
            try:
                pixels = self._read(photo)
            except UNREADABLE as error:
                seen[photo.sha256] = unreadable(error)
                continue
            faces = self._faces.find(photo.sha256, pixels)
            if faces:
                matrix = similarity(faces[0].landmarks, self._network.crop.points)
                aligned[photo.sha256] = matrix, self.crop(pixels, matrix)
            else:
                seen[photo.sha256] = self._remember_no_face(photo)
        return seen | self._embed(aligned)

    def _embed(self, aligned: Mapping[str, tuple[Similarity, Tensor]]) -> dict[str, Located]:
        if not aligned:
            return {}
        with torch.no_grad():
            embeddings = self._network(torch.stack([crop for _, crop in aligned.values()]))
        located = {
            sha: Located(matrix, embedding)
            for (sha, (matrix, _)), embedding in zip(aligned.items(), embeddings, strict=True)
        }
        for sha, face in located.items():
            kept = {"matrix": face.matrix.tolist(), "embedding": face.embedding.tolist()}
            self._cache.put(self._key(sha), kept)
        return located

    def _remember_no_face(self, photo: Photo) -> str:
        reason = f"no face of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels found"
        self._cache.put(self._key(photo.sha256), {"reason": reason})
        return reason

    def _recall(self, photo: Photo) -> Located | str | None:
        kept = self._cache.get(self._key(photo.sha256))
        if kept is None:
            return None
        if "reason" in kept:
            return str(kept["reason"])
        embedding = torch.tensor(kept["embedding"], device=self.device)
        return Located(np.array(kept["matrix"]), embedding)

    @property
    def settings(self) -> Mapping[str, object]:
        """Return what, beside a photo's bytes, decides where its face is and how it is seen."""
        return {
            "version": _CODE_VERSION,
            "network": [self._network.name, self._network.weights_sha256],
            "faces": dict(self._faces.settings),
        }

    def _key(self, sha256: str) -> str:
        return content_hash({"survey": self.settings, "photo": sha256})


def unreadable(error: Exception) -> str:
    """Return the reason of a failure to read a photo."""
    return f"unreadable: {error}"
