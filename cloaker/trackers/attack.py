"""Faces attacked in training: projected gradient descent (Madry et al. 2018, section 2.1)."""

from collections.abc import Callable

import torch
from torch import Tensor

from cloaker.trackers.recipe import Recipe


def attacked(
    crops: Tensor, loss: Callable[[Tensor], Tensor], recipe: Recipe, chance: torch.Generator
) -> Tensor:
    """Return crops (N x 3 x height x width, 0..255) changed so that their loss is high.

    From a random start, by signs of the gradient, each pixel no farther than `attack_reach_px`.
    `chance` draws on the CPU.
    """
    reach = float(recipe.parameters["attack_reach_px"])
    step = float(recipe.parameters["attack_step_px"])
    start = reach * (2 * torch.rand(crops.shape, generator=chance) - 1).to(crops.device)
    changed = (crops + start).clamp(0, 255)
    for _ in range(recipe.whole("attack_steps")):
        changed.requires_grad_()
        [gradient] = torch.autograd.grad(loss(changed), changed)
        with torch.no_grad():
            moved = changed + step * gradient.sign()
            changed = torch.clamp(moved, crops - reach, crops + reach).clamp(0, 255)
    return changed.detach()
