import pytest
import torch
from torch import Tensor
from toy import run, scene_of, smooth_faces

from cloaker.levels import Parameters, resolve
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from cloaker.scene import Scene
from cloaker.systems.faceoff import FaceOff

COUNT = 4


class Brightness(EmbeddingNetwork):
    """Embeds a face as its mean level."""

    def __init__(self) -> None:
        super().__init__("brightness", ARCFACE_112)

    def forward(self, crops: Tensor) -> Tensor:
        return crops.mean(dim=(1, 2, 3))[:, None]


@pytest.fixture(scope="module")
def clean() -> Tensor:
    return smooth_faces(COUNT)


def _row(*settings: str) -> Parameters:
    fixed = ["wobble_px=0", "attack=pgd-linf", "random_start=0", "steps=5", "kappa=0.4"]
    return resolve("faceoff", "high", [*fixed, *settings])


def _scene(network: EmbeddingNetwork, clean: Tensor) -> Scene:
    # Not from the person's mean itself: away from it, any way is as good as any other.
    own = network(clean)
    return scene_of(clean, [(network, [torch.stack([-one, one + 0.3]) for one in own])])


def _moved(scene: Scene, row: Parameters, steps: int) -> Tensor:
    system = FaceOff(scene, row, range(len(scene.clean)))
    for _ in range(steps):
        pictures = system.pictures()
        system.step(system.judge(pictures), scene.visibility(pictures))
    return system.pictures().detach()


def _by_hand(scene: Scene, row: Parameters, steps: int) -> Tensor:
    """Go down the hinge one face at a time, in shares of the range, as the papers write it."""
    (view,) = scene.views
    moved = []
    for face, mask, (target, source) in zip(scene.clean, scene.mask, view.goals, strict=True):
        x, change = face / 255, torch.zeros_like(face)
        for _ in range(steps):
            change.requires_grad_()
            seen = view.network(255 * (x + mask * change)[None])[0]
            span = (target - source).norm()
            margin = ((target - seen).norm() - (source - seen).norm()) / span + 0.9
            (slope,) = torch.autograd.grad(margin.clamp(min=0), change)
            change = _step(change.detach(), slope, row)
            change = (x + change).clamp(0, 1) - x
        moved.append(255 * (x + mask * change))
    return torch.stack(moved)


def _step(change: Tensor, slope: Tensor, row: Parameters) -> Tensor:
    stride, epsilon = float(row["learning_rate"]), float(row["epsilon"])
    if row["attack"] == "pgd-linf":
        return (change - stride * slope.sign()).clamp(-epsilon, epsilon)
    change = change - stride * slope / slope.norm()
    return change * min(1, epsilon / float(change.norm()))


@pytest.mark.parametrize(
    "settings",
    [
        ["learning_rate=0.002", "epsilon=0.01"],
        ["attack=pgd-l2", "learning_rate=0.1", "epsilon=0.25"],
        ["attack=pgd-l2", "learning_rate=0.1", "epsilon=9"],
    ],
)
def test_steps_agree_with_the_formula(
    network: EmbeddingNetwork, clean: Tensor, settings: list[str]
) -> None:
    scene, row = _scene(network, clean), _row("kappa=0.9", *settings)
    by_hand = _by_hand(scene, row, 5)
    assert (by_hand - clean).abs().amax() > 0.1
    # A slope of almost nothing may have either sign.
    apart = (_moved(scene, row, 5) - by_hand).abs()
    assert (apart > 0.01).float().mean() < 1e-4


def test_each_pixel_moves_by_the_learning_rate_and_stops_at_epsilon() -> None:
    grey = torch.full((1, 3, 112, 112), 100.0)
    scene = scene_of(grey, [(Brightness(), [torch.tensor([[200.0], [100.0]])])])
    row = _row("learning_rate=0.01", "epsilon=0.025")
    for steps, levels in ((1, 2.55), (2, 5.1), (3, 6.375), (5, 6.375)):
        change = _moved(scene, row, steps) - grey
        assert torch.allclose(change, levels * scene.mask.expand_as(change), atol=1e-4)


def test_the_length_of_the_whole_change_stops_at_epsilon(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    row = _row("attack=pgd-l2", "learning_rate=0.5", "epsilon=1.2", "loss=target")
    lengths = []
    for steps in (1, 2, 6):
        system = FaceOff(scene := _scene(network, clean), row, range(COUNT))
        for _ in range(steps):
            pictures = system.pictures()
            system.step(system.judge(pictures), scene.visibility(pictures))
        lengths.append(((system.pictures() - clean) / 255).flatten(1).norm(dim=1).amax().item())
    assert lengths[0] <= 0.5
    assert 0.5 < lengths[1] <= 1
    assert 1 < lengths[2] <= 1.2 + 1e-5


def test_black_and_white_stay_within_the_range(network: EmbeddingNetwork) -> None:
    faces = torch.zeros(1, 3, 112, 112)
    faces[..., 56:] = 255
    best = run(FaceOff, _row("loss=target", "epsilon=0.5"), _scene(network, faces))
    assert best.pictures.isfinite().all()
    assert best.pictures.min() >= 0
    assert best.pictures.max() <= 255
    assert not torch.equal(best.pictures, faces)


def test_the_start_is_noise_within_epsilon_of_each_faces_own_seed(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    row = _row("random_start=1", "epsilon=0.02")
    scene = _scene(network, clean)
    start = FaceOff(scene, row, [3, 4, 5, 6]).pictures().detach() - clean
    alone = FaceOff(_scene(network, clean[2:3]), row, [5]).pictures().detach() - clean[2:3]
    assert torch.equal(start[2:3], alone)
    assert start.abs().amax() <= 5.1 + 1e-4
    assert start.abs().amax() > 4
    assert (start[0] != start[1]).float().mean() > 0.5


def test_a_face_is_finished_when_it_has_its_margin(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    own = network(clean)
    far = [torch.stack([-one, one]) for one in own]
    far[1] = torch.stack([own[1], -own[1]])  # there already
    scene = scene_of(clean, [(network, far)])
    best = run(FaceOff, _row("learning_rate=0.001"), scene)
    assert best.steps.tolist() == [5, 1, 5, 5]
    assert best.judged[1] == 0
    assert torch.equal(best.pictures[1], clean[1])


def test_with_the_target_loss_all_steps_are_taken(network: EmbeddingNetwork, clean: Tensor) -> None:
    own = network(clean)
    scene = scene_of(clean, [(network, [torch.stack([one + 1, -one]) for one in own])])
    best = run(FaceOff, _row("loss=target"), scene)
    assert best.steps.tolist() == [5] * COUNT
    span = (2 * own + 1).norm(dim=1)
    assert (best.judged < 32**0.5 / span).all()
