"""Fawkes as in its paper (Shan et al. 2020, section 4): towards a photo of another person.

True to the paper: tanh space, the distance between raw embeddings, a target person who is the
farthest of some that are drawn, for each photo a photo of that person, also drawn, and Adam with
its authors' other constants. The paper leaves open how several networks count together and which
iterate is the cloak: here the distances are added, and the nearest iterate within the budget is
kept.

Different on purpose, unless `legacy` is set:

- The learning rate is in levels of a mid-grey pixel. The paper does not say in which unit its 0.5
  is. In tanh units each of the first steps would change such a pixel by 60 levels; with a budget
  of DSSIM .007 nothing is left of the cloak then.
- The penalty's gradient is never longer than twice the distance's (as for Fawkes 0.3). A weight of
  1e10 makes Adam forget the distance for thousands of steps after the first excess.

At the paper's budget of .007 it depends on the network whether a person is still recognised there:
nobody is on some, in about half of the probes on another, on which a budget of .03 protects
everybody (docs/results.md).

Always different: the change lives in the photo's pixels (`cloaker.region`), and fades to nothing
towards the border of the aligned crop. The network sees every step through a slightly different
alignment, unless `wobble_px` is 0.
"""

import random
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from cloaker import targets
from cloaker.attack import Goal, Person, System
from cloaker.levels import Parameters
from cloaker.scene import Scene
from cloaker.systems.fawkes_03 import downhill
from cloaker.systems.tanh_space import TanhSpace

_LEVEL = 2 / 255  # in tanh units, at mid-grey


class FawkesPaper(System):
    """Towards one goal a face, G = 1: each network's raw embedding of a photo of the target."""

    needs_candidates: ClassVar[bool] = True

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._space = TanhSpace(scene.clean, scene.mask)
        self._variable = torch.zeros_like(scene.clean).requires_grad_()
        unit = 1 if parameters["legacy"] else _LEVEL
        rate = float(parameters["learning_rate"]) * unit
        self._optimiser = torch.optim.Adam([self._variable], lr=rate, fused=True)

    @classmethod
    def goals(cls, person: Person, parameters: Parameters) -> list[Goal]:
        """Return for each face a photo of the target person."""
        first = {name: faces[0] for name, faces in person.candidates.items()}
        among = int(parameters["target_among"])
        goals = []
        for i, seed in enumerate(person.seeds):
            own = person.own[0] if person.together else person.own[0][i, None]
            target = targets.farthest(own, first, among, person.seed if person.together else seed)
            shown = person.candidates[target]
            photo = random.Random(seed).randrange(len(shown[0]))
            goals.append(Goal(target, tuple(faces[photo, None] for faces in shown)))
        return goals

    def pictures(self) -> Tensor:
        """Return the clean faces with the masked change."""
        return self._space.moved(self._variable)

    def judge(self, pictures: Tensor) -> Tensor:
        """Return the distance to the target's photo, over all networks."""
        total = pictures.new_zeros(len(pictures))
        for view in self.scene.views:
            gaps = view.goals[:, 0] - view.embed(pictures)
            total = total + torch.linalg.vector_norm(gaps, dim=1)
        return total

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Take one step of Adam down the distance and the penalty."""
        excess = (visibility - float(self.parameters["budget"])).clamp(min=0)
        penalty = float(self.parameters["penalty"]) * excess
        legacy = bool(self.parameters["legacy"])
        self._variable.grad = downhill(judged, penalty, self._variable, legacy=legacy)
        self._optimiser.step()
