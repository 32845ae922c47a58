from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from toy import run, scene_of, smooth_faces

from audit.types import Cloak, Photo, Targets
from cloaker.attack import Best
from cloaker.cloaking import cloak_photos
from cloaker.known_faces import KnownFaces
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from cloaker.perceptual import dssim
from cloaker.scene import Scene
from cloaker.systems.fawkes_10 import Fawkes10, stretched, weighed

COUNT = 3
GAP = 1e-4  # tanh units: 0.01 levels at mid-grey


@pytest.fixture(scope="module")
def clean() -> Tensor:
    return smooth_faces(COUNT)


class Shades(EmbeddingNetwork):
    """Embeds a face as the mean levels of a 4 x 4 grid: linear, so that all can be foreseen."""

    def __init__(self) -> None:
        super().__init__("shades", ARCFACE_112)

    def forward(self, crops: Tensor) -> Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(crops, 4).flatten(1)


def _row(level: str, *settings: str) -> Parameters:
    return resolve("fawkes-1.0", level, ["wobble_px=0", *settings])


def _scene(clean: Tensor, *networks: EmbeddingNetwork) -> Scene:
    nowhere = [torch.empty(0)] * len(clean)
    return scene_of(clean, [(network, nowhere) for network in networks])


def _aside(clean: Tensor, network: EmbeddingNetwork) -> Scene:
    """Return a scene whose faces were seen a little otherwise, as through another alignment.

    Else the first gradient is little but rounding error, and no two ways to work it out agree.
    """
    scene = _scene(clean, network)
    (view,) = scene.views
    view.own = network((clean + 5 * torch.cos(torch.arange(112) / 9.0)).clamp(0, 255))
    return scene


def _cloak(network: EmbeddingNetwork, clean: Tensor, row: Parameters) -> Best:
    return run(Fawkes10, row, _scene(clean, network))


def _steps(system: Fawkes10, count: int) -> Tensor:
    """Take steps and return the iterates before each of them and after the last."""
    shown = []
    for _ in range(count):
        pictures = system.pictures()
        shown.append(pictures.detach())
        system.step(system.judge(pictures), system.scene.visibility(pictures))
    return torch.stack([*shown, system.pictures().detach()])


@pytest.mark.parametrize(
    ("level", "budget", "steps", "learning_rate", "networks"),
    [("low", 0.004, 40, 25, 1), ("mid", 0.012, 75, 20, 2), ("high", 0.017, 150, 15, 2)],
)
def test_the_levels_have_the_numbers_of_the_release(
    level: str, budget: float, steps: int, learning_rate: float, networks: int
) -> None:
    released = {"budget": budget, "steps": steps, "learning_rate": learning_rate}
    row = _row(level)
    assert {key: row[key] for key in released} == released
    assert (row["networks_max"], row["penalty"]) == (networks, 1e6)


def _by_hand(
    scene: Scene, network: EmbeddingNetwork, row: Parameters, start: Tensor
) -> list[Tensor]:
    """Return one face's iterates, by the release's rules with PyTorch's own Adadelta."""
    face, scale, budget = scene.clean, 2 - 1e-6, float(row["budget"])
    base = torch.atanh((face / 255 - 0.5) * scale)
    variable, iterates, weight, side = start.clone().requires_grad_(), [], 1.0, 0
    lr = float(row["learning_rate"])
    optimiser = torch.optim.Adadelta([variable], lr=lr, rho=0.95, eps=1e-7)
    own = normalize(scene.views[0].own)
    for number in range(int(row["steps"])):
        change = scene.mask * (torch.tanh(base + variable) - torch.tanh(base)) / scale * 255
        picture = face + change.clamp(-15, 15)
        iterates.append(picture.detach())
        seen = dssim(picture, face)
        distance = (normalize(network(picture)) - own).square().sum()
        loss = 1e6 * (seen - budget).clamp(min=0) ** 2 - weight * distance
        (variable.grad,) = torch.autograd.grad(loss.sum(), variable)
        gradient = variable.grad.clone()
        optimiser.step()
        if number == 0:
            variable = (variable.detach() - 0.01 * gradient.sign()).requires_grad_()
            optimiser = torch.optim.Adadelta([variable], lr=lr, rho=0.95, eps=1e-7)
        before = side
        if seen <= 0.9 * budget and weight <= 129:
            weight, side = weight * 2, 1
        elif seen >= 1.1 * budget and weight >= 1 / 129:
            weight, side = weight / 2, -1
        else:
            weight, side = 1.0, 0
        weight = 1.0 if before * side < 0 else weight
    return iterates


