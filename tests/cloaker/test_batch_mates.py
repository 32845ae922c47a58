"""What becomes of a face does not depend on its batch mates, in any system.

In float32 its last digits do: a convolution adds up in another order in a batch of another size,
and signs and thresholds make that visible. In float64 nothing of it reaches a picture, so whatever
differs here is a mistake.
"""

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from random_lpips import install
from torch import Tensor, nn
from toy import CPU, smooth_faces

from audit.types import Cloak, Photo, Targets
from cloaker import device, lpips
from cloaker.attack import Person
from cloaker.batch import Working, changes
from cloaker.levels import SYSTEMS, resolve
from cloaker.networks.base import ARCFACE_112, ARCFACE_112X96, EmbeddingNetwork
from cloaker.recipe import Change, Task
from cloaker.region import FaceRegion
from cloaker.scene import Scene
from cloaker.systems.faceoff import FaceOff

SIDES = [(112, 112), (150, 118), (90, 140)]
FACE_SCALES = [1.0, 1.05, 0.7]
GREY_LEVELS_APART = 1e-6
STEPS, STEPS_OF_LOWKEY = 8, 3  # with LPIPS a step is a hundred times as long
_WITH_LEGACY = [name for name, row in SYSTEMS.items() if "legacy" in row.defaults]
FINISHING = [
    ("faceoff", "attack=pgd-linf", "kappa=0"),
    ("faceoff", "attack=pgd-l2", "kappa=0", "epsilon=40", "learning_rate=4"),
    ("faceoff", "attack=cw-linf", "kappa=0", "initial_const=200", "searches=2"),
    ("ulixes", "method=1", "learning_rate=0.05", "margin=0.3"),
    *(("ulixes", f"ensemble={ensemble}", "margin=0.3") for ensemble in ("1", "2", "3")),
]
"""Systems of which faces finish early, and settings with which these do so one by one."""
WAYS = [
    *((system,) for system in SYSTEMS),
    *((system, "legacy=true", "budget=0.2") for system in _WITH_LEGACY),
    ("faceoff", "attack=pgd-linf", "loss=target", "unit_embeddings=true"),
    *(("ulixes", f"method={method}") for method in ("2", "3", "4", "5-literal")),
    ("lowkey", "preset=released"),
]
"""Systems and settings: each system as it is unasked, and the other ways that it has."""


class Narrow(EmbeddingNetwork):
    """Another network of the same kind, with a crop of its own."""

    def __init__(self, like: EmbeddingNetwork) -> None:
        super().__init__("narrow", ARCFACE_112X96)
        self.wide = copy.deepcopy(like)
        generator = torch.Generator().manual_seed(1)
        for weight in self.wide.parameters():
            weight.add_(weight.std() * torch.randn(weight.shape, generator=generator))

    def forward(self, crops: Tensor) -> Tensor:
        result: Tensor = self.wide(nn.functional.pad(crops, (8, 8)))
        return result


@pytest.fixture
def networks(network: EmbeddingNetwork) -> list[EmbeddingNetwork]:
    return [network.double(), Narrow(network).double()]


