"""Turn a network's cosines into scores: python benchmarks/calibrate.py NETWORK [--photos DIR].

Finds slope and offset of score = 1 / (1 + exp(-(slope * cosine + offset))) such that the cosine
exceeded by one impostor pair in a thousand scores 0.5 and the median genuine pair 0.95, and
writes them to the emulators' calibration.json. DIR holds one folder per person; without it,
generated people are used whom no bundled network was trained on.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from bundled_crops import Crops, Pixels, cropped, generated_crops, stacked
from numpy.typing import NDArray
from PIL import Image, ImageOps

import providers.emulators
from cloaker.faces import FaceFinder
from cloaker.networks.base import Crop
from cloaker.networks.registry import load
from providers.emulators.calibration import Cosines, fitted

TABLE = Path(providers.emulators.__file__).parent / "calibration.json"
GENERATED = range(200, 300)
GENERATED_LABEL = "generated people"


@dataclass(frozen=True, slots=True)
class Entry:
    """One network's entry in the table."""

    slope: float
    offset: float
    genuine_pairs: int
    impostor_pairs: int
    photos: str


def pair_cosines(units: torch.Tensor, people: NDArray[np.int64]) -> tuple[Cosines, Cosines]:
    """Return the cosines of all pairs of unit embeddings N x D: genuine ones, impostor ones."""
    first, second = np.triu_indices(len(people), 1)
    cosines = (units @ units.T).numpy()[first, second]
    same = people[first] == people[second]
    return cosines[same], cosines[~same]


def folder_crops(folder: Path, per_person: int, crop: Crop) -> Crops:
    """Crop the first photos of each person's folder."""
    return stacked(_of_folder(folder, per_person, crop))


def _of_folder(folder: Path, per_person: int, crop: Crop) -> Iterator[tuple[int, Pixels | None]]:
    finder = FaceFinder()
    for number, person in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(person.iterdir())[:per_person]:
            photo = _read(path)
            yield number, None if photo is None else cropped(photo, finder, crop)


def _read(path: Path) -> Pixels | None:
    try:
        with Image.open(path) as picture:
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except OSError as error:
        print(f"left out: {path}: {error}")
        return None


def store(name: str, entry: Entry) -> None:
    """Add or replace a network's entry in the table."""
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    table[name] = asdict(entry)
    TABLE.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Calibrate one network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--label", help="what the table calls the photos; default: DIR's name")
    parser.add_argument("--per-person", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.workers)
    network = load(options.network)
    if options.photos is None:
        label = options.label or GENERATED_LABEL
        crops = generated_crops(GENERATED, options.per_person, network.crop, options.workers)
    else:
        label = options.label or options.photos.name
        crops = folder_crops(options.photos, options.per_person, network.crop)
    units = network.embed(torch.from_numpy(crops.pixels).float())
    genuine, impostor = pair_cosines(units, crops.people)
    curve = fitted(genuine, impostor)
    entry = Entry(curve.slope, curve.offset, len(genuine), len(impostor), label)
    store(options.network, entry)
    print(f"{len(crops.people)} crops, no face in {crops.missed} photos")
    print(f"genuine cosines, 5 % and median: {np.quantile(genuine, [0.05, 0.5]).round(3)}")
    print(f"impostor cosines, median and 99.9 %: {np.quantile(impostor, [0.5, 0.999]).round(3)}")
    print(f"{options.network}: {entry}")


if __name__ == "__main__":
    main()
