import pytest
import torch
from torch import Tensor

from cloaker.attack import Best, optimise
from cloaker.fawkes import Adadelta, Fawkes03, aim
from cloaker.geometry import feather
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork

COUNT = 8
MASK = feather(ARCFACE_112)


@pytest.fixture(scope="module")
def clean() -> Tensor:
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(COUNT, 3, 14, 14, generator=generator) * 255
    smooth = torch.nn.functional.interpolate(coarse, size=(112, 112), mode="bilinear")
    return smooth.round()


def _cloak(network: EmbeddingNetwork, clean: Tensor, aims: Tensor, row: Parameters) -> Best:
    system = Fawkes03(clean, aims, MASK, row)
    budget, steps = float(row["budget"]), int(row["steps"])
    return optimise(system, network, clean, budget=budget, steps=steps)


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
    row, aims = resolve("fawkes-0.3", level), _aims(network, clean)
    best = _cloak(network, clean, aims, row)
    start = Fawkes03(clean, aims, MASK, row).distance(network(clean))
    assert (best.dssim <= row["budget"]).all()
    assert (best.dssim > 0.5 * row["budget"]).all()
    assert (best.distance < 0.97 * start).all()
    assert best.faces.min() >= 0
    assert best.faces.max() <= 255


def test_batch_mates_do_not_matter(network: EmbeddingNetwork, clean: Tensor) -> None:
    # Few steps: rounding errors, which do depend on the batch's size, grow with each one.
    row, aims = resolve("fawkes-0.3", "high") | {"steps": 15}, _aims(network, clean)
    together = _cloak(network, clean, aims, row)
    for part in (slice(0, 1), slice(3, 6), slice(6, COUNT)):
        apart = _cloak(network, clean[part], aims[part], row)
        assert (together.faces[part] - apart.faces).abs().max() < 0.01
        assert torch.allclose(together.distance[part], apart.distance, atol=1e-5)


def test_an_excess_over_the_budget_does_not_freeze_the_cloak(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    # As released, the first excess stops all movement for hundreds of steps.
    row = resolve("fawkes-0.3", "mid") | {"steps": 40}
    best = _cloak(network, clean, _aims(network, clean), row)
    assert best.dssim.min() > 0.9 * row["budget"]


def test_nothing_changes_at_the_crops_border(network: EmbeddingNetwork, clean: Tensor) -> None:
    best = _cloak(network, clean[:1], _aims(network, clean)[:1], resolve("fawkes-0.3", "min"))
    changed = (best.faces - clean[:1]).abs()
    assert changed[..., [0, -1], :].max() == 0
    assert changed[..., [0, -1]].max() == 0


def test_black_and_white_pixels_stay_finite(network: EmbeddingNetwork) -> None:
    faces = torch.zeros(1, 3, 112, 112)
    faces[..., 56:] = 255
    best = _cloak(network, faces, -network(faces), resolve("fawkes-0.3", "min"))
    assert best.faces.isfinite().all()


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
    Adadelta(learning_rate=learning_rate, decay_every=100).update(
        variable, torch.full((3,), gradient)
    )
    assert variable.tolist() == pytest.approx([-step] * 3, abs=6e-5)


def test_adadelta_agrees_with_pytorchs_at_equal_constants() -> None:
    ours, theirs = torch.zeros(4), torch.zeros(4, requires_grad=True)
    optimiser = torch.optim.Adadelta([theirs], lr=10, rho=0.95, eps=1e-8)
    own = Adadelta(learning_rate=10, decay_every=1000)
    for i in range(30):
        gradient = torch.tensor([1e-5, -1e-3, 0.1, 5.0]) * (1 + i % 3)
        theirs.grad = gradient.clone()
        optimiser.step()
        own.update(ours, gradient)
    assert torch.allclose(ours, theirs.detach(), rtol=1e-4)


def test_the_learning_rate_falls_after_each_third() -> None:
    steady, falling = torch.zeros(1), torch.zeros(1)
    optimisers = [Adadelta(learning_rate=1, decay_every=n) for n in (1000, 3)]
    ratios = []
    for _ in range(8):
        before = steady.clone(), falling.clone()
        for variable, optimiser in zip((steady, falling), optimisers, strict=True):
            optimiser.update(variable, torch.ones(1))
        ratios.append(float((falling - before[1]) / (steady - before[0])))
    assert ratios == pytest.approx([1, 1, 1, 1, 0.8, 0.8, 0.8, 0.64], rel=1e-3)
