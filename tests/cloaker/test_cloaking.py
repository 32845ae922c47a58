import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from audit.errors import UserError
from audit.types import Cloak, CloakedPhoto, Photo, Targets
from cloaker.cloaking import Cloaking, cloak_photos
from cloaker.faces import FaceFinder
from cloaker.geometry import align, planes, similarity
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks.base import ARCFACE_112X96, EmbeddingNetwork
from cloaker.perceptual import dssim

Pixels = NDArray[np.uint8]
MakePhotos = Callable[[int, int], list[Photo]]


@dataclass
class Bench:
    """One person, two candidates, and folders: what a call of `cloak_photos` needs."""

    network: EmbeddingNetwork
    finder: FaceFinder
    photos: list[Photo]
    candidates: dict[str, list[Photo]]
    folder: Path
    reads: list[str] = field(default_factory=list)
    passes: int = 0

    def read(self, photo: Photo) -> Pixels:
        self.reads.append(photo.sha256)
        return np.asarray(Image.open(photo.path).convert("RGB"))

    def cloak(self, targets: Targets = Targets.SAME, level: str = "min") -> Cloak:
        networks = {self.network.name: self.network.weights_sha256}
        row = resolve("fawkes-0.3", level)
        return Cloak("fawkes-0.3", level, row, networks, targets, 0)

    def run(
        self,
        cloak: Cloak | None = None,
        photos: Sequence[Photo] | None = None,
        out: str = "out",
        text: Mapping[str, str] | None = None,
        progress: Callable[[int, int], None] = lambda _done, _of: None,
        names: Mapping[str, str] | None = None,
        judges: Sequence[EmbeddingNetwork] = (),
    ) -> Cloaking:
        return cloak_photos(
            cloak or self.cloak(),
            [self.network],
            self.photos if photos is None else photos,
            self.candidates,
            read=self.read,
            faces=KnownFaces(self.folder / "faces"),
            out=self.folder / out,
            cache=self.folder / "cache",
            text=text,
            names=names,
            judges=judges,
            on_progress=progress,
        )

    def pixels(self, record: CloakedPhoto, out: str = "out") -> Pixels:
        return np.array(Image.open(self.folder / out / record.file))

    def source(self, record: CloakedPhoto) -> Pixels:
        (photo,) = [photo for photo in self.photos if photo.sha256 == record.source_sha256]
        return self.read(photo)

    def crop(self, source: Pixels, photo: Pixels) -> Tensor:
        landmarks = self.finder.find(source)[0].landmarks
        crop = self.network.crop
        return align(planes(photo), similarity(landmarks, crop.points), crop)[None]


@pytest.fixture
def bench(
    network: EmbeddingNetwork, finder: FaceFinder, draw_photos: MakePhotos, tmp_path: Path
) -> Bench:
    candidates = {f"person-{i}": draw_photos(i, 2) for i in (1, 2)}
    made = Bench(network, finder, draw_photos(0, 3), candidates, tmp_path)

    def count(*_: object) -> None:
        made.passes += 1

    network.register_forward_hook(count)
    return made


def test_every_photo_becomes_a_png_whose_figures_are_true(bench: Bench) -> None:
    result = bench.run()
    assert result.failures == ()
    assert [record.source_sha256 for record in result.cloaked] == [p.sha256 for p in bench.photos]
    assert len({record.target for record in result.cloaked} & set(bench.candidates)) == 1
    for record in result.cloaked:
        file = bench.folder / "out" / f"{record.source_sha256}.png"
        assert file.name == record.file
        assert hashlib.sha256(file.read_bytes()).hexdigest() == record.cloaked_sha256
        source, cloaked = bench.source(record), bench.pixels(record)
        change = cloaked.astype(float) - source
        assert record.linf == np.abs(change).max() > 0
        assert record.l2 == pytest.approx(np.sqrt((change**2).sum()))
        whole = [planes(pixels).float()[None] for pixels in (cloaked, source)]
        assert record.dssim_photo == pytest.approx(dssim(*whole).item(), abs=1e-6)
        crops = [bench.crop(source, pixels) for pixels in (cloaked, source)]
        assert record.dssim_crop == pytest.approx(dssim(*crops).item(), abs=1e-6)
        moved, clean = bench.network.embed(torch.cat(crops))
        assert record.embedding_shift == pytest.approx(float((moved - clean).norm()), rel=1e-3)
        assert record.embedding_shifts == {"tiny": record.embedding_shift}


