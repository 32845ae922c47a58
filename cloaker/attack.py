"""The frame that every cloaking system runs in: one forward pass a step, one result a face.

A system is one file in `cloaker.systems`: it holds its variable, judges its iterates and takes its
steps. The frame measures each iterate, keeps the best of each face, and lets faces that are
finished leave the batch. Nothing here or in a system may mix the faces of a batch: a face's cloak
must not depend on its batch mates. In float64 it does not. In float32 a network's last digits depend
on how many faces it is given, and steps by sign or thresholds (LowKey, Face-Off's PGD, the weights of
Fawkes 1.0, Ulixes' stop rules) can make a pixel or a step of it: so `cloaker.cloaking` always
divides a person's photos alike, and the same photos give the same bytes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from cloaker import device
from cloaker.levels import Parameters
from cloaker.scene import Scene

_HALVINGS = 8
_STEPS_BETWEEN_LOOKS = 8
"""How often faces that are finished leave the batch where to look makes the program wait."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Whom a face is cloaked towards (a name, "" for nobody), and vectors for it.

    `vectors` holds G x D raw embeddings for each network; what they are, the system says.
    """

    target: str
    vectors: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """A person's faces as each network sees them, and the people whom they can be cloaked towards.

    `own` holds the raw embeddings n x D of all faces, one tensor for each network; `candidates` the
    same for each other person's faces, by name. `together`: all faces are to share one target
    person. `seed` and, for each face, `seeds` are for what a system draws at random.
    """

    own: tuple[Tensor, ...]
    candidates: Mapping[str, tuple[Tensor, ...]]
    together: bool
    seed: int
    seeds: tuple[int, ...]


class System:
    """One cloaking algorithm at work on a batch of N faces.

    Tensors kept in `rows` have N as their first dimension: faces that are finished leave them.
    `late` names the parameters that `laid` alone reads: cloaks that differ in nothing else are
    optimised once.
    """

    needs_candidates: ClassVar[bool] = False
    late: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        """Begin with a scene's clean faces; `seeds` has a number for each, for random starts."""
        del seeds
        self.scene = scene
        self.parameters = parameters
        self.rows: dict[str, Tensor] = {}

    @classmethod
    def goals(cls, person: Person, parameters: Parameters) -> list[Goal]:
        """Return each face's goal; a system that aims at nobody has none to tell."""
        del parameters
        return [
            Goal("", tuple(own[i, None] for own in person.own)) for i in range(len(person.own[0]))
        ]

    def pictures(self) -> Tensor:
        """Return the iterate: N x 3 x height x width in 0..255, differentiable."""
        raise NotImplementedError

    def judge(self, pictures: Tensor) -> Tensor:
        """Return how far each iterate is from its aim, N; the best iterate has the smallest."""
        raise NotImplementedError

    def visibility(self, pictures: Tensor) -> Tensor:
        """Return the iterate's DSSIM, N."""
        return self.scene.visibility(pictures)

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Move the variable once, given what the iterate was judged and its DSSIM, N each."""
        raise NotImplementedError

    def finished(self) -> Tensor | None:
        """Return which faces need no further step, N booleans; None = none of them ever."""
        return None

    def leave(self, staying: Tensor) -> None:
        """Go on with some of the faces only, N booleans."""
        self.rows = {name: rows[staying] for name, rows in self.rows.items()}

    @classmethod
    def limit(cls, parameters: Parameters) -> float:
        """Return the largest DSSIM that a best iterate may have."""
        return float(parameters["budget"])

    def within(self, pictures: Tensor, budget: float) -> Tensor:
        """Return pictures that are within the budget of DSSIM: shrunk towards the clean faces."""
        return shrunk(pictures, self.scene, budget)

    @classmethod
    def laid(cls, change: Tensor, clean: Tensor, parameters: Parameters) -> Tensor:
        """Return what to add to one face's clean region for its change, 3 x height x width."""
        del clean, parameters
        return change


@dataclass(slots=True)
class Best:
    """For each face the iterate nearest to its aim among those within the budget of DSSIM."""

    pictures: Tensor
    judged: Tensor
    dssim: Tensor
    steps: Tensor

    @torch.no_grad()
    def keep(self, going: Tensor, seen: "Best", budget: float) -> None:
        """Take over the iterates that are nearer and fit, of faces that aren't finished (N)."""
        better = going & (seen.dssim <= budget) & (seen.judged < self.judged)
        self.pictures = torch.where(better[:, None, None, None], seen.pictures, self.pictures)
        self.judged = torch.where(better, seen.judged, self.judged)
        self.dssim = torch.where(better, seen.dssim, self.dssim)

    def of(self, faces: Tensor) -> "Best":
        """Return some faces' part, by N booleans or by their numbers."""
        return Best(*(rows[faces] for rows in self._fields()))

    def joined(self, other: "Best") -> "Best":
        """Return both, one after the other."""
        return Best(*map(torch.cat, zip(self._fields(), other._fields(), strict=True)))

    def _fields(self) -> tuple[Tensor, ...]:
        return self.pictures, self.judged, self.dssim, self.steps


