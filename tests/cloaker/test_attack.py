from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from cloaker import device
from cloaker.attack import Best, System, optimise
from cloaker.levels import COMMON
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from cloaker.region import FaceRegion
from cloaker.scene import Scene

SIDE = 112


class Brightness(EmbeddingNetwork):
    """Embeds a face as its mean level, and counts how often it is asked to."""

    def __init__(self) -> None:
        super().__init__("brightness", ARCFACE_112)
        self.passes = 0

    def forward(self, crops: Tensor) -> Tensor:
        self.passes += 1
        return crops.mean(dim=(1, 2, 3))[:, None]


class Script(System):
    """A system that shows given iterates: the clean faces plus a constant a step and face."""

    def __init__(
        self,
        scene: Scene,
        offsets: Sequence[Sequence[float]],
        judged: Sequence[Sequence[float]],
        done_after: Sequence[int] = (99, 99),
    ) -> None:
        super().__init__(scene, COMMON, [0, 0])
        self.rows = {
            "clean": scene.clean,
            "offsets": torch.tensor(offsets).T,
            "judged": torch.tensor(judged).T,
            "done_after": torch.tensor(done_after),
        }
        self.shown = 0

    def pictures(self) -> Tensor:
        return self.rows["clean"] + self.rows["offsets"][:, self.shown, None, None, None]

    def judge(self, pictures: Tensor) -> Tensor:
        (view,) = self.scene.views
        assert view.embed(pictures).shape == (len(pictures), 1)
        return self.rows["judged"][:, self.shown]

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        assert judged.shape == visibility.shape == (len(self.scene.clean),)
        self.shown += 1

    def finished(self) -> Tensor:
        return self.rows["done_after"] <= self.shown


def scene(network: EmbeddingNetwork | None = None) -> Scene:
    grey = torch.full((SIDE, SIDE, 3), 100, dtype=torch.uint8).numpy()
    faces = [
        FaceRegion(grey, ARCFACE_112.points, [ARCFACE_112], torch.device("cpu")) for _ in range(2)
    ]
    made = Scene(faces)
    made.look(network or Brightness(), [torch.ones(1)] * 2, [torch.ones(1, 1)] * 2)
    return made


def run(script: Script, steps: int, budget: float) -> Best:
    return optimise(script, steps=steps, budget=budget)


def test_each_face_keeps_its_own_nearest_iterate() -> None:
    offsets = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    best = run(Script(scene(), offsets, [[9.0, 9.0], [3.0, 5.0], [4.0, 2.0]]), 2, budget=1)
    assert best.judged.tolist() == [3, 2]
    assert (best.pictures - 100).amax(dim=(1, 2, 3)).tolist() == [1, 2]


def test_an_iterate_over_the_budget_is_never_kept() -> None:
    offsets = [[0.0, 0.0], [90.0, 1.0], [2.0, 2.0]]
    best = run(Script(scene(), offsets, [[9.0, 9.0], [0.0, 3.0], [5.0, 5.0]]), 2, budget=0.01)
    assert best.judged.tolist() == [5, 3]
    assert best.dssim.max() <= 0.01


def test_the_last_iterate_is_shrunk_into_the_budget() -> None:
    best = run(Script(scene(), [[90.0, 1.0]], [[1.0, 3.0]]), 0, budget=0.01)
    assert best.judged.tolist() == [1, 3]
    assert 0.009 < best.dssim[0] <= 0.01
    assert 1 < (best.pictures[0] - 100).max() < 90
    assert torch.equal(best.pictures[1], torch.full((3, SIDE, SIDE), 101.0))


def test_one_forward_pass_a_step_and_one_for_the_last_iterate() -> None:
    network = Brightness()
    script = Script(scene(network), [[0.0, 0.0]] * 8, [[1.0, 1.0]] * 8)
    run(script, 7, budget=1)
    assert network.passes == 8
    assert script.shown == 7


def test_a_finished_face_leaves_and_the_other_goes_on() -> None:
    offsets = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]
    script = Script(scene(), offsets, [[4.0, 4.0], [3.0, 3.0], [2.0, 2.0], [1.0, 1.0]], (2, 99))
    best = run(script, 3, budget=1)
    assert best.judged.tolist() == [3, 1]
    assert best.steps.tolist() == [2, 3]
    assert (best.pictures - 100).amax(dim=(1, 2, 3)).tolist() == [2, 4]
    assert len(script.scene.clean) == 1


def test_when_all_are_finished_nothing_more_is_computed() -> None:
    network = Brightness()
    script = Script(scene(network), [[1.0, 1.0]] * 9, [[1.0, 1.0]] * 9, (3, 2))
    best = run(script, 8, budget=1)
    assert best.steps.tolist() == [3, 2]
    assert network.passes == 3


def test_a_face_that_waits_to_leave_keeps_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "answers_at_once", lambda _: False)
    monkeypatch.setattr("cloaker.attack._STEPS_BETWEEN_LOOKS", 4)
    counts: list[int] = []
    offsets = [[float(i), float(i)] for i in range(8)]
    judged = [[9.0 - i, 9.0 - i] for i in range(8)]
    script = Script(scene(), offsets, judged, (2, 6))
    best = optimise(script, steps=7, budget=1, on_step=counts.append)
    assert best.steps.tolist() == [2, 6]
    assert best.judged.tolist() == [8, 4]
    assert (best.pictures - 100).amax(dim=(1, 2, 3)).tolist() == [1, 5]
    assert counts == [2, 2, 2, 2, 1, 1, 1]
