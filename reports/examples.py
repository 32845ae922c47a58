"""Example pairs for the page: original, cloaked and their difference, small and embedded."""

import base64
import io
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, ImageChops

from audit.errors import UserError
from reports.tables import CLOAK_KEYS, cloak_titles, with_cloak_keys

AMPLIFICATION = 10
_SIDE_MAX_PX = 320
_PHOTOS_STRONGEST = 3
_PHOTOS_OTHERS = 1
_MARGIN = 0.15
_Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Pair:
    """One photo before and after, cut to the part that the cloak touched, as data URIs."""

    original: str
    cloaked: str
    difference: str
    width: int
    height: int
    dssim: float
    linf: float


@dataclass(frozen=True, slots=True)
class Examples:
    """One cloak's example pairs."""

    title: str
    pairs: tuple[Pair, ...]


def examples(run: Path, cloaks: pd.DataFrame) -> tuple[Examples, ...]:
    """Return example pairs per cloak: three of the largest budget, one of each other.

    Only photos whose original lies in RUN/examples can be shown. Raises UserError naming a picture
    that can't be read.
    """
    originals = {path.stem for path in (run / "examples").glob("*.png")}
    kept = with_cloak_keys(cloaks)
    kept = kept[kept["source_sha256"].isin(originals)]
    order = ["budget", *CLOAK_KEYS, "source_sha256"]
    kept = kept.sort_values(order, ascending=[False, *[True] * (len(order) - 1)])
    groups = list(kept.groupby(list(CLOAK_KEYS), sort=False))
    titles = cloak_titles([[str(key) for key in keys] for keys, _ in groups])
    numbers = [_PHOTOS_STRONGEST, *[_PHOTOS_OTHERS] * len(groups)]
    return tuple(
        Examples(title, tuple(_pair(run, row) for row in rows.head(photos).to_dict("records")))
        for title, (_, rows), photos in zip(titles, groups, numbers, strict=False)
    )


def _pair(run: Path, row: Mapping[Hashable, Any]) -> Pair:
    original = _picture(run / "examples" / f"{row['source_sha256']}.png")
    cloaked_path = run / "cloaked" / row["file"]
    cloaked = _picture(cloaked_path)
    if cloaked.size != original.size:
        raise _unusable(cloaked_path, f"{cloaked.size} pixels, its original has {original.size}")
    difference = ImageChops.difference(original, cloaked)
    box = _with_margin(difference.getbbox() or (0, 0, *original.size), original.size)
    amplified = difference.point(lambda value: min(255, value * AMPLIFICATION))
    parts = [_small(picture, box) for picture in (original, cloaked, amplified)]
    return Pair(
        original=_data_uri(parts[0]),
        cloaked=_data_uri(parts[1]),
        difference=_data_uri(parts[2]),
        width=parts[0].width,
        height=parts[0].height,
        dssim=row["dssim"],
        linf=row["linf"],
    )


def _with_margin(box: _Box, size: tuple[int, int]) -> _Box:
    left, top, right, bottom = box
    margin = round(_MARGIN * max(right - left, bottom - top))
    far = min(size[0], right + margin), min(size[1], bottom + margin)
    return max(0, left - margin), max(0, top - margin), *far


def _small(picture: Image.Image, box: _Box) -> Image.Image:
    picture = picture.crop(box)
    picture.thumbnail((_SIDE_MAX_PX, _SIDE_MAX_PX), Image.Resampling.LANCZOS)
    return picture


def _picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError) as error:
        raise _unusable(path, str(error)) from error


def _data_uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=92, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _unusable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} can't be shown: {why}",
        expected="the PNG as the run wrote it",
        remedy="restore the file, or take the photo's original out of RUN/examples",
    )
