"""LowKey's steps against its formula, worked out one picture and one branch at a time."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from random_lpips import by_the_book, install
from torch import Tensor
from torch.nn.functional import conv2d, pad
from toy import CPU, run, scene_of, smooth_faces

from audit.errors import UserError
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from cloaker.region import FaceRegion
from cloaker.scene import Scene
from cloaker.systems.lowkey import LowKey

STEP, NOISE = 255 * 0.0025, 255 * 0.005


def _row(*settings: str) -> Parameters:
    return resolve("lowkey", "high", ["lpips_weight=0", *settings])


def _scene(networks: Sequence[EmbeddingNetwork], clean: Tensor) -> Scene:
    return scene_of(clean, [(network, list(network(clean)[:, None])) for network in networks])


def _others(network: EmbeddingNetwork, count: int) -> list[EmbeddingNetwork]:
    """Return networks of the same shape that see other things."""
    others = []
    for i in range(count):
        other = copy.deepcopy(network)
        generator = torch.Generator().manual_seed(i)
        for weight in other.parameters():
            weight.add_(weight.std() * torch.randn(weight.shape, generator=generator))
        others.append(other)
    return others


def _blurred(picture: Tensor) -> Tensor:
    line = [math.exp(-((i - 3) ** 2) / (2 * 3**2)) for i in range(7)]
    kernel = torch.tensor(line)[:, None] * torch.tensor(line)
    mirrored = pad(picture[:, None], (3, 3, 3, 3), mode="reflect")
    kernel = (kernel / kernel.sum()).to(picture)
    blurred: Tensor = conv2d(mirrored, kernel[None, None])[:, 0]
    return blurred


def _embedding(network: EmbeddingNetwork, picture: Tensor) -> Tensor:
    total: Tensor = network(picture[None])[0] + network(picture.flip(2)[None])[0]
    embedding: Tensor = total / total.norm()
    return embedding


def _gain(networks: Sequence[EmbeddingNetwork], picture: Tensor, clean: Tensor) -> Tensor:
    """Return what LowKey makes as large as it can, as the release writes it."""
    members = []
    for network in networks:
        own = _embedding(network, clean)
        seen = [_embedding(network, branch) for branch in (_blurred(picture), picture)]
        members += [(embedding - own) ** 2 / own.norm() for embedding in seen]
    return torch.stack(members).sum(dim=1).mean() / 512


def _by_the_book(
    networks: Sequence[EmbeddingNetwork], clean: Tensor, start: Tensor, mask: Tensor, steps: int
) -> Tensor:
    moved = start
    for _ in range(steps):
        variable = moved.detach().requires_grad_()
        gain = _gain(networks, variable, clean)
        (gradient,) = torch.autograd.grad(gain, variable)
        moved = variable + STEP * mask * gradient.sign()
    return moved.detach()


def _start(scene: Scene, seeds: Sequence[int], *settings: str) -> Tensor:
    return LowKey(scene, _row(*settings), seeds).pictures().detach()


def test_steps_are_those_of_the_formula(network: EmbeddingNetwork) -> None:
    # In float64: a sign makes a whole step of what rounding leaves of a gradient.
    networks, clean = [network.double(), *_others(network, 1)], smooth_faces(2).double()
    scene, seeds, steps = _scene(networks, clean), [3, 4], 4
    starts, mask = _start(scene, seeds), scene.mask[:, 0]
    best = run(LowKey, _row(f"steps={steps}"), scene, seeds)
    for i in range(2):
        moved = _by_the_book(networks, clean[i], starts[i], mask[i], steps)
        # The blur's taps are in float32, whichever way they are worked out.
        assert ((best.pictures[i] - moved).abs() < 1e-6).double().mean() > 0.9999
        gain = _gain(networks, moved, clean[i])
        assert float(best.judged[i]) == pytest.approx(-float(gain), rel=1e-5)
        assert float(gain) > 3 * float(_gain(networks, starts[i], clean[i]))


def test_half_of_lpips_is_the_crops_and_half_the_photos(
    network: EmbeddingNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    # The photo is larger than the crop, which is its upper left corner.
    photo = torch.nn.functional.interpolate(smooth_faces(1), size=(150, 140), mode="bilinear")
    photo = photo.round()
    scene = _whole_photos([photo[0]], network)
    clean = scene.clean[0]
    system = LowKey(scene, resolve("lowkey", "high", ["lpips_weight=0.7"]), [3])
    moved = system.pictures().detach()[0]
    expected = (
        0.7 * by_the_book(moved[:, :112, :112], clean[:, :112, :112]) / 2
        + 0.7 * by_the_book(moved, clean) / 2
        - _gain_in_photo(network, moved, clean)
    )
    torch.testing.assert_close(system.judge(moved[None])[0], expected, rtol=1e-3, atol=1e-7)


def _gain_in_photo(network: EmbeddingNetwork, moved: Tensor, clean: Tensor) -> Tensor:
    # The photo is blurred before it is aligned.
    own = _embedding(network, clean[:, :112, :112])
    seen = [_blurred(moved)[:, :112, :112], moved[:, :112, :112]]
    return torch.stack([(_embedding(network, s) - own).square().sum() for s in seen]).mean() / 512


def _whole_photos(photos: Sequence[Tensor], network: EmbeddingNetwork) -> Scene:
    """Return photos, 3 x height x width, whose faces lie like crops in the upper left corner."""
    regions = [
        FaceRegion(
            photo.to(torch.uint8).permute(1, 2, 0).numpy(),
            ARCFACE_112.points,
            [network.crop],
            CPU,
            whole=True,
        )
        for photo in photos
    ]
    scene = Scene(regions)
    nothing = [torch.zeros(32)] * len(photos)
    scene.look(network, nothing, [n[None] for n in nothing])
    return scene


def test_lpips_holds_the_steps_back(
    network: EmbeddingNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    clean = smooth_faces(1)
    unlike = []
    for weight in (0, 0.05, 50):
        row = resolve("lowkey", "high", ["steps=4", f"lpips_weight={weight}"])
        best = run(LowKey, row, _scene([network], clean), [3])
        unlike.append(float(by_the_book(best.pictures[0], clean[0])))
    assert unlike[2] < unlike[1] < unlike[0]


def test_each_face_starts_with_noise_of_its_own(network: EmbeddingNetwork) -> None:
    scene = _scene([network], smooth_faces(1).expand(3, -1, -1, -1))
    noise = _start(scene, [1, 2, 1]) - scene.clean
    full = scene.mask.expand_as(noise) == 1
    assert noise[full].abs().max() == pytest.approx(NOISE, rel=0.01)
    assert noise[full].mean().abs() < 0.02
    assert torch.equal(noise[0], noise[2])
    assert (noise[0] - noise[1]).abs().max() > NOISE


def test_no_pixel_goes_farther_than_the_steps(network: EmbeddingNetwork) -> None:
    clean = smooth_faces(2)
    best = run(LowKey, _row("steps=6"), _scene([network], clean))
    assert (best.pictures - clean).abs().max() <= NOISE + 6 * STEP + 1e-3
    assert (best.pictures - clean).abs().max() > 5 * STEP


def test_the_release_looks_through_two_networks(network: EmbeddingNetwork) -> None:
    networks, clean = [network, *_others(network, 3)], smooth_faces(1)

    def judged(count: int, preset: str) -> float:
        system = LowKey(_scene(networks[:count], clean), _row(f"preset={preset}"), [3])
        return float(system.judge(system.pictures()).detach())

    assert judged(4, "released") == judged(2, "released") == judged(2, "paper")
    start = _start(_scene(networks, clean), [3])[0]
    assert judged(4, "paper") == pytest.approx(-float(_gain(networks, start, clean[0])), rel=1e-3)


def test_counting_networks_twice_changes_nothing(network: EmbeddingNetwork) -> None:
    networks, clean = [network.double(), *_others(network, 1)], smooth_faces(1).double()
    once = run(LowKey, _row("steps=3", "preset=released"), _scene(networks, clean), [3])
    twice = run(LowKey, _row("steps=3"), _scene([*networks, *networks], clean), [3])
    assert (once.pictures - twice.pictures).abs().max() < 1e-6
    assert float(once.judged) == pytest.approx(float(twice.judged), rel=1e-9)


def test_black_and_white_pixels_stay_finite(
    network: EmbeddingNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    faces = torch.zeros(1, 3, 112, 112)
    faces[..., 56:] = 255
    row = resolve("lowkey", "high", ["steps=3"])
    best = run(LowKey, row, _scene([network], faces), [3])
    assert best.pictures.isfinite().all()
    assert best.judged.isfinite().all()


def test_an_unknown_preset_is_refused_with_the_known_ones(network: EmbeddingNetwork) -> None:
    with pytest.raises(UserError, match=r"'best'(.|\n)*released, paper"):
        LowKey(_scene([network], smooth_faces(1)), _row("preset=best"), [3])


def test_without_the_weights_of_lpips_there_is_no_cloak(
    network: EmbeddingNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    monkeypatch.setenv("AUDIT_CACHE", str(tmp_path / "empty"))
    scene = _scene([network], smooth_faces(1))
    with pytest.raises(UserError, match="audit weights fetch lpips-alexnet"):
        LowKey(scene, resolve("lowkey", "high"), [3])
    assert run(LowKey, _row("steps=1"), scene, [3]).judged < 0


def test_high_has_the_numbers_of_the_release() -> None:
    released = {
        "steps": 50,
        "learning_rate": 0.0025,
        "start_noise": 0.005,
        "lpips_weight": 0.05,
        "budget": math.inf,
        "whole_photo": True,
        "wobble_px": 0.0,
    }
    row = resolve("lowkey", "high")
    assert {key: row[key] for key in released} == released
    steps = [int(resolve("lowkey", level)["steps"]) for level in ("min", "low", "mid", "high")]
    assert steps == sorted(set(steps))
