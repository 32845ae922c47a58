"""Face-Off's Carlini-Wagner attacks: the smallest change that has the margin, by Adam, in rounds.

`steps` are those of all `searches` rounds together. A round goes down `const` x loss + size of the
change, in tanh space; lengths are in shares of the pixels' range. Of the iterates with the margin
the smallest is best; without one, that which lacks the least.

- `cw-l2`: the size is the change's length. Each round begins anew, with the face's own next
  `const`: ten times the last until one round has the margin, then halfway between the largest that
  failed and the smallest that did not. (As released, the first failure jumps to 500, and all faces
  share the loss by which the best iterate is known.)
- `cw-linf`: the size is the sum of what pixels exceed tau by. With the margin and no excess a round
  ends at once, and tau becomes half of the largest change; otherwise, at its last step, `const`
  grows fourfold. Rounds go on where the last one ended. A face is finished when tau is under a
  level, or `const` above 67 times its first value.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from cloaker.attack import System
from cloaker.levels import Parameters
from cloaker.scene import Scene
from cloaker.systems.faceoff_margin import standing
from cloaker.systems.seeded_noise import noise
from cloaker.systems.tanh_space import TanhSpace

_START = 0.1
_CONST_GROWTH_L2 = 10.0
_CONST_GROWTH_LINF = 4.0
_CONST_RATIO_MAX_LINF = 20 / 0.3
_TAU_MIN = 1 / 256
_RATES = (0.9, 0.999)
_EPSILON = 1e-8


class CarliniWagner(System):
    """Rounds of Adam; what the size is and how rounds follow each other, the norm says."""

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._space = TanhSpace(scene.clean, scene.mask)
        self._round_steps = max(1, int(parameters["steps"]) // int(parameters["searches"]))
        start = noise(scene, seeds) * _START * float(parameters["random_start"])
        none = scene.clean.new_zeros(len(scene.clean))
        self.rows = {
            "start": start,
            "variable": start,
            "slope": torch.zeros_like(start),
            "power": torch.zeros_like(start),
            "taken": none,
            "const": none + float(parameters["initial_const"]),
        }

    def pictures(self) -> Tensor:
        """Return the clean faces with the masked change."""
        self._variable = self.rows["variable"].detach().requires_grad_()
        return self._space.moved(self._variable)

    def judge(self, pictures: Tensor) -> Tensor:
        """Return the change's size, in 0..1, where the margin is reached; else 1 + what it lacks."""
        self._standing = standing(self.scene, pictures, self.parameters)
        self._change = (pictures - self.scene.clean) / 255
        lack = self._standing.lack
        return torch.where(lack <= 0, self._size(self._change.detach()), 1 + lack)

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Take one step of Adam, and begin the next round of the faces whose round has ended."""
        del judged, visibility
        total = self.rows["const"] * self._standing.loss + self._penalty(self._change)
        (gradient,) = torch.autograd.grad(total.sum(), self._variable)
        self._adam(gradient)
        self._next_rounds(self.rows["taken"] >= self._round_steps)

    def leave(self, staying: Tensor) -> None:
        """Go on with some of the faces only, N booleans."""
        super().leave(staying)
        self._space = TanhSpace(self.scene.clean[staying], self.scene.mask[staying])

    def _adam(self, gradient: Tensor) -> None:
        rows, (first, second) = self.rows, _RATES
        taken = rows["taken"] + 1
        slope = rows["slope"].lerp(gradient, 1 - first)
        power = rows["power"].lerp(gradient.square(), 1 - second)
        rate = float(self.parameters["learning_rate"])
        sizes = rate * (1 - second**taken).sqrt() / (1 - first**taken)
        step = sizes[:, None, None, None] * slope / (power.sqrt() + _EPSILON)
        rows |= {"slope": slope, "power": power, "taken": taken}
        rows["variable"] = self._variable.detach() - step

    def _restart(self, ended: Tensor, at: Tensor) -> None:
        """Let the faces whose round has ended begin another one at a variable."""
        rows, wide = self.rows, ended[:, None, None, None]
        rows["variable"] = torch.where(wide, at, rows["variable"])
        rows["slope"] = torch.where(wide, 0, rows["slope"])
        rows["power"] = torch.where(wide, 0, rows["power"])
        rows["taken"] = torch.where(ended, 0, rows["taken"])

    def _size(self, change: Tensor) -> Tensor:
        """Return how large a change is, in 0..1."""
        raise NotImplementedError

    def _penalty(self, change: Tensor) -> Tensor:
        raise NotImplementedError

    def _next_rounds(self, over: Tensor) -> None:
        raise NotImplementedError


class CarliniWagnerL2(CarliniWagner):
    """The shortest change, by a search for each face's own constant."""

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        none = scene.clean.new_zeros(len(scene.clean))
        self.rows |= {"failed": none, "worked": none + math.inf, "reached": none > 0}
        self._rounds, self._taken = int(parameters["searches"]), 0

    def _size(self, change: Tensor) -> Tensor:
        return change.square().mean(dim=(1, 2, 3)).sqrt()

    def _penalty(self, change: Tensor) -> Tensor:
        length: Tensor = torch.linalg.vector_norm(change, dim=(1, 2, 3))
        return length

    def _next_rounds(self, over: Tensor) -> None:
        rows = self.rows
        rows["reached"] = rows["reached"] | (self._standing.lack <= 0)
        self._taken += 1
        last = self._taken >= self._rounds * self._round_steps
        if self._taken % self._round_steps or last:
            return
        const, reached = rows["const"], rows["reached"]
        rows["worked"] = torch.where(reached, const.minimum(rows["worked"]), rows["worked"])
        rows["failed"] = torch.where(reached, rows["failed"], const.maximum(rows["failed"]))
        halfway = (rows["failed"] + rows["worked"]) / 2
        rows["const"] = torch.where(halfway.isfinite(), halfway, _CONST_GROWTH_L2 * const)
        rows["reached"] = torch.zeros_like(reached)
        self._restart(over, rows["start"])


class CarliniWagnerLinf(CarliniWagner):
    """The change whose largest pixel is smallest, by a bound that shrinks."""

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self.rows["tau"] = scene.clean.new_ones(len(scene.clean))
        self.rows["rounds"] = self.rows["tau"] * int(parameters["searches"])

    def finished(self) -> Tensor:
        """Return which faces have no smaller bound to try, or can't keep theirs."""
        rows = self.rows
        const_max = _CONST_RATIO_MAX_LINF * float(self.parameters["initial_const"])
        spent = (rows["tau"] < _TAU_MIN) | (rows["const"] > const_max)
        return spent | (rows["rounds"] <= 0)

    def _size(self, change: Tensor) -> Tensor:
        return change.abs().amax(dim=(1, 2, 3))

    def _penalty(self, change: Tensor) -> Tensor:
        tau = self.rows["tau"][:, None, None, None]
        return (change.abs() - tau).clamp(min=0).sum(dim=(1, 2, 3))

    def _next_rounds(self, over: Tensor) -> None:
        rows, largest = self.rows, self._size(self._change.detach())
        worked = (self._standing.lack <= 0) & (largest <= rows["tau"])
        failed = over & ~worked
        rows["tau"] = torch.where(worked, largest.minimum(rows["tau"]) / 2, rows["tau"])
        rows["const"] = torch.where(failed, _CONST_GROWTH_LINF * rows["const"], rows["const"])
        rows["rounds"] = rows["rounds"] - (worked | failed).to(rows["rounds"].dtype)
        self._restart(worked | failed, rows["variable"])