@pytest.mark.parametrize("level", ["min", "low"])
def test_the_saved_files_are_within_the_budget(bench: Bench, level: str) -> None:
    for record in bench.run(bench.cloak(level=level)).cloaked:
        assert max(record.dssim, record.dssim_crop) <= record.budget
        assert record.dssim > 0.3 * record.budget
        assert (record.steps, record.level) == (resolve("fawkes-0.3", level)["steps"], level)


def test_pixels_far_from_the_face_are_untouched(bench: Bench) -> None:
    (record, *_) = bench.run().cloaked
    change = np.abs(bench.pixels(record).astype(int) - bench.source(record)).max(axis=2)
    rows, columns = np.nonzero(change)
    (face, *_) = bench.finder.find(bench.source(record))
    assert columns.min() > face.left - face.width / 2
    assert columns.max() < face.left + 1.5 * face.width
    assert rows.min() > face.top - face.height / 2
    assert rows.max() < face.top + 1.5 * face.height


def test_a_second_run_computes_nothing(bench: Bench) -> None:
    first = bench.run()
    bench.reads.clear()
    bench.passes = 0
    again = bench.run(out="elsewhere")
    assert again == first
    assert bench.reads == []
    assert bench.passes == 0
    for record in again.cloaked:
        assert (bench.pixels(record, "elsewhere") == bench.pixels(record)).all()


def test_what_an_interrupted_run_finished_is_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloaker.cloaking._BATCH", {"cpu": 2})
    monkeypatch.setattr("cloaker.device.threads", lambda _name: 1)

    def interrupt(done: int, _of: int) -> None:
        if done == 41:  # the third photo's first step, after two photos' 20 steps
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(progress=interrupt)
    kept = {file.name: file.stat().st_mtime_ns for file in (bench.folder / "out").iterdir()}
    assert len(kept) == 2
    seen: list[int] = []
    result = bench.run(progress=lambda done, _of: seen.append(done))
    assert seen == [20, *range(40, 61)]
    assert len(result.cloaked) == 3
    for name, changed_ns in kept.items():
        assert (bench.folder / "out" / name).stat().st_mtime_ns == changed_ns


