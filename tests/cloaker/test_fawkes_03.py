import pytest
import torch
from torch import Tensor
from toy import run, scene_of, smooth_faces

from cloaker.adadelta import Adadelta
from cloaker.attack import Best, Person
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.systems.fawkes_03 import Fawkes03, aim

COUNT = 8


@pytest.fixture(scope="module")
def clean() -> Tensor:
    return smooth_faces(COUNT)


def _row(level: str, *settings: str) -> Parameters:
    return resolve("fawkes-0.3", level, ["wobble_px=0", *settings])


def _cloak(network: EmbeddingNetwork, clean: Tensor, aims: Tensor, row: Parameters) -> Best:
    return run(Fawkes03, row, scene_of(clean, [(network, list(aims[:, None]))]))


def _aims(network: EmbeddingNetwork, clean: Tensor) -> Tensor:
    own = network(clean)
    return aim(own, own.mean(dim=0), -own.mean(dim=0))


def test_the_aim_is_twice_the_way_to_the_target() -> None:
    own, target = torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([0.0, 5.0])
    assert aim(own, own.mean(dim=0), target).tolist() == [[-3, 10], [-1, 10]]


@pytest.mark.parametrize("level", ["min", "low"])
def test_cloaks_come_nearer_to_the_aim_within_the_budget(
    level: str, network: EmbeddingNetwork, clean: Tensor
) -> None:
    row, aims = _row(level), _aims(network, clean)
    best = _cloak(network, clean, aims, row)
    start = (aims - network(clean)).norm(dim=1) / aims.norm(dim=1)
    assert (best.dssim <= float(row["budget"])).all()
    assert (best.dssim > 0.5 * float(row["budget"])).all()
    assert (best.judged < 0.97 * start).all()
    assert best.pictures.min() >= 0
    assert best.pictures.max() <= 255


def test_an_excess_over_the_budget_does_not_freeze_the_cloak(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    # As released, the first excess stops all movement for hundreds of steps.
    row = _row("mid", "steps=40")
    best = _cloak(network, clean, _aims(network, clean), row)
    assert best.dssim.min() > 0.9 * float(row["budget"])


def test_nothing_changes_at_the_crops_border(network: EmbeddingNetwork, clean: Tensor) -> None:
    best = _cloak(network, clean[:1], _aims(network, clean)[:1], _row("min"))
    changed = (best.pictures - clean[:1]).abs()
    assert changed[..., [0, -1], :].max() == 0
    assert changed[..., [0, -1]].max() == 0


def test_black_and_white_pixels_stay_finite(network: EmbeddingNetwork) -> None:
    faces = torch.zeros(1, 3, 112, 112)
    faces[..., 56:] = 255
    best = _cloak(network, faces, -network(faces), _row("min"))
    assert best.pictures.isfinite().all()


@pytest.mark.parametrize(
    ("learning_rate", "gradient", "step"),
    [  # min, mid and high: the first step in tanh units under a constant gradient
        (40, 1e-2, 0.0179),
        (20, 1e-2, 0.0089),
        (10, 1e-2, 0.0045),
        (40, 1e-4, 0.0039),
        (20, 1e-4, 0.0020),
        (10, 1e-4, 0.0010),
    ],
)
def test_the_first_step_is_tensorflows(learning_rate: float, gradient: float, step: float) -> None:
    variable = torch.zeros(3)
    Adadelta(variable, epsilon=1e-8).update(variable, torch.full((3,), gradient), learning_rate)
    assert variable.tolist() == pytest.approx([-step] * 3, abs=6e-5)


def test_adadelta_agrees_with_pytorchs_at_equal_constants() -> None:
    ours, theirs = torch.zeros(4), torch.zeros(4, requires_grad=True)
    optimiser = torch.optim.Adadelta([theirs], lr=10, rho=0.95, eps=1e-8)
    own = Adadelta(ours, epsilon=1e-8)
    for i in range(30):
        gradient = torch.tensor([1e-5, -1e-3, 0.1, 5.0]) * (1 + i % 3)
        theirs.grad = gradient.clone()
        optimiser.step()
        own.update(ours, gradient, 10)
    assert torch.allclose(ours, theirs.detach(), rtol=1e-4)


def test_the_learning_rate_falls_after_each_third(network: EmbeddingNetwork, clean: Tensor) -> None:
    scene = scene_of(clean[:1], [(network, list(_aims(network, clean)[:1, None]))])
    system = Fawkes03(scene, _row("min", "steps=9", "learning_rate=1"), [0])
    rates = []
    for _ in range(8):
        pictures = system.pictures()
        system.step(system.judge(pictures), scene.visibility(pictures))
        rates.append(system.learning_rate)
    assert rates == pytest.approx([1, 1, 1, 0.8, 0.8, 0.8, 0.64, 0.64])


def _person(own: Tensor, **candidates: Tensor) -> Person:
    everyone = {name: (faces,) for name, faces in candidates.items()}
    return Person((own,), everyone, together=True, seed=0, seeds=tuple(range(len(own))))


def test_all_photos_share_one_target_and_its_mean() -> None:
    own = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    person = _person(own, far=torch.tensor([[0.0, 9.0], [0.0, 11.0]]), near=own)
    goals = Fawkes03.goals(person, _row("min"))
    assert [goal.target for goal in goals] == ["far", "far"]
    aims = [goal.vectors[0].tolist() for goal in goals]
    assert aims == [[[-3, 20]], [[-1, 20]]]


def test_as_released_each_photo_has_a_photo_of_the_target_for_itself() -> None:
    own = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    person = _person(own, far=torch.tensor([[0.0, 9.0]]))
    goals = Fawkes03.goals(person, _row("min", "legacy=true"))
    assert [goal.vectors[0].tolist() for goal in goals] == [[[-1, 18]], [[-3, 18]]]


def test_as_released_the_first_excess_stops_the_cloak(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    aims = _aims(network, clean)
    right = _cloak(network, clean, aims, _row("mid", "steps=40"))
    released = _cloak(network, clean, aims, _row("mid", "steps=40", "legacy=true"))
    assert (released.judged > right.judged).all()
