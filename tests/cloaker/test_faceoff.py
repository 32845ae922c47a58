import pytest
import torch
from toy import scene_of, smooth_faces

from audit.errors import UserError
from cloaker.attack import Person
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.systems.faceoff import FaceOff
from cloaker.systems.faceoff_margin import standing

OWN = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
ATTACKS = ["cw-l2", "cw-linf", "pgd-l2", "pgd-linf"]


def _row(*settings: str) -> Parameters:
    return resolve("faceoff", "high", ["wobble_px=0", *settings])


def _person(*, together: bool = True, seed: int = 0) -> Person:
    people = {
        name: (torch.tensor([[0.0, height], [0.0, height + 2]]),)
        for name, height in (("near", 4.0), ("far", 9.0), ("farther", 19.0))
    }
    return Person((OWN,), people, together=together, seed=seed, seeds=tuple(range(40, 42)))


def test_the_goals_are_the_means_of_the_target_and_of_the_person() -> None:
    goals = FaceOff.goals(_person(), _row())
    height = {"near": 5, "far": 10, "farther": 20}[goals[0].target]
    assert [goal.vectors[0].tolist() for goal in goals] == [[[0, height], [2, 0]]] * 2


def test_unit_embeddings_have_unit_means() -> None:
    goals = FaceOff.goals(_person(), _row("unit_embeddings=true"))
    assert goals[0].vectors[0].tolist() == [[0, 1], [1, 0]]


def test_the_target_is_anybody_drawn_by_the_seed() -> None:
    drawn = {FaceOff.goals(_person(seed=seed), _row())[0].target for seed in range(30)}
    assert drawn == {"near", "far", "farther"}
    for seed in range(30):
        first, second = FaceOff.goals(_person(seed=seed), _row())
        assert first.target == second.target
    apart = [FaceOff.goals(_person(together=False, seed=seed), _row()) for seed in range(2)]
    assert [goal.target for goal in apart[0]] == [goal.target for goal in apart[1]]


def test_nobody_to_cloak_towards_is_said() -> None:
    with pytest.raises(UserError, match="nobody to cloak towards"):
        FaceOff.goals(Person((OWN,), {}, together=True, seed=0, seeds=(0, 1)), _row())


@pytest.mark.parametrize("setting", ["attack=cw", "loss=triplet", "kappa_unit=px"])
def test_an_unknown_choice_is_refused_with_the_known_ones(setting: str) -> None:
    with pytest.raises(UserError, match=f"{setting}(.|\n)*one of "):
        FaceOff.goals(_person(), _row(setting))


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_comes_nearer_to_the_target(attack: str, network: EmbeddingNetwork) -> None:
    clean = smooth_faces(2)
    own = network(clean)
    scene = scene_of(clean, [(network, [torch.stack([-one, one]) for one in own])])
    row = _row(f"attack={attack}", "random_start=0", "epsilon=3", "learning_rate=0.02")
    system = FaceOff(scene, row, [0, 1])
    lacks = []
    for _ in range(4):
        pictures = system.pictures()
        lacks.append(standing(scene, pictures, row).lack)
        system.step(system.judge(pictures), scene.visibility(pictures))
    assert (lacks[-1] < lacks[0]).all()


@pytest.mark.parametrize(
    ("settings", "loss", "lack"),
    [  # at a third of the way from the person to the target, whose means are 6 apart
        (["kappa=0.5"], 1 / 3 + 0.5, 1 / 3 + 0.5),
        (["kappa=0.5", "loss=target"], 2 / 3, 1 / 3 + 0.5),
        (["kappa=0.5", "kappa_unit=raw"], 2.5, 2.5),
        (["kappa=-1"], 0, 0),
    ],
)
def test_margins_are_shares_of_the_distance_between_the_means(
    network: EmbeddingNetwork, settings: list[str], loss: float, lack: float
) -> None:
    clean = smooth_faces(1)
    own = network(clean)
    way = torch.nn.functional.normalize(torch.ones_like(own))
    goals = torch.cat([own + 4 * way, own - 2 * way])
    scene = scene_of(clean, [(network, [goals])])
    stand = standing(scene, scene.clean, _row(*settings))
    assert stand.loss.item() == pytest.approx(loss, abs=1e-4)
    assert stand.lack.item() == pytest.approx(lack, abs=1e-4)


def test_several_networks_add_up_in_shares(network: EmbeddingNetwork) -> None:
    clean = smooth_faces(2)
    goals = [torch.stack([-one, one]) for one in network(clean)]
    alone = scene_of(clean, [(network, goals)])
    both = scene_of(clean, [(network, goals), (network, goals)])
    once, twice = (standing(scene, scene.clean, _row()) for scene in (alone, both))
    assert torch.allclose(twice.loss, 2 * once.loss)
    assert torch.allclose(twice.lack, 2 * once.lack)


def test_the_change_is_amplified_afterwards() -> None:
    change = torch.tensor([[[1.0, -2.0]]])
    amplified = FaceOff.laid(change, torch.zeros_like(change), _row("amplification=5.1"))
    assert torch.equal(amplified, 5.1 * change)
