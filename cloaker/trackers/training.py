"""Training a tracker's network: softmax over people's cosines, stopped by people held out."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.func import functional_call

from audit.errors import UserError
from cloaker.networks.base import EmbeddingNetwork
from cloaker.trackers.attack import attacked
from cloaker.trackers.examples import Examples
from cloaker.trackers.recipe import Kind, Recipe

PEOPLE_MIN = 6
_HELD_OUT_MIN = 2
_EMBEDDED_AT_ONCE = 64

Weights = Mapping[str, Tensor]
OnEpoch = Callable[[int, "Scores"], None]


@dataclass(frozen=True, slots=True)
class Scores:
    """How a network does with the people held out: shares of clean probes that are identified.

    `clean` when their clean photos are enrolled, `changed` when those that the kind of tracker is
    meant for are: cloaked, or attacked. Between equal shares `lead` decides, by how much the cosine
    to the changed faces is above that to all other people's.
    """

    clean: float
    changed: float
    lead: float

    @property
    def rank(self) -> tuple[float, float]:
        """Return what is the better the higher."""
        return (self.changed + self.clean, self.lead)


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome: the network's new weights, and what they do. `best_epoch` 0 = as it was.

    `people` are all whose photos were seen, those `held_out` among them.
    """

    weights: Weights
    before: Scores
    after: Scores
    best_epoch: int
    epochs: int
    held_out: tuple[str, ...]
    people: tuple[str, ...]


def train(
    network: EmbeddingNetwork,
    clean: Examples,
    cloaked: Examples | None,
    recipe: Recipe,
    on_epoch: OnEpoch = lambda _epoch, _scores: None,
) -> Trained:
    """Train on people's faces, `cloaked` ones too for an adaptive tracker.

    The network itself stays as it is. Every draw comes from the recipe's seed. Raises UserError for
    too few people.
    """
    course = _Course(network, clean, cloaked, recipe)
    before = best = course.scores()
    weights, best_epoch, epoch = course.weights(), 0, 0
    on_epoch(0, before)
    for epoch in range(1, recipe.whole("epochs") + 1):
        course.epoch()
        scores = course.scores()
        on_epoch(epoch, scores)
        if scores.rank > best.rank:
            weights, best, best_epoch = course.weights(), scores, epoch
        elif epoch - best_epoch >= recipe.whole("patience"):
            break
    seen = tuple(clean.people[place] for place in sorted(set(clean.owners.tolist())))
    return Trained(weights, before, best, best_epoch, epoch, course.held_out, seen)


def to_bytes(weights: Weights) -> bytes:
    """Return weights as the content of a safetensors file."""
    return save(dict(weights))


