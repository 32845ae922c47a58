from collections import Counter

import pytest
import torch
from torch import Tensor
from toy import run, scene_of, smooth_faces, vectors

from audit.errors import UserError
from cloaker.attack import Person
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.systems.sybil import Sybil

USER = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])


def _row(level: str, *settings: str) -> Parameters:
    return resolve("sybil", level, ["wobble_px=0", *settings])


def _person(photos: int, seed: int = 0, **candidates: Tensor) -> Person:
    own = torch.zeros(photos, 2)
    everyone = {name: (faces, 10 * faces) for name, faces in candidates.items()}
    return Person((own, own), everyone, together=True, seed=seed, seeds=tuple(range(photos)))


def _aims(goals: list[Tensor]) -> list[float]:
    return [goal[0, 1].item() for goal in goals]


def test_the_same_photo_of_the_user_is_the_goal_for_each_network() -> None:
    goals = Sybil.goals(_person(6, user=USER), _row("high"))
    assert {goal.target for goal in goals} == {"user"}
    assert _aims(vectors(goals, 1)) == [10 * aim for aim in _aims(vectors(goals, 0))]


@pytest.mark.parametrize("photos", [3, 6, 7])
def test_each_of_the_users_photos_gets_its_share_of_sybil_photos(photos: int) -> None:
    aims = Counter(_aims(vectors(Sybil.goals(_person(photos, user=USER), _row("high")))))
    assert set(aims) == {1, 2, 3}
    assert max(aims.values()) - min(aims.values()) <= 1


def test_the_seed_draws_the_order() -> None:
    orders = {
        tuple(_aims(vectors(Sybil.goals(_person(3, seed, user=USER), _row("high")))))
        for seed in range(20)
    }
    assert len(orders) == 6


def test_nobody_to_stand_in_for_is_refused() -> None:
    with pytest.raises(UserError, match="nobody to cloak towards"):
        Sybil.goals(_person(1), _row("high"))


@pytest.mark.parametrize("networks", [1, 2])
def test_sybil_photos_come_nearer_to_the_user_in_every_network(
    networks: int, network: EmbeddingNetwork
) -> None:
    sybil, user = smooth_faces(2), smooth_faces(2, seed=11)
    looks = [network, _Halved(network)][:networks]
    scene = scene_of(sybil, [(look, list(look(user)[:, None])) for look in looks])
    best = run(Sybil, _row("high", "steps=30"), scene)
    assert (best.dssim <= 0.007).all()
    for look in looks:
        before, after = ((look(user) - look(faces)).norm(dim=1) for faces in (sybil, best.pictures))
        assert (after < before).all()


class _Halved(EmbeddingNetwork):
    """The same network with a dimmer look."""

    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__("halved", network.crop)
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        result: Tensor = self.network(crops / 2)
        return result
