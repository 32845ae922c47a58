import torch
from torch import Tensor

from cloaker.attack import optimise
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork


class Brightness(EmbeddingNetwork):
    """Embeds a face as its mean level, and counts how often it is asked to."""

    def __init__(self) -> None:
        super().__init__("brightness", ARCFACE_112)
        self.passes = 0

    def forward(self, crops: Tensor) -> Tensor:
        self.passes += 1
        return crops.mean(dim=(1, 2, 3))[:, None]


class Script:
    """A system that shows given iterates: the clean faces plus a constant a step and face."""

    def __init__(
        self, clean: Tensor, offsets: list[list[float]], distances: list[list[float]]
    ) -> None:
        self.clean, self.offsets, self.distances = clean, offsets, distances
        self.shown = 0

    def faces(self) -> Tensor:
        offset = torch.tensor(self.offsets[self.shown])
        return self.clean + offset[:, None, None, None]

    def distance(self, embeddings: Tensor) -> Tensor:
        assert embeddings.shape == (len(self.clean), 1)
        return torch.tensor(self.distances[self.shown])

    def step(self, distance: Tensor, dssim: Tensor) -> None:
        assert distance.shape == dssim.shape == (len(self.clean),)
        self.shown += 1


def _clean() -> Tensor:
    return torch.full((2, 3, 112, 112), 100.0)


def test_each_face_keeps_its_own_nearest_iterate() -> None:
    offsets = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    script = Script(_clean(), offsets, distances=[[9.0, 9.0], [3.0, 5.0], [4.0, 2.0]])
    best = optimise(script, Brightness(), _clean(), budget=1, steps=2)
    assert best.distance.tolist() == [3, 2]
    assert (best.faces - _clean()).amax(dim=(1, 2, 3)).tolist() == [1, 2]


def test_an_iterate_over_the_budget_is_never_kept() -> None:
    offsets = [[0.0, 0.0], [90.0, 1.0], [2.0, 2.0]]
    script = Script(_clean(), offsets, distances=[[9.0, 9.0], [0.0, 3.0], [5.0, 5.0]])
    best = optimise(script, Brightness(), _clean(), budget=0.01, steps=2)
    assert best.distance.tolist() == [5, 3]
    assert best.dssim.max() <= 0.01


def test_the_last_iterate_is_shrunk_into_the_budget() -> None:
    script = Script(_clean(), [[90.0, 1.0]], distances=[[1.0, 3.0]])
    best = optimise(script, Brightness(), _clean(), budget=0.01, steps=0)
    assert best.distance.tolist() == [1, 3]
    assert 0.009 < best.dssim[0] <= 0.01
    assert 1 < (best.faces[0] - _clean()[0]).max() < 90
    assert torch.equal(best.faces[1], _clean()[1] + 1)


def test_one_forward_pass_a_step_and_one_for_the_last_iterate() -> None:
    network = Brightness()
    script = Script(_clean(), [[0.0, 0.0]] * 8, [[1.0, 1.0]] * 8)
    optimise(script, network, _clean(), budget=1, steps=7)
    assert network.passes == 8
    assert script.shown == 7
