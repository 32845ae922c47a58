"""Find nearly identical photos: re-encoded, resized, slightly cropped, toned or mirrored copies.

Two stages. A 256-bit difference hash of the upright grey picture finds candidates among all
pairs. Then one small picture is laid over the other (`datasets.overlay`) and the two are compared
window by window: two shots from one tripod agree nearly everywhere, but not around the mouth or
the eyes; a copy agrees everywhere.

benchmarks/near_duplicates.py measures both stages; the thresholds were chosen by it.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from audit.types import Photo
from datasets.overlay import lay_over, pooled, worst_window

HASH_SIDE = 16
HASH_DISTANCE_MAX = 70  # of 256 bits; a crop of 3 % on every side changes up to 69
THUMBNAIL_SIDE = 64
COARSE_CORRELATION_MIN = 0.9
WINDOW_CORRELATION_MIN = 0.95  # copies are nearly all above 0.955, other shots below 0.93
ROWS_AT_ONCE = 256
PAIRS_AT_ONCE = 128

Bytes = NDArray[np.uint8]
Thumbnails = Callable[[Photo], Bytes]


def greyed(pixels: Bytes) -> Image.Image:
    """Return RGB pixels as the grey picture that the two below are made of."""
    return Image.fromarray(pixels).convert("L")


def thumbnail(grey: Image.Image) -> Bytes:
    """Return a grey picture squeezed to 64 x 64, uint8."""
    return _squeezed(grey, THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def fingerprint(grey: Image.Image) -> str:
    """Return the difference hash of a grey picture: 64 hexadecimal digits.

    Each bit tells whether a cell of a grid 16 wide and 17 high is brighter than the cell above
    it, so a mirrored picture has the same bits in mirrored columns.
    """
    cells = _squeezed(grey, HASH_SIDE, HASH_SIDE + 1)
    return np.packbits(cells[1:] > cells[:-1]).tobytes().hex()


def near_duplicates(
    left: Sequence[Photo], right: Sequence[Photo], thumbnail_of: Thumbnails
) -> list[tuple[int, int]]:
    """Return the positions of all nearly identical photos in `left` and `right`, in order."""
    return _confirmed(candidates(left, right), left, right, thumbnail_of)


def near_duplicates_across_people(
    photos: Sequence[Photo], thumbnail_of: Thumbnails
) -> list[tuple[int, int]]:
    """Return the positions of all nearly identical photos of different people, in order."""
    people = np.unique([photo.person for photo in photos], return_inverse=True)[1]
    found = candidates(photos, photos)
    i, j = found[:, 0], found[:, 1]
    return _confirmed(found[(i < j) & (people[i] != people[j])], photos, photos, thumbnail_of)


def candidates(left: Sequence[Photo], right: Sequence[Photo]) -> NDArray[np.int64]:
    """Return one row (left, right, mirrored) per pair whose hashes are close."""
    if not left or not right:
        return np.empty((0, 3), np.int64)
    bits = _bits(left)
    found = [
        np.column_stack([*pair, np.full_like(pair[0], mirrored)])
        for mirrored, other in enumerate((_bits(right), _bits(right)[:, :, ::-1]))
        for pair in _close(_words(bits), _words(other))
    ]
    return np.concatenate(found)


def correlations(left: Bytes, right: Bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how well pairs of thumbnails (n x 64 x 64) agree: as a whole, in the worst window.

    The whole is judged at half the resolution; the second is 0 where the first is too low.
    """
    coarse_left, coarse_right = pooled(left), pooled(right)
    place, whole = lay_over(coarse_left, coarse_right, sigma_px=1.0, steps=8)
    worst = np.zeros_like(whole)
    hopeful = np.flatnonzero(whole >= COARSE_CORRELATION_MIN)
    if hopeful.size:
        a, b = left[hopeful].astype(np.float64), right[hopeful].astype(np.float64)
        place, _ = lay_over(a, b, sigma_px=1.0, steps=8, start=place[hopeful])
        worst[hopeful] = worst_window(a, b, place)
    return whole, worst


def _squeezed(grey: Image.Image, width: int, height: int) -> Bytes:
    return np.asarray(grey.resize((width, height), Image.Resampling.BOX))


def _bits(photos: Sequence[Photo]) -> Bytes:
    """Return the hashes as photos x rows x columns of 0 and 1."""
    packed = np.frombuffer(bytes.fromhex("".join(p.fingerprint for p in photos)), np.uint8)
    return np.unpackbits(packed).reshape(len(photos), HASH_SIDE, HASH_SIDE)


def _words(bits: Bytes) -> NDArray[np.uint64]:
    return np.packbits(bits.reshape(len(bits), -1), axis=1).view(np.uint64)


def _close(
    left: NDArray[np.uint64], right: NDArray[np.uint64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the positions of all pairs within the distance, a block of rows at a time."""
    for first in range(0, len(left), ROWS_AT_ONCE):
        block = left[first : first + ROWS_AT_ONCE]
        distance = np.zeros((len(block), len(right)), np.uint16)
        for word in range(left.shape[1]):
            distance += np.bitwise_count(block[:, word, None] ^ right[:, word])
        i, j = np.nonzero(distance <= HASH_DISTANCE_MAX)
        yield i + first, j


def _confirmed(
    found: NDArray[np.int64],
    left: Sequence[Photo],
    right: Sequence[Photo],
    thumbnail_of: Thumbnails,
) -> list[tuple[int, int]]:
    """Return those candidates whose thumbnails agree in every window."""
    pairs = set()
    for first in range(0, len(found), PAIRS_AT_ONCE):
        block = found[first : first + PAIRS_AT_ONCE]
        a = np.stack([thumbnail_of(left[i]) for i in block[:, 0]])
        b = np.stack([thumbnail_of(right[j])[:, :: 1 - 2 * m] for _, j, m in block])
        _, worst = correlations(a, b)
        pairs |= {(int(i), int(j)) for i, j, _ in block[worst >= WINDOW_CORRELATION_MIN]}
    return sorted(pairs)
