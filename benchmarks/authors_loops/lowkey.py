"""LowKey's loop, from the released code: four models, each asked four times a step."""

import itertools

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, normalize

from authors_loops.common import Networks, blurred
from cloaker import lpips
from cloaker.levels import Parameters
from cloaker.networks.base import EmbeddingNetwork

_FEATURES = 512


def lowkey(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Ask eight members one by one: four networks, each plain and blurred, and each mirrored."""
    members = list(itertools.islice(itertools.cycle(networks), 4))
    with torch.no_grad():
        own = [_mirrored(network, clean) for network in members]
    grid = affine_grid(torch.eye(2, 3)[None], list(clean.shape), align_corners=False)
    cloaked = clean + (torch.rand_like(clean) - 0.5) * 510 * float(parameters["start_noise"])
    for _ in range(steps):
        cloaked.requires_grad_()
        crop = grid_sample(cloaked, grid, align_corners=False)
        shifts = []
        for seen in (crop, blurred(crop)):
            for network, at_rest in zip(members, own, strict=True):
                shift = (_mirrored(network, seen) - at_rest).square() / at_rest.norm()
                shifts.append(shift.sum() / _FEATURES)
        gain = torch.stack(shifts).mean() - _unlikeness(cloaked, crop, clean, parameters)
        (gradient,) = torch.autograd.grad(gain, cloaked)
        cloaked = cloaked.detach() + 255 * float(parameters["learning_rate"]) * gradient.sign()
    return cloaked.clamp(0, 255)


def _mirrored(network: EmbeddingNetwork, crop: Tensor) -> Tensor:
    return normalize(network(crop) + network(crop.flip(-1)))


def _unlikeness(cloaked: Tensor, crop: Tensor, clean: Tensor, parameters: Parameters) -> Tensor:
    weight = float(parameters["lpips_weight"])
    if not weight:
        return clean.new_zeros(())
    network = lpips.load(clean.device)
    # Built anew, since the authors' package computes the clean photo's features in each step.
    return weight * torch.stack([lpips.Lpips(network, clean)(x) for x in (crop, cloaked)]).mean()