def held_out_cosines(
    network: EmbeddingNetwork, trained: Trained, clean: Examples
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the trained network's cosines of clean pairs: of one person held out, of two people.

    Of two people at least one was held out.
    """
    embeddings = embed_with(network, trained.weights, clean.crops).numpy()
    asked = np.isin(np.array(clean.people)[clean.owners.numpy()], trained.held_out)
    cosines = embeddings[asked] @ embeddings.T
    rows, columns = np.flatnonzero(asked)[:, None], np.arange(len(asked))
    same = clean.owners.numpy()[rows] == clean.owners.numpy()[columns]
    return cosines[same & (rows < columns)], cosines[~same]


def embed_with(network: EmbeddingNetwork, weights: Weights, crops: Tensor) -> Tensor:
    """Return the unit embeddings (on the CPU) that a network has with other weights, of any crops."""
    names = network.weight_names()
    device = network.state_dict()[names[0]].device
    there = {name: weights[name].to(device) for name in names}
    with torch.no_grad():
        parts = [
            functional_call(network, there, (part.float().to(device),))
            for part in torch.split(crops, _EMBEDDED_AT_ONCE)
        ]
    return _unit(torch.cat(parts)).cpu()


def last_weights(network: EmbeddingNetwork, share: float) -> list[str]:
    """Return the names of the last weights in use that hold at least this share of all numbers."""
    state = network.state_dict()
    names = network.weight_names()
    enough = share * sum(state[name].numel() for name in names)
    chosen: list[str] = []
    count = 0
    for name in reversed(names):
        if count >= enough:
            break
        chosen.append(name)
        count += state[name].numel()
    return chosen[::-1]


class _Course:
    """A training: the weights as they are now, the head over the people, the order of photos."""

    def __init__(
        self,
        network: EmbeddingNetwork,
        clean: Examples,
        cloaked: Examples | None,
        recipe: Recipe,
    ) -> None:
        self._network, self._recipe = network, recipe
        self._chance = torch.Generator().manual_seed(recipe.seed)
        state = network.state_dict()
        names = last_weights(network, float(recipe.parameters["last_share"]))
        self._device = state[names[0]].device
        self._changing = {n: state[n].detach().clone().requires_grad_() for n in names}
        learners, held_out = _divided(clean, recipe, self._chance)
        self.held_out = tuple(clean.people[place] for place in held_out.tolist())
        self._places = learners
        self._clean = clean.of(learners)
        self._cloaked = cloaked.of(learners) if cloaked else None
        self._tests = _Tests(
            clean.of(held_out), cloaked.of(held_out) if cloaked else None, self._clean
        )
        self._centres = self._centroids().requires_grad_()
        self._optimiser = torch.optim.Adam(
            [*self._changing.values(), self._centres], lr=float(recipe.parameters["learning_rate"])
        )

    def weights(self) -> Weights:
        """Return a copy of all weights as they are now, on the CPU."""
        state = self._state()
        return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}

    def epoch(self) -> None:
        """Train on every example once."""
        for crops, owners in self._batches():
            labels = torch.searchsorted(self._places, owners).to(self._device)
            seen = crops
            if self._recipe.kind is Kind.ROBUST:
                worse = partial(self._loss, labels=labels)
                seen = attacked(crops, worse, self._recipe, self._chance)
            self._optimiser.zero_grad()
            torch.autograd.backward(self._loss(seen, labels))
            self._optimiser.step()

    def scores(self) -> Scores:
        """Ask about the people held out."""
        if self._recipe.kind is not Kind.ROBUST:
            return self._tests.scores(self._embed)
        return self._tests.scores(self._embed, self._attacked_tests())

    def _attacked_tests(self) -> Tensor:
        """Return the held-out people's enrolled faces, driven away from where they are."""
        chance = torch.Generator().manual_seed(self._recipe.seed)
        parts = []
        for part in torch.split(self._tests.enrolled.crops, self._recipe.whole("batch")):
            crops = part.float().to(self._device)
            away = partial(self._distance, start=self._embed(part).to(self._device))
            parts.append(attacked(crops, away, self._recipe, chance).cpu())
        return torch.cat(parts)

    def _distance(self, crops: Tensor, start: Tensor) -> Tensor:
        return -(_unit(self._forward(crops)) * start).sum()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield examples in a random order, each mirrored or not, as floats on the device."""
        parts = [self._clean, *([self._cloaked] if self._cloaked else [])]
        crops, owners = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("crops", "owners")
        )
        order = torch.randperm(len(owners), generator=self._chance)
        for chosen in torch.split(order, self._recipe.whole("batch")):
            batch = crops[chosen].float().to(self._device)
            mirrored = torch.rand(len(chosen), generator=self._chance) < 0.5
            batch[mirrored] = batch[mirrored].flip(-1)
            yield batch, owners[chosen]

    def _loss(self, crops: Tensor, labels: Tensor) -> Tensor:
        cosines = _unit(self._forward(crops)) @ _unit(self._centres).T
        true = nn.functional.one_hot(labels, len(self._centres))
        margin, scale = (float(self._recipe.parameters[key]) for key in ("margin", "scale"))
        loss: Tensor = nn.functional.cross_entropy(scale * (cosines - margin * true), labels)
        return loss

    def _forward(self, crops: Tensor) -> Tensor:
        embeddings: Tensor = functional_call(self._network, self._changing, (crops,))
        return embeddings

    def _embed(self, crops: Tensor) -> Tensor:
        """Return unit embeddings on the CPU of crops of any type."""
        return embed_with(self._network, self._state(), crops)

    def _state(self) -> Weights:
        return {**self._network.state_dict(), **self._changing}

    def _centroids(self) -> Tensor:
        """Return where the head begins: at the mean of each learner's clean embeddings."""
        embeddings = self._embed(self._clean.crops)
        means = [embeddings[self._clean.owners == p].mean(0) for p in self._places.tolist()]
        return torch.stack(means).to(self._device)


class _Tests:
    """The people held out: half of the clean faces of each are enrolled, half are asked about.

    Beside them all learners are enrolled.
    """

    def __init__(self, clean: Examples, cloaked: Examples | None, others: Examples) -> None:
        second = _second_halves(clean.owners)
        self.enrolled, self._probes = clean.kept(~second), clean.kept(second)
        self._others = others
        self._changed = self.enrolled
        if cloaked:
            sources = set(self.enrolled.sources)
            self._changed = cloaked.kept(torch.tensor([s in sources for s in cloaked.sources]))

    def scores(
        self, embed: Callable[[Tensor], Tensor], attacked_faces: Tensor | None = None
    ) -> Scores:
        """Return how many probes are nearest to a face of their person, she alone being changed.

        `attacked_faces` are the enrolled ones after an attack.
        """
        probes, owners = embed(self._probes.crops), self._probes.owners
        to_enrolled = probes @ embed(self.enrolled.crops).T
        mine = owners[:, None] == self.enrolled.owners
        strangers = (probes @ embed(self._others.crops).T).amax(1)
        other = torch.maximum(to_enrolled.masked_fill(mine, -math.inf).amax(1), strangers)
        own = to_enrolled.masked_fill(~mine, -math.inf).amax(1)
        changed = self._changed.crops if attacked_faces is None else attacked_faces
        hers = owners[:, None] == self._changed.owners
        own_changed = (probes @ embed(changed).T).masked_fill(~hers, -math.inf).amax(1)
        return Scores(
            clean=float((own > other).float().mean()),
            changed=float((own_changed > other).float().mean()),
            lead=float((own_changed - other).clamp(min=-2).mean()),
        )


def _second_halves(owners: Tensor) -> Tensor:
    """Return which examples are of the second half of their person's, the smaller one."""
    second = torch.zeros(len(owners), dtype=torch.bool)
    for owner in set(owners.tolist()):
        own = (owners == owner).nonzero().flatten()
        second[own[(len(own) + 1) // 2 :]] = True
    return second


def _divided(clean: Examples, recipe: Recipe, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the people who are learned from and those held out, who all have two faces or more."""
    usable = torch.bincount(clean.owners).gt(1).nonzero().flatten()
    if len(usable) < PEOPLE_MIN:
        raise UserError(
            f"{len(usable)} people have two photos with a face in them.",
            expected=f"{PEOPLE_MIN} people or more to train a tracker on",
            remedy="add photos of other people, who are in no test",
        )
    share = float(recipe.parameters["held_out"])
    count = min(max(_HELD_OUT_MIN, round(share * len(usable))), len(usable) - _HELD_OUT_MIN)
    shuffled = usable[torch.randperm(len(usable), generator=chance)]
    return shuffled[count:].sort().values, shuffled[:count].sort().values


def _unit(embeddings: Tensor) -> Tensor:
    unit: Tensor = nn.functional.normalize(embeddings, dim=1)
    return unit