def test_a_damaged_cache_entry_is_made_again(bench: Bench) -> None:
    first = bench.run()
    (victim, *_) = (bench.folder / "cache").rglob("*.png")
    victim.write_bytes(victim.read_bytes()[:-10])
    again = bench.run(out="elsewhere")
    for before, after in zip(first.cloaked, again.cloaked, strict=True):
        data = (bench.folder / "elsewhere" / after.file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == after.cloaked_sha256
        assert after.embedding_shift == pytest.approx(before.embedding_shift, rel=0.05)


def test_what_is_made_again_alone_has_the_bytes_that_it_had_among_others(bench: Bench) -> None:
    first = bench.run()
    kept = [
        file for file in (bench.folder / "cache").rglob("*.json") if "steps" in file.read_text()
    ]
    assert len(kept) == 3
    kept[0].unlink()
    again = bench.run(out="elsewhere")
    hashes = [[record.cloaked_sha256 for record in run.cloaked] for run in (first, again)]
    assert hashes[0] == hashes[1]


def test_the_files_have_the_names_that_they_are_given(bench: Bench) -> None:
    names = {bench.photos[0].sha256: "holiday.png"}
    first = bench.run(photos=bench.photos[:1])
    named = bench.run(photos=bench.photos[:1], out="named", names=names)
    assert [record.file for record in named.cloaked] == ["holiday.png"]
    assert (bench.pixels(named.cloaked[0], "named") == bench.pixels(first.cloaked[0])).all()


def test_other_networks_judge_the_files_too(bench: Bench) -> None:
    judge = copy.deepcopy(bench.network)
    judge.name, judge.crop = "judge", ARCFACE_112X96
    judge.forward = lambda crops: bench.network(nn.functional.pad(crops, (8, 8)))
    (record,) = bench.run(photos=bench.photos[:1], judges=[judge]).cloaked
    assert record.embedding_shifts.keys() == {"tiny", "judge"}
    assert record.embedding_shifts["tiny"] == record.embedding_shift
    assert 0 < record.embedding_shifts["judge"] < 2


def test_of_two_who_cloak_alike_at_once_the_first_one_counts(bench: Bench) -> None:
    first = bench.run()
    entries = sorted((bench.folder / "cache").rglob("*.json"))
    (kept,) = [file for file in entries if first.cloaked[0].cloaked_sha256 in file.read_text()]
    claimed = kept.read_bytes()
    kept.unlink()

    def other_process_is_first(done: int, _of: int) -> None:
        if done == 60:
            kept.write_bytes(claimed)

    again = bench.run(out="elsewhere", progress=other_process_is_first)

    assert again == first
    assert kept.read_bytes() == claimed
    assert (bench.pixels(again.cloaked[0], "elsewhere") == bench.pixels(first.cloaked[0])).all()


def test_another_way_of_cloaking_is_not_taken_from_the_cache(bench: Bench) -> None:
    bench.run()
    changed: list[Callable[[], Cloaking]] = [
        lambda: bench.run(bench.cloak(level="low")),
        lambda: bench.run(bench.cloak(Targets.SEPARATE)),
        lambda: bench.run(photos=bench.photos[:2]),
        lambda: bench.run(text={"Comment": "drawn"}),
    ]
    for run in changed:
        bench.passes = 0
        run()
        assert bench.passes > 20


def test_in_bfloat16_a_cloak_is_another_one_as_far_and_as_visible(bench: Bench) -> None:
    cloak = bench.cloak()
    exact = bench.run(cloak).cloaked
    parameters = resolve("fawkes-0.3", "min", ["precision=bfloat16"])
    lowered = bench.run(replace(cloak, parameters=parameters), out="lowered").cloaked
    for one, other in zip(exact, lowered, strict=True):
        assert one.cloaked_sha256 != other.cloaked_sha256
        assert other.dssim_crop == pytest.approx(one.dssim_crop, rel=0.1)
        assert other.embedding_shift == pytest.approx(one.embedding_shift, rel=0.1)


def test_what_older_runs_were_cloaked_with_is_cloaked_in_float32(bench: Bench) -> None:
    cloak = bench.cloak()
    older = {key: value for key, value in cloak.parameters.items() if key != "precision"}
    old = bench.run(replace(cloak, parameters=older), out="older").cloaked
    assert [one.cloaked_sha256 for one in old] == [
        one.cloaked_sha256 for one in bench.run(cloak).cloaked
    ]


def test_a_system_whose_levels_share_no_optimisation_keeps_no_changes(bench: Bench) -> None:
    bench.run()
    assert not list((bench.folder / "cache").rglob("*.npz"))


def test_separate_targets_do_not_depend_on_the_other_photos(bench: Bench) -> None:
    cloak = bench.cloak(Targets.SEPARATE)
    together = bench.run(cloak).cloaked[0]
    alone = bench.run(cloak, photos=bench.photos[:1], out="alone").cloaked[0]
    assert alone.target == together.target
    assert alone.embedding_shift == pytest.approx(together.embedding_shift, rel=0.02)


def test_photos_that_cannot_be_cloaked_are_failures(bench: Bench, tmp_path: Path) -> None:
    blank_file = tmp_path / "blank.png"
    Image.new("RGB", (200, 200), "grey").save(blank_file)
    blank = Photo("b" * 64, "person-0", blank_file, 200, 200)
    gone = Photo("c" * 64, "person-0", tmp_path / "gone.png", 200, 200)
    seen: list[tuple[int, int]] = []
    result = bench.run(
        photos=[blank, bench.photos[0], gone], progress=lambda done, of: seen.append((done, of))
    )
    assert [record.source_sha256 for record in result.cloaked] == [bench.photos[0].sha256]
    (first, why_first), (second, why_second) = result.failures
    assert (first, second) == (blank, gone)
    assert "no face of at least 36 x 36 pixels" in why_first
    assert why_second.startswith("unreadable: ")
    assert seen[-1] == (60, 60)
    assert not (bench.folder / "out" / f"{blank.sha256}.png").exists()


def test_candidates_without_a_face_are_passed_over(bench: Bench, tmp_path: Path) -> None:
    gone = Photo("d" * 64, "nobody", tmp_path / "gone.png", 200, 200)
    bench.candidates["nobody"] = [gone]
    assert {record.target for record in bench.run().cloaked} <= {"person-1", "person-2"}
    bench.candidates = {"nobody": [gone]}
    with pytest.raises(UserError, match="nobody to cloak towards"):
        bench.run(out="elsewhere")


def test_the_files_hold_the_given_text_and_no_other_metadata(bench: Bench) -> None:
    result = bench.run(photos=bench.photos[:1], text={"Comment": "a drawn person"})
    (record,) = result.cloaked
    with Image.open(bench.folder / "out" / record.file) as picture:
        assert picture.info == {"Comment": "a drawn person"}


def test_an_unknown_system_is_refused(bench: Bench) -> None:
    with pytest.raises(UserError, match=r"fawkes-9"):
        bench.run(replace(bench.cloak(), system="fawkes-9"))
