from collections.abc import Sequence

import pytest
import torch
from conftest import TinyNetwork
from torch import Tensor, nn
from torch.nn.functional import normalize
from toy import run, scene_of, smooth_faces, vectors

from audit.errors import UserError
from cloaker.attack import Best, Person
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.scene import Scene
from cloaker.systems.ulixes import METHODS, Ulixes

COUNT = 4
LEVELS_PER_STEP = 0.01 * 127.5


@pytest.fixture(scope="module")
def clean() -> Tensor:
    return smooth_faces(COUNT)


@pytest.fixture
def second() -> EmbeddingNetwork:
    """Return a network that sees faces upside down."""
    network = TinyNetwork()
    network.body.insert(0, _Flip())
    return network


class _Flip(nn.Module):
    def forward(self, crops: Tensor) -> Tensor:
        flipped: Tensor = crops.flip(dims=[2])
        return flipped


def _row(*settings: str) -> Parameters:
    return resolve("ulixes", "high", ["budget=inf", *settings])


def _negatives(network: EmbeddingNetwork, count: int, goals: int = 1) -> list[Tensor]:
    """Return the embeddings of other faces, goals x D for each of so many faces."""
    with torch.no_grad():
        embeddings = network(smooth_faces(count * goals, seed=3))
    return list(embeddings.reshape(count, goals, -1))


def _nobody(count: int) -> list[Tensor]:
    return list(torch.zeros(count, 1, 32))


def _away(network: EmbeddingNetwork, clean: Tensor, best: Best) -> Tensor:
    moved: Tensor = normalize(network(best.pictures)) - normalize(network(clean))
    away: Tensor = torch.linalg.vector_norm(moved, dim=1)
    return away


def _by_hand(network: EmbeddingNetwork, scene: Scene, margin: float) -> tuple[Tensor, int]:
    """Return one face and its steps as the paper's section 3.2 and 3.3 tell, triplet by triplet."""
    clean, mask = scene.clean, scene.mask
    own = normalize(network(clean)).detach()
    change, steps = torch.zeros_like(clean), 0
    for negative in normalize(scene.views[0].goals[0]):
        before = torch.inf
        while True:
            change.requires_grad_()
            embedding = normalize(network(clean + mask * change))
            away = ((embedding - own).square().sum() + 1e-12).sqrt()
            loss = (embedding - negative).norm() - away + margin
            if loss <= 0 or abs(float(away.detach()) - before) < 0.01:
                break
            (gradient,) = torch.autograd.grad(loss, change)
            moved = change - LEVELS_PER_STEP * gradient / gradient.abs().max()
            change = (clean + moved).clamp(0, 255).detach() - clean
            before, steps = float(away.detach()), steps + 1
    return (clean + mask * change).detach(), steps


@pytest.mark.parametrize(
    ("margin", "face"),
    [(-0.4, 0), (0.2, 0), (0.2, 1), (2.0, 1)],  # at 2, for face 1, it is the distance that stalls
)
def test_a_cloak_is_the_papers_descent_through_all_triplets(
    margin: float, face: int, network: EmbeddingNetwork, clean: Tensor
) -> None:
    goals = _negatives(network, COUNT, goals=3)[face : face + 1]
    clean = clean[face : face + 1]
    best = run(Ulixes, _row(f"margin={margin}"), scene_of(clean, [(network, goals)]))
    pictures, steps = _by_hand(network, scene_of(clean, [(network, goals)]), margin)
    assert best.steps.tolist() == [steps + 1]  # the last pass finds that nothing is left to do
    assert steps > 5
    assert (best.pictures - pictures).abs().max() < 0.01


