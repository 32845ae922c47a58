"""Photo bytes in, unit embeddings out: the eyes of emulators and of the local provider."""

import hashlib
import io
import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from audit.types import RecognisedFace
from cloaker.embeddings import EmbeddingCache, SeenFace
from cloaker.faces import FaceFinder, Pixels
from cloaker.geometry import align, planes, similarity
from cloaker.known_faces import MIN_SIDE_PX, Face
from cloaker.networks.base import EmbeddingNetwork

_REMEMBERED_PHOTOS = 2048
_CODE_VERSION = 1  # raised whenever the same photo gives other embeddings


class LocalRecogniser:
    """Finds every face of a photo with MTCNN and embeds it; an `audit.types.Recogniser`.

    The same bytes are looked at once, since several arms send them; with `cache` once ever. Safe to
    call from threads.
    """

    def __init__(
        self,
        network: EmbeddingNetwork,
        device: torch.device | str = "cpu",
        cache: EmbeddingCache | None = None,
    ) -> None:
        self._device = torch.device(device)
        self._network = network.to(self._device)
        self._finder = FaceFinder(device, searched_from_px=MIN_SIDE_PX)
        self._cache = cache
        self._known: OrderedDict[str, tuple[RecognisedFace, ...]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Return the embedding network's name."""
        return self._network.name

    def __call__(self, image: bytes) -> Sequence[RecognisedFace]:
        """Return the faces of a photo, largest first, with unit embeddings.

        Raises ValueError when the bytes are no picture that can be decoded.
        """
        sha256 = hashlib.sha256(image).hexdigest()
        with self._lock:
            if sha256 in self._known:
                self._known.move_to_end(sha256)
                return self._known[sha256]
        faces = tuple(_recognised(face, embedding) for face, embedding in self._seen(sha256, image))
        with self._lock:
            self._known[sha256] = faces
            if len(self._known) > _REMEMBERED_PHOTOS:
                self._known.popitem(last=False)
        return faces

    def _seen(self, sha256: str, image: bytes) -> Sequence[SeenFace]:
        """Return the faces of a photo with the network's embeddings, kept or computed now."""
        kept = self._cache.get(self._settings, [sha256]) if self._cache else {}
        if sha256 in kept:
            return kept[sha256]
        with self._lock:
            pixels = decode(image)  # under the lock: it changes the process's warning filters
        seen = self._look(pixels)
        if self._cache:
            self._cache.put(self._settings, {sha256: seen})
        return seen

    def _look(self, pixels: Pixels) -> Sequence[SeenFace]:
        faces = self._finder.find(pixels)
        if not faces:
            return ()
        crop = self._network.crop
        photo = planes(pixels).to(self._device)
        crops = [align(photo, similarity(face.landmarks, crop.points), crop) for face in faces]
        embeddings = self._network.embed(torch.stack(crops)).cpu().numpy()
        return tuple(zip(faces, embeddings, strict=True))

    @property
    def _settings(self) -> Mapping[str, object]:
        """Return what, beside a photo's bytes, decides which faces are found and how they are seen."""
        return {
            "recogniser": _CODE_VERSION,
            "network": [self._network.name, self._network.weights_sha256],
            "faces": self._finder.settings,
        }


def _recognised(face: Face, embedding: NDArray[np.float32]) -> RecognisedFace:
    return RecognisedFace(
        left=round(face.left),
        top=round(face.top),
        width=round(face.width),
        height=round(face.height),
        confidence=face.probability,
        embedding=tuple(embedding.tolist()),
        landmarks=face.landmarks,
    )


def decode(image: bytes) -> Pixels:
    """Return the upright RGB pixels of a picture's first frame.

    Raises ValueError when the bytes are no picture that can be decoded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of oddities that it can live with
        try:
            with Image.open(io.BytesIO(image)) as picture:
                return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
        except UnidentifiedImageError:
            raise ValueError("not a picture") from None
        except Exception as error:  # decoders raise nearly anything on a broken file
            raise ValueError(f"the picture can't be decoded: {error}") from error
