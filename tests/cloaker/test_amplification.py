"""Face-Off's levels differ in amplification alone: one optimisation serves them all."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.types import Cloak, Photo, Targets
from cloaker import batch, cloaking
from cloaker.attack import Best, System, optimise
from cloaker.cloaking import Cloaking, cloak_photos
from cloaker.faces import Pixels
from cloaker.known_faces import KnownFaces
from cloaker.levels import resolve
from cloaker.networks.base import EmbeddingNetwork

MakePhotos = Callable[[int, int], list[Photo]]
Run = Callable[..., Cloaking]
SETTINGS = ("steps=6", "searches=1", "budget=1", "random_start=0", "learning_rate=0.02")


@pytest.fixture
def optimised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many faces each optimisation had."""
    faces: list[int] = []

    def counted(
        system: System, *, steps: int, budget: float, on_step: Callable[[int], None]
    ) -> Best:
        faces.append(len(system.scene.clean))
        return optimise(system, steps=steps, budget=budget, on_step=on_step)

    monkeypatch.setattr(batch, "optimise", counted)
    monkeypatch.setattr(cloaking, "_BATCHES_MIN", 1)
    return faces


@pytest.fixture
def run(network: EmbeddingNetwork, draw_photos: MakePhotos, tmp_path: Path) -> Run:
    """Return a function that cloaks a person's three photos at a level."""
    photos = draw_photos(0, 3)
    candidates = {"person-1": draw_photos(1, 2)}

    def cloaked(
        level: str,
        cache: str,
        *settings: str,
        text: str = "",
        photos: Sequence[Photo] = photos,
    ) -> Cloaking:
        parameters = resolve("faceoff", level, [*SETTINGS, *settings])
        networks = {network.name: network.weights_sha256}
        return cloak_photos(
            Cloak("faceoff", level, parameters, networks, Targets.SAME, 0),
            [network],
            photos,
            candidates,
            read=lambda photo: np.asarray(Image.open(photo.path).convert("RGB")),
            faces=KnownFaces(tmp_path / "faces"),
            out=tmp_path / "out",
            cache=tmp_path / cache,
            text={"Comment": text},
        )

    return cloaked


def _hashes(result: Cloaking) -> Sequence[str]:
    assert not result.failures
    return [record.cloaked_sha256 for record in result.cloaked]


def _kept(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.npz"))


def test_only_the_first_level_is_optimised(run: Run, optimised: list[int]) -> None:
    weak, strong = run("min", "cache"), run("high", "cache")
    assert optimised == [3]
    for one, other in zip(weak.cloaked, strong.cloaked, strict=True):
        assert (one.steps, other.steps) == (6, 6)
        assert (one.level, other.level) == ("min", "high")
        assert other.l2 > 1.5 * one.l2 > 0


def test_a_second_level_has_the_bytes_that_it_has_alone(run: Run, optimised: list[int]) -> None:
    run("min", "cache")
    after, alone = run("high", "cache"), run("high", "other")
    assert optimised == [3, 3]
    assert _hashes(after) == _hashes(alone)


def test_the_text_in_the_files_asks_for_no_optimisation(run: Run, optimised: list[int]) -> None:
    plain, told = run("min", "cache"), run("min", "cache", text="drawn")
    assert optimised == [3]
    assert set(_hashes(plain)).isdisjoint(_hashes(told))


@pytest.mark.parametrize("setting", ["steps=7", "kappa=0.5", "budget=0.9"])
def test_whatever_else_differs_is_optimised(run: Run, optimised: list[int], setting: str) -> None:
    run("min", "cache")
    run("min", "cache", setting)
    assert optimised == [3, 3]


@pytest.mark.parametrize("damage", [lambda data: data[:-10], lambda _: b""])
def test_damaged_changes_are_made_again(
    run: Run, optimised: list[int], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    run("min", "cache")
    victim, *others = _kept(tmp_path / "cache")
    whole = victim.read_bytes()
    victim.write_bytes(damage(whole))
    again = run("high", "cache")
    assert optimised == [3, 3]
    assert _hashes(again) == _hashes(run("high", "other"))
    assert victim.read_bytes() == whole
    assert _kept(tmp_path / "cache") == [victim, *others]


def test_what_was_optimised_first_counts(run: Run, tmp_path: Path) -> None:
    run("min", "cache")
    before = {file: file.read_bytes() for file in (tmp_path / "cache").rglob("*.json")}
    victim, *_ = _kept(tmp_path / "cache")
    victim.unlink()
    run("high", "cache")
    assert all(file.read_bytes() == data for file, data in before.items())


def test_each_face_of_a_photo_has_its_own_change(
    run: Run, optimised: list[int], draw: Callable[[int, int], Pixels], tmp_path: Path
) -> None:
    path = tmp_path / "two.png"
    Image.fromarray(np.hstack([draw(0, 0), draw(0, 1)])).save(path)
    two = Photo(hashlib.sha256(path.read_bytes()).hexdigest(), "person-0", path, 0, 0)
    run("min", "cache", "faces=all", photos=[two])
    (kept,) = _kept(tmp_path / "cache")
    steps, left, right = np.load(kept).values()
    assert steps.tolist() == [6, 6]
    assert left.dtype == right.dtype == np.float16
    after = run("high", "cache", "faces=all", photos=[two])
    assert optimised == [2]
    assert _hashes(after) == _hashes(run("high", "other", "faces=all", photos=[two]))
