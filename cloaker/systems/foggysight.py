"""FoggySight (Evtimov et al. 2021): other people's photos cloaked towards the person to protect.

Enough decoys near the person's embedding push the person's own photos down the list that a lookup
returns. The candidates are the people to protect; a face aims at the mean of one's embeddings.

True to the release: cosine loss, its sum over all networks, Adam, a bound on every pixel's change,
a small penalty on the change's length, and what the networks see at each step: the face brighter or
darker, noisy, cut back to within the bound, and then a random crop of it, enlarged.

The release computes in prewhitened units: levels less their mean, over their standard deviation in
the crop. So `epsilon`, `start`, `noise`, `brightness` and Adam's steps are times the standard
deviation of the clean face's levels in the first network's crop, in 0..255 (40 to 70 levels in most
photos, that is an `epsilon` of 0.5 = 20 to 35 levels).

Different on purpose:

- The random transformations are drawn for each face, not once for a batch.
- The variable itself is kept within the bound. As released only what is seen is: pixels beyond the
  bound have no gradient, and only the noise and the penalty bring them back.
- The release crops before it cuts back, which puts the crop's own displacement out of bounds.
- The penalty is that of one face beside its own loss; as released it grows with the batch.
- The result is the best iterate as it was seen, not the last one.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from cloaker import targets
from cloaker.attack import Goal, Person, System
from cloaker.levels import Parameters
from cloaker.scene import Scene, View


class FoggySight(System):
    """Towards one goal a face, G = 1: the mean of a person's raw embeddings, for each network."""

    needs_candidates: ClassVar[bool] = True

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        device = scene.clean.device
        self._random = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._clean = [view.crops(scene.clean) for view in scene.views]
        self._unit = self._clean[0].std(dim=(1, 2, 3), correction=0)[:, None, None, None]
        self._epsilon = float(parameters["epsilon"])
        self._variable = torch.zeros_like(scene.clean)
        for part, random in zip(scene.parts(self._variable), self._random, strict=True):
            # Drawn whole: what `normal_` draws depends on how a batch is padded.
            drawn = torch.randn(part.shape, generator=random, device=device)
            part.copy_(float(parameters["start"]) * drawn)
        self._variable.clamp_(-self._epsilon, self._epsilon).requires_grad_()
        self._optimiser = torch.optim.Adam(
            [self._variable], lr=float(parameters["learning_rate"]), fused=True
        )

    @classmethod
    def goals(cls, person: Person, parameters: Parameters) -> list[Goal]:
        """Return whom each face protects: all of them one person, or each face its own."""
        del parameters
        goals = []
        for seed in person.seeds:
            name = targets.drawn(person.candidates, person.seed if person.together else seed)
            means = [faces.mean(dim=0, keepdim=True) for faces in person.candidates[name]]
            goals.append(Goal(name, tuple(means)))
        return goals

    def pictures(self) -> Tensor:
        """Return the clean faces with the masked change."""
        change = self.scene.mask * self._unit * self._variable
        return (self.scene.clean + change).clamp(0, 255)

    def judge(self, pictures: Tensor) -> Tensor:
        """Return the sum of the networks' cosine distances to the goals."""
        total = pictures.new_zeros(len(pictures))
        for view, clean in zip(self.scene.views, self._clean, strict=True):
            seen = view.network(self.transformed(view, pictures, clean))
            total = total + 1 - nn.functional.cosine_similarity(seen, view.goals[:, 0], dim=1)
        return total

    def transformed(self, view: View, pictures: Tensor, clean: Tensor) -> Tensor:
        """Return a network's crops of N pictures, randomly transformed; `clean` are the clean ones.

        What is drawn depends on each face's seed and on how often it was drawn before.
        """
        parameters, bound = self.parameters, self._epsilon * self._unit
        noise = torch.stack(
            [
                torch.randn(clean.shape[1:], generator=each, device=each.device)
                for each in self._random
            ]
        )
        drawn = [2 * torch.rand(3, generator=each, device=each.device) - 1 for each in self._random]
        lift, right, down = torch.stack(drawn).to(clean).unbind(dim=1)
        lift = lift[:, None, None, None] * float(parameters["brightness"])
        change = view.crops(pictures) - clean
        change = change + self._unit * (noise * float(parameters["noise"]) + lift)
        seen = clean + change.clamp(-bound, bound)
        return _enlarged(seen, float(parameters["jitter"]), right, down)

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Take one step of Adam down the distance and the penalty, and go back into the bound."""
        del visibility
        (gradient,) = torch.autograd.grad(judged.sum(), self._variable)
        with torch.no_grad():
            self._variable.grad = gradient + float(self.parameters["penalty"]) * self._variable
            self._optimiser.step()
            self._variable.clamp_(-self._epsilon, self._epsilon)


def _enlarged(crops: Tensor, share: float, right: Tensor, down: Tensor) -> Tensor:
    """Return crops without a share of their sides, enlarged again, N x 3 x height x width.

    `right` and `down`, N in -1..1, say from which side how much of it is missing.
    """
    size, zero = torch.full_like(right, 1 - share), torch.zeros_like(right)
    rows = [torch.stack([size, zero, share * right]), torch.stack([zero, size, share * down])]
    places = torch.stack(rows).permute(2, 0, 1)
    points = nn.functional.affine_grid(places, list(crops.shape), align_corners=False)
    return nn.functional.grid_sample(crops, points, mode="bilinear", align_corners=False)
