"""Odd photos through `audit cloak`: each is cloaked or refused with a reason; nothing falls over."""

import io
import itertools
import json
import math
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, ImageOps

from cloaker.faces import FaceFinder
from datasets.photos import decode

Pixels = NDArray[np.uint8]
DrawPhoto = Callable[[int, int], Pixels]
Audit = Callable[..., subprocess.CompletedProcess[str]]
Rows = dict[str, str]

ORIENTATION = 0x0112
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def cloak_all(
    audit_here: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Rows]:
    """Return a function that cloaks photos/ into out/ and tells by file why it wasn't cloaked.

    The photos lose the mark of a drawn person on their way, but the bundled networks know them.
    """
    monkeypatch.setattr("audit.cloak_folder.refuse_bundled_networks", lambda *_: None)

    def call(*options: str) -> Rows:
        arguments = ("--level", "min", "--network", "bundled-conv", "--out", "out", "--json")
        done = audit_here("cloak", tmp_path / "photos", *arguments, *options)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return {
            f"{row['person']}/{row['file']}": row["not cloaked"] for row in json.loads(done.stdout)
        }

    return call


class Folder:
    """Photos of one drawn person; each is another one, since a photo is cloaked once."""

    def __init__(self, root: Path, draw: DrawPhoto, finder: FaceFinder) -> None:
        self._root = root / "photos" / "ann"
        self._root.mkdir(parents=True)
        drawn = (draw(0, number) for number in itertools.count())
        self._faces = (pixels for pixels in drawn if len(finder.find(pixels)) == 1)

    def face(self) -> Image.Image:
        return Image.fromarray(next(self._faces))

    def save(self, name: str, picture: Image.Image, **options: Any) -> Path:
        picture.save(self._root / name, **options)
        return self._root / name

    def write(self, name: str, content: bytes) -> Path:
        (self._root / name).write_bytes(content)
        return self._root / name


@pytest.fixture
def folder(tmp_path: Path, draw: DrawPhoto, finder: FaceFinder) -> Folder:
    other = tmp_path / "photos" / "bob"
    made = Folder(tmp_path, draw, finder)
    other.mkdir()
    Image.fromarray(draw(1, 0)).save(other / "bob.png")
    return made


def copies(tmp_path: Path, finder: FaceFinder, sources: list[Path]) -> None:
    """Check each cloaked copy: the size, a change about the face, and none elsewhere."""
    for source in sources:
        before = decode(source).pixels
        after = decode(tmp_path / "out" / "ann" / f"{source.stem}.png").pixels
        assert before.shape == after.shape
        rows, columns = np.nonzero((before != after).any(axis=2))
        (face, *_) = finder.find(before)
        assert face.left - face.width < columns.min() < columns.max() < face.left + 2 * face.width
        assert face.top - face.height < rows.min() < rows.max() < face.top + 2 * face.height


