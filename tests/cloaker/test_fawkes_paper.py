from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toy import run, scene_of, smooth_faces

from audit.errors import UserError
from cloaker import targets
from cloaker.attack import Person
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.perceptual import dssim
from cloaker.scene import Scene
from cloaker.systems.fawkes_paper import FawkesPaper

COUNT = 3
LEVEL = 2 / 255


@pytest.fixture(scope="module")
def clean() -> Tensor:
    return smooth_faces(COUNT)


def _row(level: str, *settings: str) -> Parameters:
    return resolve("fawkes-paper", level, ["wobble_px=0", *settings])


def _towards(clean: Tensor, network: EmbeddingNetwork) -> Scene:
    """Return a scene in which each face is cloaked towards another picture."""
    goals = network(smooth_faces(len(clean), seed=40))
    return scene_of(clean, [(network, list(goals[:, None]))])


def test_the_highest_level_has_the_papers_numbers() -> None:
    published = {"budget": 0.007, "steps": 1000, "learning_rate": 0.5, "penalty": 1e10}
    row = _row("high")
    assert {key: row[key] for key in published} == published


def test_lower_levels_have_a_smaller_budget_and_nothing_else() -> None:
    rows = [_row(level) for level in ("min", "low", "mid", "high")]
    assert [row["budget"] for row in rows] == [0.002, 0.003, 0.005, 0.007]
    assert all({**row, "budget": 0.007} == rows[-1] for row in rows)


def _by_hand(scene: Scene, network: EmbeddingNetwork, row: Parameters) -> list[Tensor]:
    """Return one face's iterates, by the paper's formula and Adam's definition."""
    face, scale, rate = scene.clean, 2 - 1e-6, float(row["learning_rate"])
    rate *= 1 if row["legacy"] else LEVEL
    base = torch.atanh((face / 255 - 0.5) * scale)
    variable, iterates = torch.zeros_like(face), []
    mean, power = torch.zeros_like(face), torch.zeros_like(face)
    for number in range(1, int(row["steps"]) + 1):
        variable.requires_grad_()
        change = scene.mask * (torch.tanh(base + variable) - torch.tanh(base)) / scale * 255
        iterates.append((face + change).detach())
        excess = (dssim(face + change, face) - float(row["budget"])).clamp(min=0)
        distance = (network(face + change) - scene.views[0].goals[:, 0]).norm()
        (inwards,) = torch.autograd.grad(1e10 * excess.sum(), variable, retain_graph=True)
        (ahead,) = torch.autograd.grad(distance, variable)
        if not row["legacy"] and inwards.norm() > 2 * ahead.norm():
            inwards = inwards * (2 * ahead.norm() / inwards.norm())
        gradient = ahead + inwards
        mean = 0.9 * mean + 0.1 * gradient
        power = 0.999 * power + 0.001 * gradient**2
        ratio = (mean / (1 - 0.9**number)) / ((power / (1 - 0.999**number)).sqrt() + 1e-8)
        variable = (variable - rate * ratio).detach()
    return iterates


@pytest.mark.parametrize("settings", [["learning_rate=2"], ["legacy=true", "learning_rate=0.02"]])
def test_the_first_steps_are_those_worked_by_hand(
    settings: list[str], network: EmbeddingNetwork, clean: Tensor
) -> None:
    # Steps large enough to pass the budget at the third: the penalty has its part in the rest.
    row, scene = _row("min", "steps=8", *settings), _towards(clean[:1], network)
    system = FawkesPaper(scene, row, [0])
    theirs = _by_hand(scene, network, row)
    for iterate in theirs:
        pictures = system.pictures()
        # An element whose gradient is rounding error may take its first step either way.
        assert ((pictures - iterate).abs() > 0.1).float().mean() < 0.002
        system.step(system.judge(pictures), scene.visibility(pictures))
    over = torch.cat([scene.visibility(iterate) for iterate in theirs]) > 0.002
    assert 0 < over.sum() < 8


def test_a_step_is_as_many_levels_as_the_rate_at_mid_grey(network: EmbeddingNetwork) -> None:
    scene = _towards(torch.full((1, 3, 112, 112), 128.0), network)
    system = FawkesPaper(scene, _row("high"), [0])
    system.step(system.judge(pictures := system.pictures()), scene.visibility(pictures))
    changes = (system.pictures().detach() - 128).abs()
    assert float(changes.max()) == pytest.approx(0.5, abs=1e-3)


