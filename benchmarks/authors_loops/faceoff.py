"""Face-Off's loop, from the released Carlini-Wagner attack with the loss `embeddingmean`."""

import torch
from torch import Tensor
from torch.optim import Adam

from authors_loops.common import Networks, to_pixels, to_tanh_space
from cloaker.levels import Parameters

_BUCKET = 9
"""Photos of each of the two people."""


def faceoff(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Send both people's nine photos through the network in each step."""
    targets, sources = (torch.rand(_BUCKET, *clean.shape[1:]) * 255 for _ in range(2))
    variable = (0.2 * torch.rand_like(clean) - 0.1).requires_grad_()
    optimiser = Adam([variable], lr=float(parameters["learning_rate"]))
    base = to_tanh_space(clean)
    const, kappa = float(parameters["initial_const"]), float(parameters["kappa"])
    best, least = clean, float("inf")
    for _ in range(steps):
        optimiser.zero_grad()
        cloaked = to_pixels(base + variable)
        own, target, source = (networks[0](x) for x in (cloaked, targets, sources))
        lead = (own - source.mean(dim=0)).norm() - (own - target.mean(dim=0)).norm()
        loss = const * (kappa - lead).clamp(min=0) + (cloaked - clean).norm() / 255
        torch.autograd.backward(loss)
        optimiser.step()
        if loss.item() < least:
            best = cloaked.detach()
            least = loss.item() if lead.item() >= kappa else least
    return best