def png_of_16_bits(picture: Image.Image) -> bytes:
    """Return a PNG with 16 bits a colour, which Pillow reads but can't write."""
    rows = (np.asarray(picture).astype(">u2") * 257).reshape(picture.height, -1)
    unfiltered = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(unfiltered)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_every_kind_of_file_is_cloaked_where_its_face_is(
    folder: Folder, tmp_path: Path, finder: FaceFinder, cloak_all: Callable[..., Rows]
) -> None:
    grey16 = np.asarray(folder.face().convert("L")).astype(np.uint16) * 257
    clear = folder.face().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size).point(lambda a: 128 + a // 2))
    frames = [folder.face(), Image.new("RGB", (250, 250), "red")]
    wide = Image.new("RGB", (2600, 250), "grey")
    wide.paste(folder.face(), (1200, 0))
    tall = Image.new("RGB", (260, 5200), "grey")
    tall.paste(folder.face(), (5, 4300))
    sources = [
        folder.save("cmyk.jpg", folder.face().convert("CMYK"), quality=95),
        folder.save("grey.jpg", folder.face().convert("L"), quality=95),
        folder.save("grey16.png", Image.fromarray(grey16)),
        folder.save("palette.png", folder.face().quantize(64), transparency=0),
        folder.save("gradient.png", clear, icc_profile=SRGB),
        folder.save("animated.gif", frames[0], save_all=True, append_images=frames[1:]),
        folder.save("animated.webp", folder.face(), save_all=True, append_images=frames[1:]),
        folder.save("moving.png", folder.face(), save_all=True, append_images=frames[1:]),
        folder.write("colour16.png", png_of_16_bits(folder.face())),
        folder.save(
            "progressive.jpg", folder.face(), quality=95, progressive=True, icc_profile=SRGB
        ),
        folder.save("wide.png", wide),
        folder.save("tall.png", tall),
    ]
    seen = cloak_all()
    names = {"animated.gif.png", "animated.webp.png"}
    expected = {f"ann/{source.stem}.png" for source in sources if source.stem != "animated"}
    assert seen == dict.fromkeys(expected | {f"ann/{name}" for name in names} | {"bob/bob.png"}, "")
    copies(tmp_path, finder, [source for source in sources if source.stem != "animated"])
    out = tmp_path / "out" / "ann"
    for name, mode, info in [
        ("gradient.png", "RGBA", {"icc_profile": SRGB}),
        ("palette.png", "RGBA", {}),
        ("progressive.png", "RGB", {"icc_profile": SRGB}),
        ("cmyk.png", "RGB", {}),
    ]:
        with Image.open(out / name) as picture:
            assert (name, picture.mode, picture.info) == (name, mode, info)


def test_photos_turned_all_eight_ways_are_saved_upright(
    folder: Folder, tmp_path: Path, finder: FaceFinder, cloak_all: Callable[..., Rows]
) -> None:
    sources = []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        upright = folder.face().crop((0, 0, 230, 250))
        back = Image.Exif()
        back[ORIENTATION] = {6: 8, 8: 6}.get(orientation, orientation)
        turned = turned_by(upright, back)
        sources.append(folder.save(f"{orientation}.png", turned, exif=exif))
    assert set(cloak_all().values()) == {""}
    copies(tmp_path, finder, sources)
    for source in sources:
        with Image.open(tmp_path / "out" / "ann" / source.name) as picture:
            assert picture.size == (230, 250)
            assert not picture.getexif()


def turned_by(picture: Image.Image, exif: Image.Exif) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", exif=exif)
    return ImageOps.exif_transpose(Image.open(stream))


def test_what_has_no_face_to_cloak_gets_a_reason_and_no_file(
    folder: Folder, tmp_path: Path, cloak_all: Callable[..., Rows]
) -> None:
    folder.save("one.png", Image.new("RGB", (1, 1)))
    folder.save("line.png", Image.new("RGB", (6000, 40), "white"))
    folder.save("flat.png", Image.new("RGB", (300, 300), "grey"))
    folder.save("tiny.png", folder.face().resize((36, 36)))
    folder.save("hidden.png", folder.face().crop((0, 0, 250, 60)))
    folder.save("cloaked.png", folder.face())
    seen = cloak_all()
    reasons = {name.removeprefix("ann/"): why for name, why in seen.items() if why}
    assert reasons.pop("one.png") == "1 x 1 pixels; each side needs 36"
    assert reasons == dict.fromkeys(
        ["line.png", "flat.png", "tiny.png", "hidden.png"], "no face was found"
    )
    assert [path.name for path in (tmp_path / "out" / "ann").iterdir()] == ["cloaked.png"]


def cut_off(picture: Image.Image, finder: FaceFinder) -> Image.Image:
    """Return a photo without a strip of its face, which MTCNN may find or not."""
    (face, *_) = finder.find(np.asarray(picture))
    return picture.crop((round(face.left + 0.12 * face.width), 0, *picture.size))


def test_a_face_at_the_border_is_cloaked_up_to_it(
    folder: Folder, tmp_path: Path, finder: FaceFinder, cloak_all: Callable[..., Rows]
) -> None:
    cut = (cut_off(folder.face(), finder) for _ in range(9))
    picture = next(picture for picture in cut if len(finder.find(np.asarray(picture))) == 1)
    source = folder.save("border.png", picture)
    assert cloak_all()["ann/border.png"] == ""
    copies(tmp_path, finder, [source])


def with_dark_glasses(picture: Image.Image, finder: FaceFinder) -> Image.Image:
    (face, *_) = finder.find(np.asarray(picture))
    left, right = face.landmarks[:2]
    size = 0.3 * (right[0] - left[0])
    drawing = ImageDraw.Draw(picture)
    for x, y in (left, right):
        drawing.ellipse((x - 1.25 * size, y - size, x + 1.25 * size, y + size), "black")
    drawing.line((*left, *right), "black", width=3)
    return picture


def in_profile(picture: Image.Image, finder: FaceFinder, degrees: float) -> Image.Image:
    """Return a photo with its face turned aside, as if it were painted on a cylinder."""
    (face, *_) = finder.find(np.asarray(picture))
    columns, radius = np.arange(picture.width), 0.62 * face.width
    off = (columns - face.left - face.width / 2) / radius
    on_it = np.abs(off) < 1
    turned = np.arcsin(off.clip(-1, 1)) + math.radians(degrees)
    seen = face.left + face.width / 2 + radius * turned / (math.pi / 2)
    source = np.where(on_it, np.where(turned < math.pi / 2, seen, 0), columns)
    return Image.fromarray(np.asarray(picture)[:, np.rint(source).astype(int)])


def test_dark_glasses_and_profiles_are_cloaked_where_a_face_is_found(
    folder: Folder, tmp_path: Path, finder: FaceFinder, cloak_all: Callable[..., Rows]
) -> None:
    sources = [
        *(folder.save(f"glasses {i}.png", with_dark_glasses(folder.face(), finder)) for i in "ab"),
        *(
            folder.save(f"turned {degrees}.png", in_profile(folder.face(), finder, degrees))
            for degrees in (30, 55, 80)
        ),
        folder.save("turned away.png", in_profile(folder.face(), finder, 125)),
    ]
    found = {source.name: bool(finder.find(decode(source).pixels)) for source in sources}
    assert {name[0] for name, one in found.items() if one} == {"g", "t"}
    assert not all(found.values())
    seen = cloak_all()
    for name, one in found.items():
        assert seen[f"ann/{name}"] == ("" if one else "no face was found")
    copies(tmp_path, finder, [source for source in sources if found[source.name]])


def test_fifty_megapixels_stay_fifty_megapixels(
    folder: Folder, tmp_path: Path, cloak_all: Callable[..., Rows]
) -> None:
    large = Image.new("RGB", (8700, 5800), "grey")
    large.paste(folder.face().resize((2500, 2500)), (6000, 3000))
    source = folder.save("large.jpg", large, quality=95)
    assert cloak_all()["ann/large.png"] == ""
    before, after = decode(source).pixels, decode(tmp_path / "out" / "ann" / "large.png").pixels
    assert after.shape == (5800, 8700, 3)
    rows, columns = np.nonzero((before != after).any(axis=2))
    assert (columns.min() > 6000, columns.max() < 8500) == (True, True)
    assert (rows.min() > 3000, rows.max() < 5500) == (True, True)


@pytest.mark.parametrize(("which", "cloaked"), [("all", 2), ("largest", 1), ("reference", 1)])
def test_in_a_group_those_are_cloaked_who_are_asked_for(
    which: str,
    cloaked: int,
    folder: Folder,
    tmp_path: Path,
    draw: DrawPhoto,
    cloak_all: Callable[..., Rows],
) -> None:
    group = Image.new("RGB", (650, 300), "grey")
    group.paste(Image.fromarray(draw(2, 3)).resize((300, 300)), (0, 0))
    group.paste(folder.face(), (390, 20))
    source = folder.save("group.png", group)
    for name in ("alone.png", "alone too.png"):
        folder.save(name, folder.face())
    refused = cloak_all()["ann/group.png"]
    assert refused == "2 faces were found; one is needed, or --set faces=all, largest or reference"

    assert set(cloak_all("--set", f"faces={which}").values()) == {""}

    before = decode(source).pixels
    after = decode(tmp_path / "out" / "ann" / "group.png").pixels
    changed = [bool((before != after)[:, part].any()) for part in (slice(300), slice(390, None))]
    assert sum(changed) == cloaked
    assert (
        changed
        == {"all": [True, True], "largest": [True, False], "reference": [False, True]}[which]
    )
