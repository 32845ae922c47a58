"""Fawkes 0.3 (Shan et al. 2020; release 0.3.1): towards another person, within a budget of DSSIM.

True to the release: tanh space, Adadelta with TensorFlow 1's constants, raw embeddings, the
squared penalty, the aim "own embedding + 2 x (target's mean - own mean)", and a target person drawn
among the farthest. Different on purpose, unless `legacy` is set:

- The means are taken once over all of a person's photos, not over whatever is in the batch.
- The best iterate must be within the budget; the release does not check.
- The penalty's gradient is never longer than twice the distance's. As released, the first excess
  over the budget gives a gradient five orders longer, Adadelta remembers it, and the cloak stands
  still at half its budget for hundreds of steps.

Different on purpose, unless `wobble_px` is 0: the network sees every step through a slightly
different alignment. A tracker finds its own landmarks, about a pixel off (the cloak itself moves
them), and a cloak made for one exact alignment loses a third of its effect there.

Always different: the change lives in the photo's pixels (`cloaker.region`), and fades to nothing
towards the border of the aligned crop that the network sees: what is optimised is what is saved.
"""

import math
import random
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from cloaker import device, targets
from cloaker.adadelta import Adadelta
from cloaker.attack import Goal, Person, System
from cloaker.levels import Parameters
from cloaker.scene import Scene
from cloaker.systems.tanh_space import TanhSpace

_START = 1e-6
_EPSILON = 1e-8
_DECAY = 0.8
_PENALTY_LENGTH_MAX = 2.0


def aim(own: Tensor, own_mean: Tensor, target_mean: Tensor) -> Tensor:
    """Return where to push embeddings N x D, given both people's means (D or N x D)."""
    return own + 2 * (target_mean - own_mean)


def bounded(inwards: Tensor, ahead: Tensor) -> Tensor:
    """Return the penalty's gradients, N x 3 x height x width, none longer than twice `ahead`."""
    allowed = _PENALTY_LENGTH_MAX * _lengths(ahead)
    return inwards * (allowed / _lengths(inwards).clamp(min=1e-30)).clamp(max=1)


def downhill(judged: Tensor, penalty: Tensor, variable: Tensor, *, legacy: bool) -> Tensor:
    """Return the gradient of the distance and of the penalty, N each; the latter's is bounded."""
    over = not device.answers_at_once(penalty) or bool(penalty.any())
    (ahead,) = torch.autograd.grad(judged.sum(), variable, retain_graph=over)
    if not over:
        return ahead
    (inwards,) = torch.autograd.grad(penalty.sum(), variable)
    return ahead + (inwards if legacy else bounded(inwards, ahead))


class Fawkes03(System):
    """Towards one goal a face, G = 1: the aim in the space of each network's raw embeddings."""

    needs_candidates: ClassVar[bool] = True

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._space = TanhSpace(scene.clean, scene.mask)
        self._variable = torch.full_like(scene.clean, _START).requires_grad_()
        self._optimiser = Adadelta(self._variable, epsilon=_EPSILON)
        self.learning_rate = float(parameters["learning_rate"])
        self._decay_every = max(1, int(parameters["steps"]) // 3)
        self._steps = 0

    @classmethod
    def goals(cls, person: Person, parameters: Parameters) -> list[Goal]:
        """Return the aims; as released each face has one photo of the target for itself."""
        among, legacy = int(parameters["target_among"]), bool(parameters["legacy"])
        first = {name: faces[0] for name, faces in person.candidates.items()}
        goals = []
        for i, seed in enumerate(person.seeds):
            own = person.own[0] if person.together else person.own[0][i, None]
            target = targets.choose(own, first, among, person.seed if person.together else seed)
            shown = person.candidates[target]
            goals.append(Goal(target, _aims(person, i, shown, legacy=legacy)))
        return goals

    @classmethod
    def limit(cls, parameters: Parameters) -> float:
        """Return the budget; as released there is none."""
        return math.inf if parameters["legacy"] else float(parameters["budget"])

    def pictures(self) -> Tensor:
        """Return the clean faces with the masked change."""
        return self._space.moved(self._variable)

    def judge(self, pictures: Tensor) -> Tensor:
        """Return the distance to the aim, relative to the aim's length, over all networks."""
        total = pictures.new_zeros(len(pictures))
        for view in self.scene.views:
            aims = view.goals[:, 0]
            gaps = torch.linalg.vector_norm(aims - view.embed(pictures), dim=1)
            total = total + gaps / torch.linalg.vector_norm(aims, dim=1)
        return total

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Take one step of Adadelta down the distance and the penalty."""
        excess = (visibility - float(self.parameters["budget"])).clamp(min=0)
        penalty = float(self.parameters["penalty"]) * excess.square()
        legacy = bool(self.parameters["legacy"])
        gradient = downhill(judged, penalty, self._variable, legacy=legacy)
        self._optimiser.update(self._variable, gradient, self.learning_rate)
        if self._steps and self._steps % self._decay_every == 0:
            self.learning_rate *= _DECAY
        self._steps += 1


def _aims(
    person: Person, face: int, shown: tuple[Tensor, ...], *, legacy: bool
) -> tuple[Tensor, ...]:
    """Return a face's aim for each network, given the target's embeddings for each."""
    photo = random.Random(person.seeds[face]).randrange(len(shown[0]))
    aims = []
    for own, target in zip(person.own, shown, strict=True):
        alone = legacy or not person.together
        own_mean = own[face] if alone else own.mean(dim=0)
        target_mean = target[photo] if legacy else target.mean(dim=0)
        aims.append(aim(own[face], own_mean, target_mean)[None])
    return tuple(aims)


def _lengths(gradient: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(gradient, dim=(1, 2, 3), keepdim=True)
    return lengths