def test_the_first_steps_are_those_worked_by_hand(network: EmbeddingNetwork, clean: Tensor) -> None:
    # In float64: eleven steps make 0.05 levels of the rounding of float32.
    row, clean = _row("low", "steps=12"), clean.double()
    scene = _aside(clean[:1], network.double())
    system = Fawkes10(scene, row, [5])
    ours = _steps(system, 11)
    torch.manual_seed(5)
    start = (2 * torch.rand(clean[0].shape) - 1)[None].double() * 1e-4
    theirs = _by_hand(scene, network, row, start)
    for number in range(12):
        assert (ours[number] - theirs[number]).abs().max() < 1e-6, number
    assert (theirs[-1] - clean[:1]).abs().max() > 5


def test_the_distance_is_squared_between_unit_embeddings_and_over_the_networks(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    scene = _scene(clean, network, Shades())
    moved = (clean + 9).clamp(0, 255)
    expected = [
        (normalize(each(moved)) - normalize(each(clean))).square().sum(dim=1)
        for each in (network, Shades())
    ]
    both = Fawkes10(scene, _row("mid"), range(COUNT)).judge(moved)
    first = Fawkes10(scene, _row("low"), range(COUNT)).judge(moved)
    assert torch.allclose(-both, expected[0] + expected[1], atol=1e-5)
    assert torch.allclose(-first, expected[0], atol=1e-5)


def _weights(*shares: float) -> list[float]:
    weights, sides, seen = torch.ones(1), torch.zeros(1), []
    for share in shares:
        weights, sides = weighed(weights, sides, torch.tensor([share]))
        seen.append(float(weights))
    return seen


def test_a_weight_doubles_inside_the_budget_and_halves_outside() -> None:
    assert _weights(0.5, 0.9, 0.1) == [2, 4, 8]
    assert _weights(1.5, 1.2, 9) == [0.5, 0.25, 0.125]


def test_a_weight_begins_anew_near_the_budget_and_on_the_other_side() -> None:
    assert _weights(0.5, 0.5, 1.0, 0.5) == [2, 4, 1, 2]
    assert _weights(0.5, 0.5, 1.5, 1.5, 0.5) == [2, 4, 1, 0.5, 1]
    assert _weights(0.5, 1.0, 1.5) == [2, 1, 0.5]


def test_a_weight_begins_anew_past_its_limit() -> None:
    assert _weights(*[0.5] * 10)[6:] == [128, 256, 1, 2]
    assert _weights(*[2.0] * 10)[6:] == [1 / 128, 1 / 256, 1, 0.5]


def test_no_pixel_changes_by_more_than_15_levels(network: EmbeddingNetwork, clean: Tensor) -> None:
    row = _row("low", "learning_rate=9000")
    system = Fawkes10(_aside(clean, network), row, range(COUNT))
    changes = (_steps(system, 4)[-1] - clean).abs()
    assert changes.amax(dim=(1, 2, 3)).tolist() == pytest.approx([15] * COUNT, abs=1e-4)


def test_cloaks_move_away_within_the_budget(network: EmbeddingNetwork, clean: Tensor) -> None:
    best = _cloak(network, clean, _row("low", "steps=25"))
    assert (best.dssim <= 0.004).all()
    assert (best.dssim > 0.5 * 0.004).all()
    assert (best.judged < -0.1).all()
    assert best.pictures.min() >= 0
    assert best.pictures.max() <= 255


def test_the_start_is_the_seeds_alone(clean: Tensor) -> None:
    twice = clean[:1].repeat(2, 1, 1, 1)
    same, other = (
        Fawkes10(_scene(twice, Shades()), _row("low"), seeds).pictures().detach()
        for seeds in ([3, 3], [3, 4])
    )
    assert torch.equal(same[0], same[1])
    assert torch.equal(same[0], other[0])
    assert not torch.equal(other[0], other[1])
    assert 0 < (same - twice).abs().max() < 127.5 * 1.1 * GAP


def test_black_and_white_pixels_stay_finite(network: EmbeddingNetwork) -> None:
    faces = torch.zeros(1, 3, 112, 112)
    faces[..., 56:] = 255
    assert _cloak(network, faces, _row("min")).pictures.isfinite().all()


def test_as_released_a_tenth_over_the_budget_is_allowed() -> None:
    assert Fawkes10.limit(_row("high")) == 0.017
    assert Fawkes10.limit(_row("high", "legacy=true")) == pytest.approx(0.0187)


def test_as_released_the_last_iterate_is_not_shrunk(clean: Tensor) -> None:
    scene = _scene(clean, Shades())
    far = (clean + 60 * torch.sin(torch.arange(112) * 2.0)).clamp(0, 255)
    released = Fawkes10(scene, _row("min", "legacy=true"), range(COUNT))
    assert torch.equal(released.within(far, 0.002), far)
    kept = Fawkes10(scene, _row("min"), range(COUNT)).within(far, 0.002)
    assert scene.visibility(kept).max() <= 0.002


def test_stretching_takes_a_picture_to_black_and_white() -> None:
    picture = torch.tensor([100.0, 110, 140])
    assert stretched(picture).tolist() == pytest.approx([0, 63.75, 255])
    assert stretched(torch.full((3,), 7.0)).tolist() == [0, 0, 0]


def test_as_released_both_crops_are_stretched_and_the_difference_laid() -> None:
    clean, change = torch.tensor([100.0, 110, 140]), torch.tensor([0.0, 0, 11])
    assert Fawkes10.laid(change, clean, _row("low")).tolist() == [0, 0, 11]
    # 110 is a quarter of the way from 100 to 140, and 10 / 51 of the way to 151.
    released = Fawkes10.laid(change, clean, _row("low", "legacy=true"))
    assert released.tolist() == pytest.approx([0, 50 - 63.75, 0])


def _saved(
    network: EmbeddingNetwork, photo: Photo, source: NDArray[np.uint8], row: Parameters, out: Path
) -> tuple[NDArray[np.int16], float]:
    """Return what a cloak changes in the saved photo, and the DSSIM on record."""
    (record,) = cloak_photos(
        Cloak("fawkes-1.0", "min", row, {network.name: ""}, Targets.SAME, 0),
        [network],
        [photo],
        {},
        read=lambda _: source,
        faces=KnownFaces(out / "faces"),
        out=out,
        cache=out / "cache",
    ).cloaked
    cloaked = np.array(Image.open(out / record.file).convert("RGB"))
    return cloaked.astype(np.int16) - source, record.dssim


def test_only_as_released_has_the_saved_face_a_rectangle_of_another_colour(
    network: EmbeddingNetwork, draw_photos: Callable[[int, int], list[Photo]], tmp_path: Path
) -> None:
    (photo,) = draw_photos(0, 1)
    # Low in contrast, as a photo in fog: the release stretches it by far.
    source = (np.array(Image.open(photo.path).convert("RGB")) // 3 + 90).astype(np.uint8)
    row = _row("min", "steps=6", "learning_rate=2", "budget=0.05")
    right, at_right = _saved(network, photo, source, row, tmp_path / "right")
    legacy = {**row, "legacy": True}
    released, at_released = _saved(network, photo, source, legacy, tmp_path / "released")
    assert at_right <= 0.05 < at_released
    assert np.abs(right).max() <= 15 < np.abs(released).max()
    box = np.argwhere(np.abs(released).max(axis=2))
    corner = tuple(box.min(axis=0))
    assert np.abs(released[corner]).max() > 0
    assert np.abs(right[corner]).max() == 0
