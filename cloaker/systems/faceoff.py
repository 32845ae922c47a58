"""Face-Off (Chandrasekaran et al. 2021; code of 2021): nearer to another person than to oneself.

True to the release: Carlini and Wagner's attack or projected gradient descent on the hinge or the
target loss, distances to the mean embedding of each person's photos, success when the margin is
kept, uniform noise to begin with, TensorFlow 1's constants of Adam, and at the end the change times
an amplification. `cw-l2` with 5 rounds of 20 steps, amplified by 5.1, is what it does unasked; the
paper's `small` and `large` are `steps=800 searches=8` and `steps=12000 searches=15`, its `cw-linf`
`steps=1000 searches=10`, all with `learning_rate=0.1`; its PGD has 20 or 200 steps.

Different on purpose, since the released code doesn't do what it is meant to:

- Each face has its own loss, best iterate and constant: released, a face's depend on the batch's.
- A face without its margin still gets the iterate that lacks the least; released, it gets nothing.
- The constant grows tenfold until it works; the release's jumps from .3 to 500.
- The means are taken once, and of embeddings of photos as the network wants them; the release sends
  nine photos of each person through the network in every step, some with red and blue swapped.
- PGD shows the network the photo itself; released, it shows it one squashed into half the range.

Another unit: the margin and the constant are for distances in shares of that between the means
(`cloaker.systems.faceoff_margin`). The release's margin of 6 and constant of .3 belong to raw
embeddings, of people about 14 apart: .4 and 4 of these shares.

Where the paper differs, the release is followed: the paper takes the mean of the distances to a
person's photos, and the hinge against the farthest of all other people. The target is drawn from
all candidates, as both try every pair. PGD's start is a noise as large as `epsilon`; it makes most
of what is seen of that cloak and protects no better than `random_start=0`.

Always different: the change lives in the photo's pixels (`cloaker.region`), and fades to nothing
towards the border of the aligned crop. The network sees every step through a slightly different
alignment, unless `wobble_px` is 0.
"""

import random
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from audit.errors import UserError
from cloaker import targets
from cloaker.attack import Goal, Person, System
from cloaker.levels import Parameters
from cloaker.scene import Scene
from cloaker.systems.faceoff_cw import CarliniWagnerL2, CarliniWagnerLinf
from cloaker.systems.faceoff_margin import seen
from cloaker.systems.faceoff_pgd import PgdL2, PgdLinf

_ATTACKS: Mapping[str, type[System]] = {
    "cw-l2": CarliniWagnerL2,
    "cw-linf": CarliniWagnerLinf,
    "pgd-l2": PgdL2,
    "pgd-linf": PgdLinf,
}
_CHOICES: Mapping[str, Sequence[str]] = {
    "attack": tuple(_ATTACKS),
    "loss": ("hinge", "target"),
    "kappa_unit": ("share", "raw"),
}


class FaceOff(System):
    """One of the attacks, towards two goals a face, G = 2: the target's mean and the person's."""

    needs_candidates: ClassVar[bool] = True
    late: ClassVar[frozenset[str]] = frozenset({"amplification"})

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._attack = _ATTACKS[str(parameters["attack"])](scene, parameters, seeds)

    @classmethod
    def goals(cls, person: Person, parameters: Parameters) -> list[Goal]:
        """Return the two means, towards a person drawn from all. Raises UserError for settings."""
        _check(parameters)
        first = {name: faces[0] for name, faces in person.candidates.items()}
        names = sorted(targets.ranked(person.own[0], first))
        sources = [seen(own, parameters).mean(dim=0) for own in person.own]
        goals = []
        for seed in person.seeds:
            target = random.Random(person.seed if person.together else seed).choice(names)
            shown = [seen(faces, parameters).mean(dim=0) for faces in person.candidates[target]]
            pairs = zip(shown, sources, strict=True)
            goals.append(Goal(target, tuple(torch.stack(pair) for pair in pairs)))
        return goals

    def pictures(self) -> Tensor:
        """Return the attack's iterate."""
        return self._attack.pictures()

    def judge(self, pictures: Tensor) -> Tensor:
        """Return how far each iterate is from what the attack wants."""
        return self._attack.judge(pictures)

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Take the attack's step."""
        self._attack.step(judged, visibility)

    def finished(self) -> Tensor | None:
        """Return which faces the attack is through with."""
        return self._attack.finished()

    def leave(self, staying: Tensor) -> None:
        """Go on with some of the faces only, N booleans."""
        self._attack.leave(staying)

    @classmethod
    def laid(cls, change: Tensor, clean: Tensor, parameters: Parameters) -> Tensor:
        """Return the change amplified."""
        del clean
        return float(parameters["amplification"]) * change


def _check(parameters: Parameters) -> None:
    for key, known in _CHOICES.items():
        if parameters[key] not in known:
            raise UserError(
                f"{key}={parameters[key]}",
                expected=f"one of {', '.join(known)}",
                remedy="set one of these",
            )
