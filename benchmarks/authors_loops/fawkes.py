"""Fawkes' loops: that of May 2020, which aims as the paper does, and those of releases 0.3 and 1.0.

Those of 2020 are a TensorFlow graph which each step runs twice: to train, then to look at the
iterate's DSSIM, distance and pixels. The whole graph depends on variables, so both runs embed the
target (0.3: and the clean photo) anew. Gradients go to the change alone.

1.0 runs once a step, and embeds the clean photo on the same tape. Since the tape is told to watch
the clean photo too, the way back goes through its embedding and its part of SSIM as well: with
TensorFlow 2.21 a gradient function put in there is called, and the way back takes twice as long.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.optim import Adadelta, Adam, Optimizer

from authors_loops.common import Networks, dssim, to_pixels, to_tanh_space
from cloaker.levels import Parameters
from cloaker.networks.base import EmbeddingNetwork

Gap = Callable[[EmbeddingNetwork, Tensor, Tensor, Tensor], Tensor]
"""How far a cloaked photo is from its aim, of a network and clean, target and cloaked photos."""


def paper(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Descend the loss of section 4.2, by Adam, towards a photo."""

    def gap(network: EmbeddingNetwork, _clean: Tensor, target: Tensor, cloaked: Tensor) -> Tensor:
        away: Tensor = torch.linalg.vector_norm(network(target) - network(cloaked), dim=1)
        return away

    def penalty(excess: Tensor) -> Tensor:
        return float(parameters["penalty"]) * excess

    variable = torch.full_like(clean, 1e-6).requires_grad_()
    optimiser = Adam([variable], lr=float(parameters["learning_rate"]))
    graph = _Graph(networks, clean, variable, gap)
    return _twice_a_step(graph, optimiser, penalty, parameters, steps)


def release_03(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Descend to the own embedding plus twice the way to the target, by Adadelta."""

    def gap(network: EmbeddingNetwork, clean: Tensor, target: Tensor, cloaked: Tensor) -> Tensor:
        own, other = network(clean), network(target)
        aim = own + 2 * (other.mean(dim=0) - own.mean(dim=0))
        away: Tensor = torch.linalg.vector_norm(aim - network(cloaked), dim=1)
        length: Tensor = torch.linalg.vector_norm(aim, dim=1)
        return away / length

    def penalty(excess: Tensor) -> Tensor:
        return float(parameters["penalty"]) * excess.square()

    variable = torch.full_like(clean, 1e-6).requires_grad_()
    optimiser = Adadelta([variable], lr=float(parameters["learning_rate"]), rho=0.95, eps=1e-8)
    graph = _Graph(networks, clean, variable, gap)
    return _twice_a_step(graph, optimiser, penalty, parameters, steps)


class _Graph:
    """All that a run of the session computes of its variables."""

    def __init__(self, networks: Networks, clean: Tensor, variable: Tensor, gap: Gap) -> None:
        self._networks, self._gap, self._variable = networks, gap, variable
        self._clean = to_tanh_space(clean)
        self._target = to_tanh_space(torch.rand_like(clean) * 255)

    def run(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the DSSIM and the distance to the aim, N each, and the pixels."""
        clean, target = to_pixels(self._clean), to_pixels(self._target)
        cloaked = to_pixels(self._clean + self._variable)
        gaps = [self._gap(network, clean, target, cloaked) for network in self._networks]
        return dssim(cloaked, clean), torch.stack(gaps).sum(dim=0), cloaked


def _twice_a_step(
    graph: _Graph,
    optimiser: Optimizer,
    penalty: Callable[[Tensor], Tensor],
    parameters: Parameters,
    steps: int,
) -> Tensor:
    best, least = torch.empty(0), float("inf")
    for _ in range(steps):
        optimiser.zero_grad()
        visibility, gap, _ = graph.run()
        excess = (visibility - float(parameters["budget"])).clamp(min=0)
        torch.autograd.backward(penalty(excess) + gap)
        optimiser.step()
        with torch.no_grad():
            _, gap, cloaked = graph.run()
        if float(gap) < least:
            best, least = cloaked, float(gap)
    return best


def release_10(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Move away from the clean embedding, and decide everything in Python's numbers."""
    budget, best, farthest, weight = float(parameters["budget"]), clean, 0.0, 1.0
    own = to_tanh_space(clean).requires_grad_()
    variable = ((2 * torch.rand_like(clean) - 1) * 1e-4).requires_grad_()
    optimiser = Adadelta([variable], lr=float(parameters["learning_rate"]), rho=0.95, eps=1e-7)
    for _ in range(steps):
        source = to_pixels(own)
        cloaked = source + (to_pixels(own + variable) - source).clamp(-15, 15)
        visibility, far = dssim(cloaked, source), clean.new_zeros(1)
        for network in networks:
            gap = normalize(network(cloaked)) - normalize(network(source))
            far = far + gap.square().sum(dim=1)
        excess = (visibility - budget).clamp(min=0)
        loss = float(parameters["penalty"]) * excess.square() - weight * far
        variable.grad, _ = torch.autograd.grad(loss, [variable, own])
        optimiser.step()
        weight = _weight(weight, visibility.item() / budget)
        if far.item() > farthest and visibility.item() <= 1.1 * budget:
            best, farthest = cloaked.detach(), far.item()
    return best


def _weight(weight: float, share: float) -> float:
    if share <= 0.9 and weight <= 129:
        return 2 * weight
    return weight / 2 if share >= 1.1 and weight >= 1 / 129 else 1.0
