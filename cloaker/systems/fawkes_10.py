"""Fawkes 1.0 (package 1.0.4, 2021): away from one's own embedding, within a budget of DSSIM.

True to the release: tanh space from a small random start, unit embeddings of one or two networks,
a change of at most 15 levels, Adadelta with Keras' constants and begun anew after a first step
that a step of fixed length follows, the squared penalty, and a weight of the distance that follows
each face's DSSIM. The best iterate is the farthest. It aims at nobody.

Different on purpose, unless `legacy` is set:

- The best iterate must be within the budget; the release allows a tenth more.
- The change is added to the photo as it is. The release first stretches the contrast of the clean
  and of the cloaked crop, each from its own darkest to its own brightest value, and adds the
  difference: the cloak's strength is wrong and its whole box has another colour.

Always different: the change lives in the photo's pixels (`cloaker.region`), and fades to nothing
towards the border of the aligned crop. What the release does when no iterate fits, a black face,
can't occur: the first iterate is a hundredth of a level from the clean face. It would also take
the last iterate, over the budget or not, if no other moved the embedding; here it never does.
The network sees every step through a slightly different alignment, unless `wobble_px` is 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cloaker.adadelta import Adadelta
from cloaker.attack import System
from cloaker.levels import Parameters
from cloaker.scene import Scene, embedded
from cloaker.systems.seeded_noise import noise
from cloaker.systems.tanh_space import TanhSpace

_START = 1e-4
_SIGN_STEP = 0.01
_EPSILON = 1e-7
_CHANGE_MAX = 15.0
_TOLERANCE = 0.1  # how far off the budget a DSSIM counts as at it; as released, as within it
_WEIGHT_MAX = 129


class Fawkes10(System):
    """Away from the clean embeddings, as unit vectors, of the first `networks_max` networks."""

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._space = TanhSpace(scene.clean, scene.mask)
        self._variable = (_START * noise(scene, seeds)).requires_grad_()
        self._optimiser = Adadelta(self._variable, epsilon=_EPSILON)
        self._views = scene.views[: int(parameters["networks_max"])]
        self.weights = scene.clean.new_ones(len(scene.clean))
        self._sides = torch.zeros_like(self.weights)
        self._first = True

    @classmethod
    def limit(cls, parameters: Parameters) -> float:
        """Return the budget; as released a tenth more."""
        return float(parameters["budget"]) * (1 + _TOLERANCE * bool(parameters["legacy"]))

    @classmethod
    def laid(cls, change: Tensor, clean: Tensor, parameters: Parameters) -> Tensor:
        """Return the change; as released, that of the stretched face."""
        return stretched(clean + change) - stretched(clean) if parameters["legacy"] else change

    def pictures(self) -> Tensor:
        """Return the clean faces with the masked change, of at most 15 levels."""
        change = self._space.change(self._variable)
        return self.scene.clean + change.clamp(-_CHANGE_MAX, _CHANGE_MAX)

    def judge(self, pictures: Tensor) -> Tensor:
        """Return minus the squared distance to the clean embedding, over the networks."""
        nearness = pictures.new_zeros(len(pictures))
        for view, seen in zip(self._views, embedded(self._views, pictures), strict=True):
            gaps = normalize(seen) - normalize(view.own)
            nearness = nearness - gaps.square().sum(dim=1)
        return nearness

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Take one step of Adadelta, and the first time one of fixed length; weigh anew."""
        budget = float(self.parameters["budget"])
        excess = (visibility - budget).clamp(min=0)
        losses = float(self.parameters["penalty"]) * excess.square() + self.weights * judged
        (gradient,) = torch.autograd.grad(losses.sum(), self._variable)
        self._optimiser.update(self._variable, gradient, float(self.parameters["learning_rate"]))
        if self._first:
            self._start_anew(gradient)
        shares = visibility.detach() / budget
        self.weights, self._sides = weighed(self.weights, self._sides, shares)

    def within(self, pictures: Tensor, budget: float) -> Tensor:
        """Return the last iterates, shrunk into the budget; as released, as they are."""
        return pictures if self.parameters["legacy"] else super().within(pictures, budget)

    @torch.no_grad()
    def _start_anew(self, gradient: Tensor) -> None:
        self._variable.sub_(gradient.sign(), alpha=_SIGN_STEP)
        self._optimiser = Adadelta(self._variable, epsilon=_EPSILON)
        self._first = False


def weighed(weights: Tensor, sides: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance's next weights, and on which side of the budget each face is, N each.

    `shares` are the DSSIMs in shares of the budget. Well inside the budget (side 1) a weight
    doubles at each step, well outside (side -1) it halves. Where it would pass its limit, when a
    face changes sides, and near the budget (side 0), it is 1.
    """
    inside = (shares <= 1 - _TOLERANCE) & (weights <= _WEIGHT_MAX)
    outside = (shares >= 1 + _TOLERANCE) & (weights >= 1 / _WEIGHT_MAX)
    now = inside.to(weights) - outside.to(weights)
    fresh = (now == 0) | (now == -sides)
    return torch.where(fresh, torch.ones_like(weights), weights * 2**now), now


def stretched(picture: Tensor) -> Tensor:
    """Return a picture with its darkest value at 0 and its brightest at 255."""
    darkest, brightest = picture.aminmax()
    return (picture - darkest) * (255 / (brightest - darkest).clamp(min=1))