def test_as_written_method_5_hardly_moves_and_as_ascent_it_reaches_the_margin(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    nobody = _nobody(COUNT)
    literal, ascent = (
        run(Ulixes, _row(f"method={name}", "margin=1.1"), scene_of(clean, [(network, nobody)]))
        for name in ("5-literal", "5-ascent")
    )
    assert _away(network, clean, literal).max() < 0.35
    assert _away(network, clean, ascent).min() >= 1.1
    assert (literal.steps < ascent.steps).all()


def test_a_face_begins_its_ascent_with_less_than_half_a_level_of_its_own_noise(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    scene = scene_of(clean[[0, 0, 0]], [(network, _nobody(3))])
    starts = Ulixes(scene, _row(), [1, 2, 1]).pictures() - scene.clean
    assert 0.1 < starts.abs().max() < 0.5
    assert torch.equal(starts[0], starts[2])
    assert not torch.equal(starts[0], starts[1])


def test_a_face_that_hardly_moves_is_finished(network: EmbeddingNetwork, clean: Tensor) -> None:
    goals = _negatives(network, COUNT)
    best = run(Ulixes, _row("tolerance=2"), scene_of(clean, [(network, goals)]))
    # One step, after which there are two distances to compare.
    assert best.steps.tolist() == [2] * COUNT
    assert (best.pictures - clean).abs().amax(dim=(1, 2, 3)).tolist() == pytest.approx(
        [LEVELS_PER_STEP] * COUNT, rel=1e-3
    )


def test_the_last_iterate_within_the_budget_is_kept(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    goals = _negatives(network, COUNT)
    scenes = [scene_of(clean, [(network, goals)]) for _ in range(2)]
    row = _row("margin=2", "budget=0.0005")
    best = run(Ulixes, row, scenes[0])
    assert (best.dssim <= 0.0005).all()
    steps = int(best.steps[0])
    one_more = run(Ulixes, {**row, "budget": 1.0, "steps": steps}, scenes[1])
    assert one_more.dssim[0] > 0.0005
    assert 1 < steps < int(row["steps"])


@pytest.mark.parametrize("ensemble", ["1", "2"])
def test_finished_masks_are_combined(
    ensemble: str, network: EmbeddingNetwork, second: EmbeddingNetwork, clean: Tensor
) -> None:
    views = [(one, _negatives(one, COUNT)) for one in (network, second)]
    row = _row("margin=-0.2", f"ensemble={ensemble}")
    alone = torch.stack([run(Ulixes, row, scene_of(clean, [view])).pictures for view in views])
    masks = alone - clean
    expected = (
        masks.sum(dim=0)
        if ensemble == "1"
        else torch.where(masks[0].abs() >= masks[1].abs(), masks[0], masks[1])
    )
    best = run(Ulixes, row, scene_of(clean, views))
    gaps = best.pictures - (clean + expected).clamp(0, 255)
    assert gaps.abs().mean() < 1e-3
    assert expected.abs().mean() > 0.5
    assert best.judged.tolist() == [0] * COUNT


@pytest.mark.parametrize("settings", [("margin=2", "budget=0.004"), ("margin=0.2", "budget=1")])
def test_the_dssim_told_is_that_of_the_picture(
    network: EmbeddingNetwork, clean: Tensor, settings: tuple[str, ...]
) -> None:
    views = [(network, _negatives(network, COUNT))]
    best = run(Ulixes, _row(*settings), scene_of(clean, views))
    assert torch.allclose(best.dssim, scene_of(clean, views).visibility(best.pictures), atol=1e-7)
    assert (best.dssim > 1e-4).all()


def test_a_combination_is_shrunk_into_the_budget(
    network: EmbeddingNetwork, second: EmbeddingNetwork, clean: Tensor
) -> None:
    views = [(one, _negatives(one, COUNT)) for one in (network, second)]
    row = _row("margin=2", "budget=0.002", "ensemble=1")
    best = run(Ulixes, row, scene_of(clean, views))
    assert (best.dssim <= 0.002).all()
    assert (best.dssim > 0.0019).all()


def test_the_third_ensemble_steps_along_the_mean_gradient(
    network: EmbeddingNetwork, second: EmbeddingNetwork, clean: Tensor
) -> None:
    views = [(one, _negatives(one, COUNT)) for one in (network, second)]
    scene = scene_of(clean, views)
    change = torch.zeros_like(clean, requires_grad=True)
    total = torch.zeros(())
    for one, goals in views:
        towards = normalize(one(clean + scene.mask * change)) - normalize(torch.cat(goals))
        total = total + towards.norm(dim=1).sum()  # the distance to oneself has no gradient yet
    (gradient,) = torch.autograd.grad(total, change)
    step = LEVELS_PER_STEP * gradient / gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
    expected = clean + scene.mask * ((clean - step).clamp(0, 255) - clean)
    best = run(Ulixes, _row("ensemble=3", "steps=1"), scene)
    assert (best.pictures - expected).abs().max() < 0.01


def test_the_third_ensemble_goes_on_until_no_network_has_a_loss(
    network: EmbeddingNetwork, second: EmbeddingNetwork, clean: Tensor
) -> None:
    views = [(one, _nobody(COUNT)) for one in (network, second)]
    row = _row("ensemble=3", "margin=1")
    best = run(Ulixes, row, scene_of(clean, views))
    assert all(_away(one, clean, best).min() >= 1 for one in (network, second))


def test_black_and_white_pixels_stay_finite_and_in_range(network: EmbeddingNetwork) -> None:
    faces = torch.zeros(1, 3, 112, 112)
    faces[..., 56:] = 255
    best = run(Ulixes, _row(), scene_of(faces, [(network, _nobody(1))]))
    assert best.pictures.isfinite().all()
    assert best.pictures.min() >= 0
    assert best.pictures.max() <= 255


def _circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return 7 * torch.stack([angles.cos(), angles.sin()], dim=1)


def _person(seeds: Sequence[int] = (0, 1), **candidates: Tensor) -> Person:
    """Return a person with faces at 0 and 30 degrees (0.52 apart)."""
    everyone = {name: (faces,) for name, faces in candidates.items()}
    return Person((_circle(0, 30),), everyone, together=True, seed=0, seeds=tuple(seeds))


def _chosen(person: Person, *settings: str) -> list[Tensor]:
    return vectors(Ulixes.goals(person, _row(*settings)))


def _different(faces: Tensor) -> set[tuple[float, ...]]:
    return set(map(tuple, faces.tolist()))


def test_method_1_takes_the_farthest_face() -> None:
    person = _person(ann=_circle(100, 200), bob=_circle(190))
    first, second = _chosen(person, "method=1")
    assert torch.equal(first, _circle(190))
    assert torch.equal(second, _circle(200))
    assert [goal.target for goal in Ulixes.goals(person, _row("method=1"))] == ["bob", "ann"]


def test_method_2_draws_five_others_by_the_faces_seed() -> None:
    person = _person(seeds=(5, 5), ann=_circle(*range(90, 100)))
    first, again = _chosen(person, "method=2"), _chosen(person, "method=2")
    assert [goal.shape for goal in first] == [(5, 2), (5, 2)]
    assert all(map(torch.equal, first, again))
    assert len(_different(first[0])) == 5
    others = [
        torch.cat(_chosen(_person(seeds=(seed, 0), ann=_circle(*range(90, 100))), "method=2")[:1])
        for seed in range(40)
    ]
    everyone = _different(torch.cat(others))
    # All ten of the other person, and the person's own other face.
    assert everyone == _different(_circle(30, *range(90, 100)))


def test_method_3_takes_the_farthest_before_five_others() -> None:
    person = _person(ann=_circle(*range(90, 100)))
    for goal, drawn in zip(_chosen(person, "method=3"), _chosen(person, "method=2"), strict=True):
        assert torch.equal(goal, torch.cat([_circle(99), drawn]))


@pytest.mark.parametrize(
    ("margin", "nearest"),
    [(0.2, 30), (0.6, 40), (1.0, 90), (1.6, None)],  # nobody when none is beyond the margin
)
def test_method_4_takes_the_nearest_beyond_the_margin(margin: float, nearest: float | None) -> None:
    goal = _chosen(_person(ann=_circle(90, 40)), "method=4", f"margin={margin}")[0]
    assert torch.equal(goal, torch.zeros(1, 2) if nearest is None else _circle(nearest))


@pytest.mark.parametrize("method", ["5-literal", "5-ascent"])
def test_method_5_takes_nobody(method: str) -> None:
    goals = Ulixes.goals(_person(), _row(f"method={method}"))
    assert torch.equal(torch.cat(vectors(goals)), torch.zeros(2, 2))
    assert [goal.target for goal in goals] == ["", ""]


@pytest.mark.parametrize("method", ["1", "2", "3"])
def test_without_any_other_face_there_is_no_negative(method: str) -> None:
    alone = Person((_circle(0),), {}, together=True, seed=0, seeds=(0,))
    with pytest.raises(UserError, match="no other face"):
        Ulixes.goals(alone, _row(f"method={method}"))


def test_unknown_methods_and_ensembles_are_refused(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    with pytest.raises(UserError, match=", ".join(METHODS)):
        Ulixes.goals(_person(), _row("method=5"))
    with pytest.raises(UserError, match="ensemble '4'"):
        run(Ulixes, _row("ensemble=4"), scene_of(clean, [(network, _nobody(COUNT))]))


def test_margin_step_and_tolerance_are_the_papers() -> None:
    published = [round(0.2 * i, 1) for i in range(1, 11)]
    rows = [resolve("ulixes", level) for level in ("min", "low", "mid", "high")]
    margins = [float(row["margin"]) for row in rows]
    assert margins == sorted(margins)
    assert set(margins) <= set(published)
    assert {(row["learning_rate"], row["tolerance"]) for row in rows} == {(0.01, 0.01)}
