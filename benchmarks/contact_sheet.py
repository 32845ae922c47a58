"""What cloaks look like: one sheet of pictures for each system and level.

    python benchmarks/contact_sheet.py PHOTOS OUT --network mfn_ms1m_y1 --system lowkey --level high

PHOTOS holds one folder per person, as for `audit cloak`. OUT/SYSTEM-LEVEL.png has a row for each
photo: as it was, cloaked, the difference (grey = none, times `--amplify`), and the upper edge of the
cloaked region enlarged, before and after. Beside it stands what no eye can tell: how many pixels
outside the region differ (0 it must be), and how far the mean colour of its rim is off, in levels.
Exits with 1 where a pixel outside differs or a rim is off by a level. LowKey changes the whole
photo, and so has neither: what is shown of it is the square of the aligned crop, which it makes.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from real_photos import audit
from torch.nn.functional import interpolate

from cloaker.faces import FaceFinder
from cloaker.levels import SYSTEMS, resolve
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.region import FaceRegion
from datasets.photos import decode

Pixels = NDArray[np.uint8]

CELL_PX = 250
GAP_PX = 4
EDGE_PX = 50
RIM = 0.25  # of the mask: the outer fourth of the fade


@dataclass(frozen=True, slots=True)
class Pair:
    """A photo before and after, and how much of a crop's change reaches each pixel, 0..1.

    `whole`: the photo was changed beyond the crop too.
    """

    name: str
    before: Pixels
    after: Pixels
    mask: NDArray[np.float32]
    whole: bool

    @property
    def outside(self) -> int:
        """Return how many pixels differ where no change may be."""
        if self.whole:
            return 0
        return int(((self.before != self.after).any(axis=2) & (self.mask == 0)).sum())

    @property
    def rim_shift(self) -> float:
        """Return how far the rim's mean colour is off, in levels: the colour that is off most."""
        rim = (self.mask > 0) & (self.mask < RIM)
        if self.whole or not rim.any():
            return 0.0
        change = self.after[rim].astype(float) - self.before[rim]
        return float(np.abs(change.mean(axis=0)).max())


def main() -> None:
    """Cloak, draw, check."""
    arguments = parse()
    faults = 0
    print("| system | level | photo | changed outside | rim's shift, levels |\n" + "|---" * 5 + "|")
    for system, level in itertools.product(arguments.system, arguments.level):
        if level not in SYSTEMS[system].levels:
            continue
        rows = []
        for pair in cloaked(arguments, system, level):
            rows.append(row(pair, arguments.amplify))
            faults += bool(pair.outside) or pair.rim_shift >= 1
            figures = f"{pair.outside} | {pair.rim_shift:.2f}"
            print(f"| {system} | {level} | {pair.name} | {figures} |", flush=True)
        Image.fromarray(np.concatenate(rows)).save(arguments.out / f"{system}-{level}.png")
    sys.exit(f"{faults} photos have a flaw" if faults else 0)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", nargs="+", default=["bundled-conv"])
    parser.add_argument("--system", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--level", nargs="+", default=["high"])
    parser.add_argument("--set", action="append", default=[], help="SYSTEM:KEY=VALUE")
    parser.add_argument("--amplify", type=float, default=6)
    return parser.parse_args()


def cloaked(arguments: argparse.Namespace, system: str, level: str) -> Iterator[Pair]:
    """Cloak the photos as a user would; yield each that could be."""
    settings = [text.split(":", 1)[1] for text in arguments.set if text.startswith(f"{system}:")]
    out = arguments.out / "photos" / f"{system}-{level}"
    audit(
        *("cloak", str(arguments.photos), "--system", system, "--level", level),
        *("--out", str(out), "--quiet"),
        *itertools.chain(*(("--network", name) for name in arguments.network)),
        *itertools.chain(*(("--set", text) for text in settings)),
    )
    whole = bool(resolve(system, level, settings)["whole_photo"])
    networks, finder = [registry.load(name) for name in arguments.network], FaceFinder()
    for file in sorted(out.glob("*/*.png")):
        (source,) = (arguments.photos / file.parent.name).glob(f"{file.stem}.*")
        before, after = decode(source).pixels, decode(file).pixels
        mask = reached(before, finder, networks)
        yield Pair(f"{file.parent.name}/{file.stem}", before, after, mask, whole)


def reached(
    pixels: Pixels, finder: FaceFinder, networks: Sequence[EmbeddingNetwork]
) -> NDArray[np.float32]:
    """Return how much of a crop's change reaches each pixel, height x width in 0..1."""
    (face, *_) = finder.find(pixels)
    crops = [network.crop for network in networks]
    region = FaceRegion(pixels, face.landmarks, crops, torch.device("cpu"))
    mask = torch.zeros(pixels.shape[:2])
    part = interpolate(region.mask()[None], size=region.clean.shape[-2:], mode="bilinear")
    region.box.of(mask).copy_(part[0, 0])
    return mask.numpy()


def row(pair: Pair, amplify: float) -> Pixels:
    """Return one photo's pictures side by side."""
    rows, columns = (np.flatnonzero(pair.mask.any(axis=axis)) for axis in (1, 0))
    margin = (rows[-1] - rows[0]) // 5
    face = (
        window(rows[0] - margin, rows[-1] + margin),
        window(columns[0] - margin, columns[-1] + margin),
    )
    middle = (columns[0] + columns[-1]) // 2
    edge = (
        window(rows[0] - EDGE_PX // 2, rows[0] + EDGE_PX // 2),
        window(middle - EDGE_PX // 2, middle + EDGE_PX // 2),
    )
    change = pair.after.astype(float) - pair.before
    shown = np.clip(128 + amplify * change, 0, 255).astype(np.uint8)
    pictures = [(picture, face) for picture in (pair.before, pair.after, shown)]
    pictures += [(picture, edge) for picture in (pair.before, pair.after)]
    return np.concatenate([cell(picture[place]) for picture, place in pictures], axis=1)


def window(first: int, last: int) -> slice:
    """Return a slice that begins inside the photo."""
    return slice(max(0, int(first)), int(last) + 1)


def cell(picture: Pixels) -> Pixels:
    """Return a picture as large as fits into a cell, on white."""
    whole = np.full((CELL_PX + GAP_PX, CELL_PX + GAP_PX, 3), 255, np.uint8)
    scale = CELL_PX / max(picture.shape[:2])
    height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
    sampling = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
    whole[:height, :width] = np.asarray(Image.fromarray(picture).resize((width, height), sampling))
    return whole


if __name__ == "__main__":
    main()