def optimise(
    system: System,
    *,
    steps: int,
    budget: float = math.inf,
    on_step: Callable[[int], None] = lambda _: None,
) -> Best:
    """Run a system and return each face's best iterate.

    Each iterate is measured in the forward pass that also gives its gradient, the last one in a
    pass of its own. The last one is first shrunk into the budget, so that every face has one: with
    few large steps all others can be over it. A finished face's best iterate stays as it is, and
    at the next look the face leaves the batch. `on_step` hears of each step how many faces took it.
    """
    run = _Run(system, budget)
    for number in range(steps):
        on_step(run.step(number))
        if device.answers_at_once(run.going) or (number + 1) % _STEPS_BETWEEN_LOOKS == 0:
            run.let_finished_leave()
        if not len(run.going):
            break
    else:
        run.end(steps)
    return run.result()


class _Run:
    """A system at work: the best iterates of the faces at work, and of those that have left.

    `going` says which of the faces at work are not finished, N booleans.
    """

    def __init__(self, system: System, budget: float) -> None:
        clean = system.scene.clean
        nowhere = clean.new_full((len(clean),), torch.inf)
        self._system, self._budget = system, budget
        self._faces = torch.arange(len(clean), device=clean.device)
        self._best = Best(clean, nowhere, torch.zeros_like(nowhere), torch.zeros_like(self._faces))
        self._left: list[tuple[Tensor, Best]] = []
        self.going = nowhere > 0
        # A system may heed a budget that its best iterate need not keep.
        heeded = min(budget, float(system.parameters["budget"]))
        self._budgeted = math.isfinite(heeded)

    def step(self, number: int) -> int:
        """Measure the iterate and take a step; return how many faces took it."""
        system, going = self._system, self.going
        system.scene.at_step(number)
        pictures = system.pictures()
        visibility = system.visibility if self._budgeted else _not_asked
        judged, dssim = system.judge(pictures), visibility(pictures)
        self._keep(pictures.detach(), judged.detach(), dssim.detach())
        system.step(judged, dssim)
        self._best.steps = self._best.steps + going
        finished = system.finished()
        if finished is not None:
            self.going = going & ~finished
        return len(going)

    @torch.no_grad()
    def end(self, number: int) -> None:
        """Measure the last iterate, shrunk into the budget."""
        system, scene = self._system, self._system.scene
        scene.at_step(number)
        pictures = system.within(system.pictures(), self._budget)
        dssim = scene.visibility(pictures) if self._budgeted else _not_asked(pictures)
        self._keep(pictures, system.judge(pictures), dssim)

    def let_finished_leave(self) -> None:
        """Go on with the faces that are not finished."""
        going = self.going
        if bool(going.all()):
            return
        self._left.append((self._faces[~going], self._best.of(~going)))
        self._faces, self._best, self.going = self._faces[going], self._best.of(going), going[going]
        self._system.leave(going)
        self._system.scene.leave(going)

    def result(self) -> Best:
        """Return every face's best iterate, in the order in which they were given."""
        faces, best = self._faces, self._best
        for numbers, left in self._left:
            faces, best = torch.cat([faces, numbers]), best.joined(left)
        return best.of(faces.argsort()) if self._left else best

    def _keep(self, pictures: Tensor, judged: Tensor, dssim: Tensor) -> None:
        self._best.keep(self.going, Best(pictures, judged, dssim, self._best.steps), self._budget)


def _not_asked(pictures: Tensor) -> Tensor:
    """Return no DSSIM at all: without a budget nobody asks for it."""
    return pictures.new_zeros(len(pictures))


@torch.no_grad()
def shrunk(pictures: Tensor, scene: Scene, budget: float) -> Tensor:
    """Return pictures moved towards the clean faces until their DSSIM is within the budget."""
    if math.isinf(budget):
        return pictures

    # By bisection a face, between the clean one (which always fits) and the given one.
    def at(factor: Tensor) -> Tensor:
        return scene.clean + factor[:, None, None, None] * (pictures - scene.clean)

    low, high = pictures.new_zeros(len(pictures)), pictures.new_ones(len(pictures))
    low = torch.where(scene.visibility(pictures) <= budget, high, low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = scene.visibility(at(middle)) <= budget
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return at(low)
