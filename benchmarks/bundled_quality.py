"""What the bundled people and networks are worth: python benchmarks/bundled_quality.py.

Prints milliseconds per rendered photo, the share of photos in which MTCNN finds exactly one face
(overall and by tenth of the skin tones), and both networks' rank-1 rate on people never trained
on, three photos of each in the gallery and three as probes.
"""

import argparse
import time

import numpy as np
import torch
from bundled_crops import generated_crops
from facenet_pytorch import MTCNN
from numpy.typing import NDArray

from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from cloaker.networks.bundled import NAMES, load
from datasets.generated import person, render

UNSEEN = range(100, 200)
GALLERY, PROBES = 3, 3
BATCH = 25


def faces_found(people: range) -> tuple[NDArray[np.int64], float]:
    """Return the faces found in one photo of each person, and milliseconds per rendering."""
    detector, found, seconds = MTCNN(keep_all=True), [], 0.0
    for start in range(people.start, people.stop, BATCH):
        began = time.process_time()
        part = range(start, min(start + BATCH, people.stop))
        photos = np.stack([render(person(index), index % 10) for index in part])
        seconds += time.process_time() - began
        boxes, _ = detector.detect(photos)
        found += [0 if one is None else len(one) for one in boxes]
    return np.array(found), 1000 * seconds / len(people)


def rank_one(network: EmbeddingNetwork, crops: torch.Tensor, people: NDArray[np.int64]) -> float:
    """Return the share of probes whose nearest gallery crop shows the same person.

    Crops are ordered by person; the first ones of each are the gallery.
    """
    units = network.embed(crops.float())
    turn = np.concatenate([np.arange(count) for count in np.unique(people, return_counts=True)[1]])
    gallery, probes = np.flatnonzero(turn < GALLERY), np.flatnonzero(turn >= GALLERY)
    nearest = (units[probes] @ units[gallery].T).argmax(1).numpy()
    return float((people[gallery][nearest] == people[probes]).mean())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=1200)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.workers)
    people = range(2000, 2000 + options.photos)
    found, milliseconds = faces_found(people)
    print(f"rendering: {milliseconds:.1f} ms a photo (CPU time, one core)")
    print(f"exactly one face: {(found == 1).mean():.2%} of {len(found)} photos")
    tenths = np.array([int(person(index).skin.tone * 10) for index in people])
    for tenth in range(10):
        part = found[tenths == tenth]
        print(f"  skin tone {tenth / 10:.1f} and darker: {(part == 1).mean():.2%} of {len(part)}")
    crops = generated_crops(UNSEEN, GALLERY + PROBES, ARCFACE_112, options.workers)
    print(f"unseen people: {len(UNSEEN)}; no face in {crops.missed} of their photos")
    for name in NAMES:
        rate = rank_one(load(name), torch.from_numpy(crops.pixels), crops.people)
        print(f"rank-1, {name}: {rate:.2%}")


if __name__ == "__main__":
    main()
