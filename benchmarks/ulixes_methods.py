"""Whether faces still verify after each of Ulixes' ways of choosing a negative, on real photos.

    OMP_NUM_THREADS=1 python benchmarks/ulixes_methods.py FACES --network mfn_ms1m_y1

FACES has one folder per person, with at least as many photos as asked for. The paper's section 4:
each photo is cloaked on the network that verifies it, and the distances of all pairs are compared
with the threshold at which 6 % of the clean pairs of different people verify. Both pairings, for
the paper doesn't tell its own: two cloaked photos, and a cloaked with a clean one. Every photo is
saved, and its face found anew.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from audit.types import Cloak, CloakedPhoto, Photo, Targets
from cloaker.cloaking import cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.recogniser import LocalRecogniser, decode
from cloaker.systems.ulixes import METHODS

_FALSE_POSITIVES = 0.06
Array = NDArray[np.float64]


def main() -> None:
    """Cloak by each method and margin; print a table."""
    torch.set_flush_denormal(True)
    arguments = _arguments()
    network = registry.load(arguments.network, arguments.device)
    people = _people(arguments)
    recogniser = LocalRecogniser(network, arguments.device)
    clean = _embedded(recogniser, [photo.path for own in people.values() for photo in own])
    same = _same([name for name, own in people.items() for _ in own])
    threshold = float(np.quantile(_distances(clean, clean)[~same], _FALSE_POSITIVES))
    print(f"{arguments.network}, {len(people)} people x {arguments.photos} photos")
    print(f"threshold {threshold:.3f}")
    columns = "method, margin, TP, FP, TP to clean, FP to clean, moved, DSSIM, steps, s/photo"
    print(f"| {columns.replace(', ', ' | ')} |\n|" + " --- |" * 10)
    _print("clean", "", (clean, clean), same, threshold)
    for method in arguments.method:
        for margin in arguments.margin:
            with tempfile.TemporaryDirectory() as folder:
                settings = (f"method={method}", f"margin={margin}", f"budget={arguments.budget}")
                made = _cloaked(settings, network, people, Path(folder))
                files = [Path(folder) / "out" / photo.file for photo in made]
                cloaked = _embedded(recogniser, files)
            _print(method, margin, (cloaked, clean), same, threshold, made)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--network", default="mfn_ms1m_y1")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--photos", type=int, default=5, help="of each person")
    parser.add_argument("--method", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--margin", nargs="+", default=["0.2", "1.0", "2.0"])
    parser.add_argument("--budget", default="inf", help="largest DSSIM")
    return parser.parse_args()


def _people(arguments: argparse.Namespace) -> dict[str, list[Photo]]:
    """Return the first people who have enough photos, with the first of these."""
    people: dict[str, list[Photo]] = {}
    for folder in sorted(path for path in arguments.faces.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())[: arguments.photos]
        if len(files) == arguments.photos and len(people) < arguments.people:
            people[folder.name] = [_photo(file) for file in files]
    return people


def _photo(file: Path) -> Photo:
    contents = file.read_bytes()
    height, width = decode(contents).shape[:2]
    return Photo(hashlib.sha256(contents).hexdigest(), file.parent.name, file, width, height)


def _cloaked(
    settings: Sequence[str],
    network: EmbeddingNetwork,
    people: Mapping[str, Sequence[Photo]],
    folder: Path,
) -> list[CloakedPhoto]:
    """Cloak everyone's photos, in order, with everyone else to choose negatives from."""
    parameters = resolve("ulixes", "high", settings)
    weights = {network.name: network.weights_sha256}
    cloak = Cloak("ulixes", "high", parameters, weights, Targets.SEPARATE, 0)
    cloaked: list[CloakedPhoto] = []
    for name, own in people.items():
        made = cloak_photos(
            cloak,
            [network],
            own,
            {other: photos for other, photos in people.items() if other != name},
            read=lambda photo: decode(photo.path.read_bytes()),
            faces=KnownFaces(folder / "faces"),
            out=folder / "out",
            cache=folder / "cache",
        )
        if made.failures:
            raise SystemExit(f"no face: {made.failures[0][0].path}")
        cloaked += made.cloaked
    return cloaked


def _embedded(recogniser: LocalRecogniser, files: Sequence[Path]) -> Array:
    """Return the unit embedding of each file's largest face."""
    return np.array([recogniser(file.read_bytes())[0].embedding for file in files])


def _same(names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which pairs of photos show one person; a photo and itself count for nobody."""
    who = np.array(names)
    same: NDArray[np.bool_] = who[:, None] == who
    return same


def _distances(a: Array, b: Array) -> Array:
    distances: Array = np.sqrt(np.maximum(2 - 2 * a @ b.T, 0))
    return distances


def _print(
    method: str,
    margin: str,
    embeddings: tuple[Array, Array],
    same: NDArray[np.bool_],
    threshold: float,
    made: Sequence[CloakedPhoto] = (),
) -> None:
    seen, clean = embeddings
    others = same & ~np.eye(len(same), dtype=bool)
    rates = [
        f"{float((_distances(seen, against)[pairs] < threshold).mean()):.3f}"
        for against in (seen, clean)
        for pairs in (others, ~same)
    ]
    moved = f"{float(np.diag(_distances(seen, clean)).mean()):.2f}"
    means = [
        f"{np.mean([getattr(photo, figure) for photo in made]):.{digits}f}" if made else ""
        for figure, digits in (("dssim", 4), ("steps", 0), ("seconds", 1))
    ]
    print("| " + " | ".join([method, margin, *rates, moved, *means]) + " |", flush=True)


if __name__ == "__main__":
    main()
