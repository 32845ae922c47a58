"""Ulixes (Cilloni et al., PoPETs 2022): away from the own photo, by the triplet loss turned round.

No code was published; this is built from the paper. A face a and its clean photo p move apart until
a is by a margin m farther from p than from another face n: L = max(d(a, n) - d(a, p) + m, 0) with
d the distance of unit embeddings. A step moves the pixel with the largest gradient by 0.01, where
pixels are in -1..1, the others in proportion. A face is finished when L = 0, when d(a, p) changes
by less than `tolerance` in a step, or when the next step would leave the budget of DSSIM: the last
iterate within it is the result. The paper tells no budget, so it is ours.

Where the paper is silent or at odds with itself:

- Equation 5 adds the gradient of L, which would raise it: here it is subtracted.
- Method 5 as written (`5-literal`: n is the photo itself plus 1e-5) moves nothing: n and p are one
  point to the network, both pulls cancel, and the stop rule fires after some steps. What the paper
  says that it does, and reports, is to push away from p alone. That is `5-ascent`: L = max(m -
  d(a, p), 0), begun with noise below half a grey level, for at p itself there is no direction. The
  same is done by method 4 for a face that has no other beyond the margin.
- Ensemble 3 takes the mean of the networks' losses and distances, and goes on while any has a loss.
- Ensembles 1 and 2 don't bound the sum of masks that are each within the budget: here the finished
  combination is shrunk into it.

There is no wobble of the alignment unless it is set: it changes d(a, p) too, and where that happens
to be little the stop rule would fire, long before the margin.

Always different: the change lives in the photo's pixels (`cloaker.region`), and fades to nothing
towards the border of the aligned crop that the network sees.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from audit.errors import UserError
from cloaker import device
from cloaker.attack import Goal, Person, System
from cloaker.levels import Parameters
from cloaker.scene import Scene, View
from cloaker.systems.seeded_noise import noise

_LEVELS = 127.5
"""Grey levels of 0..255 in one unit of -1..1."""
_NUDGE = 1e-5
"""How much brighter the negative of method 5 is, as written; in -1..1."""
_START = 1e-3
"""Where there is no negative: the largest noise to begin with, in -1..1."""
_TINY = 1e-12
_FARTHEST_APART = 2.0
_RANDOM = 5


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance of embeddings, ... x D, that has a gradient even where they are equal."""
    return ((a - b).square().sum(dim=-1) + _TINY).sqrt()


