"""Measure the near-duplicate check on real photos: recall on copies, false pairs on the rest.

    python benchmarks/near_duplicates.py FACES_DIR [--sample N]

FACES_DIR holds folders of folders of photos (set/person/photo) and near_duplicates.csv (columns
identity, file_a, file_b, mean_cosine, ...): pairs that look nearly the same, most of which are
different shots. Every figure is printed with the threshold that it was measured at.
"""

import argparse
import csv
import io
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from audit.types import Photo
from datasets import duplicates
from datasets.photos import read

Pixels = NDArray[np.uint8]
SEED = 1


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def resized(image: Image.Image, factor: float) -> Image.Image:
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(
    image: Image.Image, left: float, top: float, right: float, bottom: float
) -> Image.Image:
    width, height = image.size
    edges = (round((1 - right) * width), round((1 - bottom) * height))
    box = (round(left * width), round(top * height), *edges)
    return image.crop(box)


def toned(image: Image.Image, brightness: float, contrast: float) -> Image.Image:
    return ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(brightness)).enhance(
        contrast
    )


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 60": lambda image: jpeg(image, 60),
    "JPEG 95": lambda image: jpeg(image, 95),
    "half size": lambda image: resized(image, 0.5),
    "double size": lambda image: resized(image, 2),
    "brightness x 1.15": lambda image: toned(image, 1.15, 1),
    "contrast x 0.8": lambda image: toned(image, 1, 0.8),
    "contrast x 1.2": lambda image: toned(image, 1, 1.2),
    "crop 3 % left": lambda image: cropped(image, 0.03, 0, 0, 0),
    "crop 3 % left and top": lambda image: cropped(image, 0.03, 0.03, 0, 0),
    "crop 3 % each side": lambda image: cropped(image, 0.03, 0.03, 0.03, 0.03),
    "mirrored": ImageOps.mirror,
    "mirrored, crop, JPEG": lambda image: jpeg(
        ImageOps.mirror(cropped(image, 0.02, 0.02, 0, 0.02)), 80
    ),
    "sent by a messenger": lambda image: jpeg(
        toned(resized(cropped(image, 0.03, 0.03, 0, 0), 0.5), 1.1, 1), 70
    ),
    "beyond: crop 5 % each side": lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05),
}


class Material:
    """The photos of a folder with their fingerprints and thumbnails."""

    def __init__(self, root: Path) -> None:
        self.photos: list[Photo] = []
        self.thumbnails: dict[str, Pixels] = {}
        for path in sorted(root.glob("*/*/*.jpg")):
            self.photos.append(self.add(path, read(path).pixels, str(path)))

    def add(self, path: Path, pixels: Pixels, key: str) -> Photo:
        height, width, _ = pixels.shape
        grey = duplicates.greyed(pixels)
        self.thumbnails[key] = duplicates.thumbnail(grey)
        fingerprint = duplicates.fingerprint(grey)
        return Photo(key, path.parent.name, path, width, height, fingerprint)

    def thumbnail(self, photo: Photo) -> Pixels:
        return self.thumbnails[photo.sha256]


def copies(material: Material, sample: list[Photo]) -> None:
    print(f"\nrecall on copies of {len(sample)} photos (lowest worst-window correlation)")
    pixels = [Image.fromarray(read(photo.path).pixels) for photo in sample]
    for name, change in COPIES.items():
        changed = [
            material.add(photo.path, np.array(change(image)), f"{photo.path} {name}")
            for photo, image in zip(sample, pixels, strict=True)
        ]
        found = set(duplicates.near_duplicates(sample, changed, material.thumbnail))
        close = {(int(i), int(j)) for i, j, _ in duplicates.candidates(sample, changed)}
        own = [(k, k) for k in range(len(sample))]
        hits, hashed = sum(p in found for p in own), sum(p in close for p in own)
        lowest = lowest_correlation(material, sample, changed, mirrored="mirrored" in name)
        print(
            f"  {name:28} {hits / len(own):7.2%}  by hash alone {hashed / len(own):7.2%}"
            f"  lowest {lowest:.3f}  other photos matched {len(found) - hits}"
        )


def lowest_correlation(
    material: Material, sample: list[Photo], changed: list[Photo], *, mirrored: bool
) -> float:
    a = np.stack([material.thumbnail(photo) for photo in sample])
    b = np.stack([material.thumbnail(photo) for photo in changed])
    return float(duplicates.correlations(a, b[:, :, ::-1] if mirrored else b)[1].min())


def listed_pairs(material: Material, table: Path) -> None:
    print("\npairs of near_duplicates.csv that are here")
    here = {(p.person, p.path.name): p for p in material.photos}
    for row in csv.DictReader(table.open(encoding="utf-8")):
        a, b = (here.get((row["identity"], row[name])) for name in ("file_a", "file_b"))
        if a is None or b is None:
            continue
        found = duplicates.near_duplicates([a], [b], material.thumbnail)
        whole, worst = duplicates.correlations(
            material.thumbnail(a)[None], material.thumbnail(b)[None]
        )
        print(
            f"  {'FOUND' if found else '-':6} {a.person} {a.path.name} {b.path.name}"
            f"  cosine {row['mean_cosine']}  whole {whole[0]:.3f}  worst window {worst[0]:.3f}"
        )


def all_pairs(material: Material) -> None:
    photos = material.photos
    start_s = time.perf_counter()
    close = duplicates.candidates(photos, photos)
    hashed_s = time.perf_counter() - start_s
    found = [
        (i, j) for i, j in duplicates.near_duplicates(photos, photos, material.thumbnail) if i < j
    ]
    total_s = time.perf_counter() - start_s - hashed_s
    pairs = len(photos) * (len(photos) - 1) // 2
    candidates = len({(i, j) for i, j, _ in close.tolist() if i < j})
    print(f"\nall {pairs} pairs of {len(photos)} photos: {candidates} candidates by hash")
    print(f"  {len(found)} found ({len(found) / pairs:.1e} of all)")
    print(f"  hashes compared in {hashed_s:.1f} s, the whole check in {total_s:.1f} s")
    for i, j in found:
        print(
            f"  {photos[i].person}/{photos[i].path.name}  {photos[j].person}/{photos[j].path.name}"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("faces", type=Path)
    arguments.add_argument("--sample", type=int, default=300)
    options = arguments.parse_args()
    material = Material(options.faces)
    print(
        f"hash distance <= {duplicates.HASH_DISTANCE_MAX} of 256, "
        f"whole >= {duplicates.COARSE_CORRELATION_MIN}, "
        f"worst window >= {duplicates.WINDOW_CORRELATION_MIN}"
    )
    copies(material, random.Random(SEED).sample(material.photos, options.sample))
    listed_pairs(material, options.faces / "near_duplicates.csv")
    all_pairs(material)


if __name__ == "__main__":
    main()