@pytest.fixture(autouse=True)
def exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute LPIPS in float64 too, and let Face-Off return its changes unrounded."""
    install(tmp_path, monkeypatch)
    lpips.load(CPU).double()
    monkeypatch.setattr(FaceOff, "late", frozenset())


def cloak_of(system: str, *settings: str) -> Cloak:
    parameters = resolve(system, "high", settings)
    most = STEPS_OF_LOWKEY if system == "lowkey" else STEPS
    steps = min(most, int(parameters["steps"]))
    return Cloak(system, "high", {**parameters, "steps": steps}, {}, Targets.SAME, 0)


def faces_for(cloak: Cloak, networks: Sequence[EmbeddingNetwork]) -> list[Working]:
    """Return faces of several sizes in photos of several shapes."""
    made = []
    for face, size, scale in zip(smooth_faces(len(SIDES)), SIDES, FACE_SCALES, strict=True):
        photo = nn.functional.interpolate(face[None], size=size, mode="bilinear")[0].round()
        region = FaceRegion(
            photo.to(torch.uint8).permute(1, 2, 0).numpy(),
            tuple((scale * x, scale * y) for x, y in ARCFACE_112.points),
            [network.crop for network in networks],
            CPU,
            whole=bool(cloak.parameters["whole_photo"]),
        )
        pixels, mask = region.working.double(), region.mask().double()
        made.append(Working(pixels, region.working_matrices, mask))
    return made


def tasks_for(
    cloak: Cloak, faces: Sequence[Working], networks: Sequence[EmbeddingNetwork]
) -> list[Task]:
    """Return what is to be done with each face, towards one of three people of two photos."""
    scene, others = Scene(faces), smooth_faces(6, seed=11).double()
    own = tuple(look(scene.crops(scene.clean, look.crop)) for look in networks)
    shown = [look(others[..., : look.crop.width]).split(2) for look in networks]
    candidates = {f"other-{i}": people for i, people in enumerate(zip(*shown, strict=True))}
    seeds = tuple(range(20, 20 + len(faces)))
    person = Person(own, candidates, together=True, seed=0, seeds=seeds)
    goals = SYSTEMS[cloak.system].load().goals(person, cloak.parameters)
    photo = Photo("", "", Path(), 0, 0)
    return [
        Task(photo, ARCFACE_112.points, tuple(seen[i] for seen in own), seed, goal)
        for i, (seed, goal) in enumerate(zip(seeds, goals, strict=True))
    ]


def cloaked(cloak: Cloak, networks: Sequence[EmbeddingNetwork]) -> list[Change]:
    """Cloak all faces at once; check each against the same one cloaked alone."""
    faces = faces_for(cloak, networks)
    tasks = tasks_for(cloak, faces, networks)

    def made(*some: int) -> list[Change]:
        some_tasks, some_faces = [tasks[i] for i in some], [faces[i] for i in some]
        return changes(some_tasks, some_faces, cloak, networks, lambda _: None)

    everyone = made(*range(len(faces)))
    for i, together in enumerate(everyone):
        (alone,) = made(i)
        assert alone.steps == together.steps
        torch.testing.assert_close(alone.pixels, together.pixels, rtol=0, atol=GREY_LEVELS_APART)
    return everyone


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_mates_of_other_sizes_do_not_matter(
    way: tuple[str, ...], networks: list[EmbeddingNetwork]
) -> None:
    everyone = cloaked(cloak_of(*way), networks)
    moved = [float(change.pixels.abs().max()) for change in everyone]
    assert min(moved) > 0.1 or way == ("ulixes", "method=5-literal")


@pytest.mark.parametrize("way", FINISHING, ids=" ".join)
def test_mates_that_finish_early_do_not_matter(
    way: tuple[str, ...], networks: list[EmbeddingNetwork]
) -> None:
    everyone = cloaked(cloak_of(*way), networks)
    assert len({change.steps for change in everyone}) > 1


@pytest.mark.parametrize("way", FINISHING, ids=" ".join)
def test_when_finished_faces_leave_does_not_matter(
    way: tuple[str, ...], networks: list[EmbeddingNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloak = cloak_of(*way)
    faces = faces_for(cloak, networks)
    tasks = tasks_for(cloak, faces, networks)
    at_once = changes(tasks, faces, cloak, networks, lambda _: None)
    monkeypatch.setattr(device, "answers_at_once", lambda _: False)
    monkeypatch.setattr("cloaker.attack._STEPS_BETWEEN_LOOKS", 3)
    later = changes(tasks, faces, cloak, networks, lambda _: None)
    for before, after in zip(at_once, later, strict=True):
        assert after.steps == before.steps
        torch.testing.assert_close(after.pixels, before.pixels, rtol=0, atol=GREY_LEVELS_APART)