def test_several_networks_distances_are_added(network: EmbeddingNetwork, clean: Tensor) -> None:
    scene = scene_of(
        clean, [(network, [torch.zeros(1, 32)] * 3), (network, [torch.ones(1, 32)] * 3)]
    )
    judged = FawkesPaper(scene, _row("high"), range(COUNT)).judge(clean)
    own = network(clean)
    assert torch.allclose(judged, own.norm(dim=1) + (own - 1).norm(dim=1), atol=1e-4)


def test_cloaks_come_nearer_within_the_budget(network: EmbeddingNetwork, clean: Tensor) -> None:
    scene = _towards(clean, network)
    start = FawkesPaper(scene, _row("high"), range(COUNT)).judge(clean)
    best = run(FawkesPaper, _row("min", "steps=15"), scene)
    assert (best.dssim <= 0.002).all()
    assert (best.dssim > 0.5 * 0.002).all()
    assert (best.judged < 0.95 * start).all()


def test_with_the_printed_penalty_and_rate_little_comes_nearer(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    scene = _towards(clean, network)
    right = run(FawkesPaper, _row("high", "steps=12"), scene)
    printed = run(FawkesPaper, _row("high", "steps=12", "legacy=true"), scene)
    assert (printed.judged > right.judged).all()


def test_black_and_white_pixels_stay_finite(network: EmbeddingNetwork) -> None:
    faces = torch.zeros(1, 3, 112, 112)
    faces[..., 56:] = 255
    best = run(FawkesPaper, _row("min", "steps=10"), _towards(faces, network))
    assert best.pictures.isfinite().all()


def _person(*, together: bool) -> Person:
    own = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    candidates = {
        "left": (torch.tensor([[-9.0, 1.0], [-9.0, -1.0]]),),
        "right": (torch.tensor([[19.0, 0.0]]),),
        "above": (torch.tensor([[5.0, 30.0], [5.0, 31.0], [5.0, 32.0]]),),
    }
    return Person((own,), candidates, together=together, seed=0, seeds=(1, 2))


def test_all_photos_share_a_target_and_each_has_one_photo_of_theirs() -> None:
    goals = FawkesPaper.goals(_person(together=True), _row("high"))
    assert [goal.target for goal in goals] == ["above", "above"]
    shown = [[[5.0, 30.0]], [[5.0, 31.0]], [[5.0, 32.0]]]
    assert all(goal.vectors[0].tolist() in shown for goal in goals)


def test_which_photo_it_is_each_faces_seed_decides() -> None:
    person = _person(together=True)
    seeds = tuple(range(30))
    many = Person(
        (person.own[0][:1].repeat(30, 1),), person.candidates, together=True, seed=0, seeds=seeds
    )
    chosen = [goal.vectors[0][0, 1].item() for goal in FawkesPaper.goals(many, _row("high"))]
    assert set(chosen) == {30, 31, 32}
    again = FawkesPaper.goals(many, _row("high"))
    assert chosen == [goal.vectors[0][0, 1].item() for goal in again]


def test_apart_each_photo_has_the_person_farthest_from_itself() -> None:
    person = _person(together=False)
    person = replace(
        person, candidates={name: person.candidates[name] for name in ("left", "right")}
    )
    goals = FawkesPaper.goals(person, _row("high"))
    assert [goal.target for goal in goals] == ["right", "left"]


def test_the_target_is_the_farthest_of_those_drawn() -> None:
    own = torch.zeros(1, 1)
    crowd = {f"{far:02}": torch.tensor([[float(far)]]) for far in range(50)}
    assert targets.farthest(own, crowd, 50, 3) == "49"
    drawn = [targets.farthest(own, crowd, 5, seed) for seed in range(40)]
    assert drawn == [targets.farthest(own, crowd, 5, seed) for seed in range(40)]
    assert len(set(drawn)) > 5
    assert min(drawn) >= "04"
    with pytest.raises(UserError, match="nobody to cloak towards"):
        targets.farthest(own, {}, 5, 0)