class Ulixes(System):
    """Away from the own embedding, and towards G goals a face, one after the other.

    A goal of zeros is nobody, and doesn't pull. A mask is made for each of T views of
    the faces: with ensembles 1 and 2 one for each network, otherwise one for all of them together.
    `rows` has the masks, `change`, N x T x 3 x height x width in grey levels; which goal each is
    at, `triplet`; the distance to the own embedding at the last iterate, `away`; and which masks
    are still `open`, N x T each. `shown` says whose result has been judged, and `dssim` is that of
    the first mask, N each.
    """

    needs_candidates: ClassVar[bool] = True

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        combine = ENSEMBLES[_known("ensemble", parameters, ENSEMBLES)]
        joint = combine is _only or len(scene.views) == 1
        self._combine = _only if joint else combine
        self._groups = [scene.views] if joint else [(view,) for view in scene.views]
        if parameters["method"] == "5-literal":
            _nudge(scene)
        change = torch.stack([_start(scene, group, seeds) for group in self._groups], dim=1)
        change = _in_range(change, scene.clean[:, None])
        blank = change.new_zeros(change.shape[:2])
        self.rows = {
            "change": change,
            "triplet": blank.long(),
            "away": blank + torch.inf,
            "open": blank == 0,
            "shown": blank[:, 0] > 0,
            "dssim": scene.visibility(self._masked(change[:, 0])),
        }

    @classmethod
    def goals(cls, person: Person, parameters: Parameters) -> list[Goal]:
        """Return each face's negatives, chosen among all other faces, the person's own included."""
        choose = METHODS[_known("method", parameters, METHODS)]
        margin = float(parameters["margin"])
        return [_goal(person, face, choose, margin) for face in range(len(person.own[0]))]

    def pictures(self) -> Tensor:
        """Return the faces with their masks; finished ones that are combined, within the budget."""
        self._variable = self.rows["change"].detach().requires_grad_()
        combined = self._masked(self._combined())
        finished = ~self.rows["open"].any(dim=1)
        if len(self._groups) == 1 or (device.answers_at_once(finished) and not finished.any()):
            return combined
        fitting = self.within(combined, float(self.parameters["budget"]))
        return torch.where(finished[:, None, None, None], fitting, combined)

    def judge(self, pictures: Tensor) -> Tensor:
        """Return the loss of the goal at work, plus the largest that there is for each to come."""
        alone = len(self._groups) == 1
        seen = [pictures] if alone else self._masked(self._variable).unbind(dim=1)
        looked = [self._looked(*pair) for pair in zip(self._groups, seen, strict=True)]
        losses, self._away = (torch.stack(one, dim=1) for one in zip(*looked, strict=True))
        stalled = (self._away - self.rows["away"]).abs() < float(self.parameters["tolerance"])
        goals = losses.shape[-1]
        self._triplet = _next(losses, self.rows["triplet"] + stalled)
        self._open = self.rows["open"] & (self._triplet < goals)
        loss = losses.gather(2, self._triplet.clamp(max=goals - 1)[..., None])[..., 0]
        ahead = (goals - 1 - self._triplet) * (_FARTHEST_APART + float(self.parameters["margin"]))
        return torch.where(self._open, loss + ahead, 0).sum(dim=1)

    @torch.no_grad()
    def visibility(self, pictures: Tensor) -> Tensor:
        """Return the iterate's DSSIM: that of a mask alone was measured when it took its step."""
        return self.rows["dssim"] if len(self._groups) == 1 else self.scene.visibility(pictures)

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Take a step down each open mask's loss; one that would leave the budget is finished."""
        del visibility  # of the combination; the budget is for each mask
        (gradient,) = torch.autograd.grad(judged.sum(), self._variable)
        before, clean = self.rows["change"], self.scene.clean[:, None]
        length = float(self.parameters["learning_rate"]) * _LEVELS
        moved = torch.addcmul(before, gradient, _scale(gradient), value=-length)
        moved = _in_range(moved, clean)
        dssim = self._visibility(moved)
        within = dssim <= float(self.parameters["budget"])
        closed = ~self.rows["open"].any(dim=1)
        still = self._open & within
        self.rows = {
            "change": torch.where(within[..., None, None, None], moved, before),
            "triplet": self._triplet,
            "away": self._away.detach(),
            "open": still,
            "shown": ~still.any(dim=1) if len(self._groups) == 1 else closed,
            "dssim": torch.where(within[:, 0], dssim[:, 0], self.rows["dssim"]),
        }

    def finished(self) -> Tensor:
        """Return which faces' masks are all finished, and judged together."""
        return self.rows["shown"]

    def _combined(self) -> Tensor:
        """Return the masks as one; that of a single mask is in range, a sum need not be."""
        change = self._combine(self._variable)
        return change if len(self._groups) == 1 else _in_range(change, self.scene.clean)

    def _masked(self, change: Tensor) -> Tensor:
        """Return the faces with a change, N x 3 x height x width or N x T x 3 x height x width."""
        clean, mask = self.scene.clean, self.scene.mask
        if change.ndim > clean.ndim:
            clean, mask = clean[:, None], mask[:, None]
        return torch.addcmul(clean, mask, change)

    def _looked(self, views: Sequence[View], pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return each goal's loss, N x G, and the distance to the own embedding, N: the means."""
        losses, away = [], []
        for view in views:
            embeddings, own = normalize(view.embed(pictures)), normalize(view.own)
            goals = normalize(view.goals, dim=-1)
            away.append(distance(embeddings, own))
            towards = _pulls(view) * distance(embeddings[:, None], goals)
            losses.append((towards - away[-1][:, None] + float(self.parameters["margin"])).relu())
        return torch.stack(losses).mean(dim=0), torch.stack(away).mean(dim=0)

    @torch.no_grad()
    def _visibility(self, change: Tensor) -> Tensor:
        faces = self._masked(change).unbind(dim=1)
        return torch.stack([self.scene.visibility(face) for face in faces], dim=1)


def _in_range(change: Tensor, clean: Tensor) -> Tensor:
    return change.clamp(-clean, 255 - clean)


def _pulls(view: View) -> Tensor:
    """Return which goals are somebody, N x G."""
    return view.goals.any(dim=-1)


def _next(losses: Tensor, first: Tensor) -> Tensor:
    """Return the first goal, from `first` on, that has a loss, N x T; G where there is none."""
    goals = losses.shape[-1]
    wanted = (torch.arange(goals, device=losses.device) >= first[..., None]) & (losses > 0)
    return torch.where(wanted.any(dim=-1), wanted.int().argmax(dim=-1), goals)


def _scale(gradient: Tensor) -> Tensor:
    """Return what makes gradients, ... x 3 x height x width, as large as 1, or 0 where all are."""
    largest = torch.linalg.vector_norm(gradient, torch.inf, dim=(-3, -2, -1), keepdim=True)
    return torch.where(largest > 0, 1 / largest, 0)


@torch.no_grad()
def _nudge(scene: Scene) -> None:
    """Take the faces themselves for the networks' goals, a little brighter (method 5 as written)."""
    for view in scene.views:
        view.own = view.embed(scene.clean)
        view.goals = view.embed(scene.clean + _NUDGE * _LEVELS)[:, None]


def _start(scene: Scene, views: Sequence[View], seeds: Sequence[int]) -> Tensor:
    """Return noise for faces that nothing pulls, from their own seeds, and nothing for others."""
    start = _START * _LEVELS * noise(scene, seeds)
    pulled = torch.stack([_pulls(view).any(dim=1) for view in views]).any(dim=0)
    return torch.where(pulled[:, None, None, None], 0, start)


def _only(changes: Tensor) -> Tensor:
    return changes[:, 0]


def _sum(changes: Tensor) -> Tensor:
    return changes.sum(dim=1)


def _largest(changes: Tensor) -> Tensor:
    return changes.gather(1, changes.abs().argmax(dim=1, keepdim=True))[:, 0]


ENSEMBLES: Mapping[str, Callable[[Tensor], Tensor]] = {"1": _sum, "2": _largest, "3": _only}
"""How masks, N x T x 3 x height x width, become one (section 6.1); the third has only one."""

Choose = Callable[[Tensor, float, random.Random], list[int]]


def _farthest(gaps: Tensor, _margin: float, _random: random.Random) -> list[int]:
    return [int(_some(gaps).argmax())]


def _drawn(gaps: Tensor, _margin: float, random_: random.Random) -> list[int]:
    return random_.sample(range(len(_some(gaps))), min(_RANDOM, len(gaps)))


def _farthest_and_drawn(gaps: Tensor, margin: float, random_: random.Random) -> list[int]:
    return _farthest(gaps, margin, random_) + _drawn(gaps, margin, random_)


def _nearest_beyond(gaps: Tensor, margin: float, _random: random.Random) -> list[int]:
    beyond = torch.where(gaps > margin, gaps, torch.inf)
    return [int(beyond.argmin())] if bool((gaps > margin).any()) else []


def _nobody(_gaps: Tensor, _margin: float, _random: random.Random) -> list[int]:
    return []


def _some(gaps: Tensor) -> Tensor:
    if not len(gaps):
        raise UserError(
            "no other face to take for a negative",
            expected="photos with a face of other people, or more photos of the person",
            remedy="add people to the photo folder, or set method=5-ascent, which needs nobody",
        )
    return gaps


METHODS: Mapping[str, Choose] = {
    "1": _farthest,
    "2": _drawn,
    "3": _farthest_and_drawn,
    "4": _nearest_beyond,
    "5-literal": _nobody,
    "5-ascent": _nobody,
}
"""Which other faces are a face's negatives, given the distances to them (section 4)."""


def _goal(person: Person, face: int, choose: Choose, margin: float) -> Goal:
    """Return a face's negatives for each network, zeros if none is chosen."""
    names = sorted(person.candidates)
    others = [i for i in range(len(person.own[0])) if i != face]
    whose = [""] * len(others) + [n for n in names for _ in person.candidates[n][0]]
    targets, vectors = "", []
    for number, own in enumerate(person.own):
        pool = torch.cat([own[others], *(person.candidates[name][number] for name in names)])
        gaps = distance(normalize(pool), normalize(own[face], dim=0))
        chosen = choose(gaps, margin, random.Random(person.seeds[face]))
        vectors.append(pool[chosen] if chosen else torch.zeros_like(own[face, None]))
        targets = targets or ", ".join(sorted({whose[i] for i in chosen} - {""}))
    return Goal(targets, tuple(vectors))


def _known(name: str, parameters: Parameters, names: Collection[str]) -> str:
    value = str(parameters[name])
    if value not in names:
        raise UserError(
            f"unknown {name} {value!r} of ulixes",
            expected=f"one of {', '.join(names)}",
            remedy=f"set {name}= one of these",
        )
    return value
