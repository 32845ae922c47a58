"""Maps of how networks see a run's photos: which photos, and where they stand."""

import csv
import json
from pathlib import Path

import numpy as np

from audit import embedding_map
from audit.embedding_map import projections
from audit.experiment import resolve
from audit.folders import RunFolder, write_jsonl
from audit.preparation import Prepared
from audit.types import Photo, PhotoSet, Split

FIXTURE = Path(__file__).parent.parent / "reports" / "fixtures" / "version-6"


def photos(person: str, count: int) -> tuple[Photo, ...]:
    return tuple(Photo(f"{person} {n}", person, Path(f"{n}.jpg"), 9, 9) for n in range(count))


def test_a_plane_is_mapped_as_it_is_and_alike_each_time() -> None:
    draw = np.random.default_rng(3)
    plane = np.linalg.qr(draw.normal(size=(16, 2)))[0]
    places = draw.normal(size=(20, 2))
    maps = projections(places @ plane.T, seed=5)
    between = [np.linalg.norm(x[:, None] - x[None], axis=2) for x in (places, maps["pca"])]
    np.testing.assert_allclose(between[0], between[1], atol=1e-9)
    again = projections(places @ plane.T, seed=5)
    assert all(np.array_equal(maps[name], again[name]) for name in ("pca", "tsne"))


def test_too_few_photos_make_no_map() -> None:
    few = np.eye(3)
    assert projections(few[:2], seed=0) == {}
    assert set(projections(few, seed=0)) == {"pca"}


def test_everybody_is_shown_before_anybody_twice(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.cloaked.mkdir()
    decoys = {f"decoy {n}": photos(f"decoy {n}", 5) for n in range(50)}
    split = Split(0, {"Ada": photos("Ada", 90)}, {"Ada": photos("probe", 3)}, decoys)
    row = {"person": "Ada", "system": "fawkes-0.3", "level": "low", "file": "low/x.png"}
    sources = ("Ada 0", "Ada 89")
    write_jsonl(
        folder.cloaks, (row | {"source_sha256": s, "cloaked_sha256": f"c {s}"} for s in sources)
    )
    experiment = resolve(None, {"provider": "mock"})
    shown = list(embedding_map.chosen(experiment, folder, Prepared(PhotoSet(tmp_path, ()), split)))
    of = {
        role: [it for it in shown if it.role == role and not it.cloak]
        for role in ("train", "probe", "decoy")
    }
    assert [len(some) for some in of.values()] == [40, 3, 80]
    assert len({it.photo.person for it in of["decoy"]}) == 50
    assert [(it.photo.sha256, it.source_sha256, it.cloak) for it in shown if it.cloak] == [
        ("c Ada 0", "Ada 0", "low")
    ]


def test_a_run_keeps_places_on_maps_and_no_embedding() -> None:
    with (FIXTURE / "embedding_map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == embedding_map.COLUMNS
    assert {row["network"] for row in rows} == {"bundled-mixer", "bundled-conv"}
    cloaked = {row["photo_sha256"] for row in rows if row["cloak"] == "fawkes-0.3-low"}
    lines = (FIXTURE / "cloaked" / "cloaks.jsonl").read_text().splitlines()
    assert cloaked == {json.loads(line)["source_sha256"] for line in lines}
