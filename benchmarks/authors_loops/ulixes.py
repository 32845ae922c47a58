"""Ulixes' loop, from the paper (equations 3 to 5, section 3.3): its code was never published."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from authors_loops.common import Networks, dssim
from cloaker.levels import Parameters


def ulixes(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Take the triplet loss of three photos in each step: anchor, positive and negative."""
    positive = clean / 127.5 - 1
    negative, anchor = torch.rand_like(clean) * 2 - 1, positive.clone()
    rate, margin = float(parameters["learning_rate"]), float(parameters["margin"])
    before = -1.0
    for _ in range(steps):
        anchor.requires_grad_()
        a, p, n = (normalize(networks[0]((x + 1) * 127.5)) for x in (anchor, positive, negative))
        away, towards = ((a - x).square().sum().add(1e-12).sqrt() for x in (p, n))
        loss = (towards - away + margin).relu()
        (gradient,) = torch.autograd.grad(loss, anchor)
        moved = (anchor.detach() - rate * gradient / gradient.abs().max()).clamp(-1, 1)
        visible = float(dssim((moved + 1) * 127.5, clean)) > float(parameters["budget"])
        stalled = abs(away.item() - before) < float(parameters["tolerance"])
        if loss.item() == 0 or stalled or visible:
            break
        anchor, before = moved, away.item()
    return (anchor.detach() + 1) * 127.5
