"""Identification at scale: 10,000 probes among 100,000 enrolled faces, beside scikit-learn.

    python benchmarks/gallery_scale.py

Seeded synthetic people: 10,000 directions of 512 dimensions, ten faces and one probe each, so far
apart that some probes are mistaken. "Ours" is `providers.emulators.matching.Faces`, which the local
provider and the emulators match with: all probes at once (`nearest`), and one by one as a run asks
(`cosines`, then `best_first`; on fewer probes, told per probe). scikit-learn's are
NearestNeighbors(algorithm="brute") and NearestCentroid, in processes of their own like ours. Prints
processor seconds of fitting and asking, by how much the process's highest memory was above that of
making the embeddings, the share of probes identified, and how often both name the same person.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestCentroid, NearestNeighbors

from providers.emulators.matching import Faces
from providers.emulators.options import Matching

Embeddings = NDArray[np.float32]
Places = NDArray[np.intp]

DIMENSION = 512
SPREAD = 2.2  # of a face around its person's direction: so some probes are mistaken
SEED = 0
BLOCK = 10_000


def people_of(count: int, each: int) -> tuple[Embeddings, Embeddings]:
    """Return enrolled faces, each person's together, and one probe of each person; unit vectors."""
    random = np.random.default_rng(SEED)
    directions = _unit(random.standard_normal((count, DIMENSION), np.float32))
    return _around(directions.repeat(each, axis=0), random), _around(directions, random)


def _around(directions: Embeddings, random: np.random.Generator) -> Embeddings:
    for start in range(0, len(directions), BLOCK):
        part = directions[start : start + BLOCK]
        part = part + SPREAD * _unit(random.standard_normal(part.shape, np.float32))
        directions[start : start + BLOCK] = _unit(part)
    return directions


def _unit(vectors: Embeddings) -> Embeddings:
    unit: Embeddings = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def ours(matching: Matching) -> Callable[[Embeddings, Places, Embeddings], Places]:
    """Return our batched matching as a function of faces, their people and probes."""

    def identify(faces: Embeddings, people: Places, probes: Embeddings) -> Places:
        names = [str(person) for person in people.tolist()]
        places, _ = Faces(names, faces).nearest(probes, matching)
        return places  # names stand in the order of their first face

    return identify


def sklearn_nearest(faces: Embeddings, people: Places, probes: Embeddings) -> Places:
    """Identify by scikit-learn's nearest face."""
    fitted = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(faces)
    found: Places = people[fitted.kneighbors(probes, return_distance=False)[:, 0]]
    return found


def sklearn_centroid(faces: Embeddings, people: Places, probes: Embeddings) -> Places:
    """Identify by scikit-learn's nearest mean."""
    found: Places = NearestCentroid().fit(faces, people).predict(probes)
    return found


WAYS = {
    "nearest, ours": ours(Matching.NEAREST),
    "nearest, scikit-learn": sklearn_nearest,
    "centroid, ours": ours(Matching.CENTROID),
    "centroid, scikit-learn": sklearn_centroid,
}


def measure(way: str, count: int, each: int, answers: Path) -> None:
    """Identify in this process; print what it took as JSON and keep the answers."""
    faces, probes = people_of(count, each)
    people = np.arange(count).repeat(each)
    before, began = _peak_bytes(), time.process_time()
    found = WAYS[way](faces, people, probes)
    took_s = time.process_time() - began
    np.save(answers, found)
    row = {
        "cpu_s": took_s,
        "beyond_mb": (_peak_bytes() - before) / 1e6,
        "embeddings_mb": (faces.nbytes + probes.nbytes) / 1e6,
        "identified": float((found == np.arange(count)).mean()),
    }
    print(json.dumps(row))


def one_by_one(count: int, each: int, probes_asked: int) -> None:
    """Print the processor time that one probe of a run takes, as the local provider asks."""
    faces, probes = people_of(count, each)
    names = [str(person) for person in np.arange(count).repeat(each).tolist()]
    for matching in Matching:
        enrolled = Faces(names, faces)
        enrolled.best_first(enrolled.cosines(probes[0], matching))  # what a gallery needs once
        began = time.process_time()
        for probe in probes[:probes_asked]:
            enrolled.best_first(enrolled.cosines(probe, matching))
        each_ms = 1000 * (time.process_time() - began) / probes_asked
        print(
            f"one by one, everybody ranked, {matching}: {each_ms:.0f} ms of the processor a probe"
        )


def _peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Print a row for each way, then how often the two of a kind agree."""
    arguments = _arguments()
    if arguments.way:
        measure(arguments.way, arguments.people, arguments.each, arguments.answers)
        return
    print(f"{arguments.people * arguments.each} faces, {arguments.people} probes, {DIMENSION}-d")
    print(
        "| matching | processor s | more memory than for making the embeddings, MB | identified |\n|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = {way: _measured(way, arguments, Path(folder)) for way in WAYS}
        for way, row in rows.items():
            shown = f"{row['cpu_s']:.1f} | {row['beyond_mb']:.0f} | {row['identified']:.4f}"
            print(f"| {way} | {shown} |")
        for kind in ("nearest", "centroid"):
            mine, theirs = (
                np.load(Path(folder) / f"{kind}, {who}.npy") for who in ("ours", "scikit-learn")
            )
            ratio = rows[f"{kind}, scikit-learn"]["cpu_s"] / rows[f"{kind}, ours"]["cpu_s"]
            same = f"{(mine == theirs).mean():.4f} of the probes get the same answer"
            print(f"{kind}: scikit-learn takes {ratio:.2f} times as long; {same}")
    one_by_one(arguments.people, arguments.each, arguments.one_by_one)


def _measured(way: str, arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    sizes = ["--people", str(arguments.people), "--each", str(arguments.each)]
    answers = ["--way", way, "--answers", str(folder / f"{way}.npy")]
    command = [sys.executable, __file__, *sizes, *answers]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, float] = json.loads(done.stdout)
    return row


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=10, help="enrolled faces of each person")
    parser.add_argument("--one-by-one", type=int, default=50, help="probes asked one at a time")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--answers", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
