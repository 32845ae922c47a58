"""The frame that every cloaking system runs in: one forward pass a step, one result a face.

A system is one file: it holds its variable, and writes its distance and its step. The frame
measures each iterate and keeps the best. Nothing here or in a system may mix the faces of a batch:
a face's cloak must not depend on its batch mates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cloaker.perceptual import Dssim

_HALVINGS = 8


class System(Protocol):
    """One cloaking algorithm at work on a batch of N aligned faces."""

    def faces(self) -> Tensor:
        """Return the iterate: float32 N x 3 x height x width in 0..255, differentiable."""
        ...

    def distance(self, embeddings: Tensor) -> Tensor:
        """Return how far each iterate is from its aim, N; the best iterate has the smallest."""
        ...

    def step(self, distance: Tensor, dssim: Tensor) -> None:
        """Move the variable once, given the iterate's distance and DSSIM, N each."""
        ...


@dataclass(slots=True)
class Best:
    """For each face the iterate nearest to its aim among those within the budget of DSSIM."""

    faces: Tensor
    distance: Tensor
    dssim: Tensor

    @torch.no_grad()
    def keep(self, faces: Tensor, distance: Tensor, dssim: Tensor, *, budget: float) -> None:
        """Take over those iterates of a step that are within the budget and nearer."""
        better = (dssim <= budget) & (distance < self.distance)
        self.faces = torch.where(better[:, None, None, None], faces, self.faces)
        self.distance = torch.where(better, distance, self.distance)
        self.dssim = torch.where(better, dssim, self.dssim)


def optimise(
    system: System,
    embed: Callable[[Tensor], Tensor],
    clean: Tensor,
    *,
    budget: float,
    steps: int,
    visibility: Callable[[Tensor], Tensor] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Best:
    """Run a system on clean faces, N x 3 x height x width in 0..255, and return the best iterates.

    `embed` returns the raw embeddings, N x D, of such faces, and `visibility` how visible their
    change is, N: the DSSIM from the clean faces unless given.

    Each iterate is measured in the forward pass that also gives its gradient, the last one in a
    pass of its own. The last one is first shrunk into the budget, so that every face has one: with
    few large steps all others can be over it. `on_step` hears of each step.
    """
    dssim_from_clean = visibility or Dssim(clean)
    nowhere = torch.full((len(clean),), torch.inf, device=clean.device)
    best = Best(clean, nowhere, torch.zeros_like(nowhere))
    for _ in range(steps):
        faces = system.faces()
        distance, dssim = system.distance(embed(faces)), dssim_from_clean(faces)
        best.keep(faces, distance, dssim, budget=budget)
        system.step(distance, dssim)
        on_step()
    with torch.no_grad():
        faces = _shrunk(system.faces(), clean, dssim_from_clean, budget)
        best.keep(faces, system.distance(embed(faces)), dssim_from_clean(faces), budget=budget)
    return best


def _shrunk(
    faces: Tensor, clean: Tensor, dssim_from_clean: Callable[[Tensor], Tensor], budget: float
) -> Tensor:
    # By bisection a face, between the clean one (which always fits) and the given one.
    def at(factor: Tensor) -> Tensor:
        return clean + factor[:, None, None, None] * (faces - clean)

    low, high = clean.new_zeros(len(clean)), clean.new_ones(len(clean))
    low = torch.where(dssim_from_clean(faces) <= budget, high, low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = dssim_from_clean(at(middle)) <= budget
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return at(low)
