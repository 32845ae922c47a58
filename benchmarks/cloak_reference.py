"""Milliseconds a step and photo, beside plain loops that are built as the authors built theirs.

    OMP_NUM_THREADS=1 python benchmarks/cloak_reference.py
    OMP_NUM_THREADS=1 python benchmarks/cloak_reference.py --system fawkes-0.3 --network edgeface_xxs

Milliseconds of the processor in one thread, which other programs disturb less than the clock.

The references take one photo at a time, in float32, and compute again in each step what the
authors compute again. They work on the aligned crop. What happens once in a run, and what takes no
time, is left out of them. Both sides see the same networks, and take turns; a system that wants
several gets the given ones over and over. Of both, time that doesn't grow with the steps (set-up,
the last look at the best iterate) doesn't count. LPIPS is part of LowKey if it is installed.
"""

import argparse
import functools
import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, normalize, pad
from torch.optim import Adadelta, Adam

from audit.errors import UserError
from cloaker import lpips
from cloaker.levels import Parameters, resolve
from cloaker.networks import registry
from cloaker.networks.base import EmbeddingNetwork
from cloaker.speed import cloak, random_regions

Networks = Sequence[EmbeddingNetwork]
Reference = Callable[[Networks, Tensor, Parameters, int], Tensor]
"""Does so many steps with a clean crop, 1 x 3 x height x width in 0..255; returns the cloaked."""

_TANH_SCALE = 2 - 1e-6
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BUCKET = 9
_FEATURES = 512


@dataclass(frozen=True, slots=True)
class Case:
    """A system at work: its reference, the settings of ours, through how many networks.

    `bar`: how many times as fast as the reference ours has to be.
    """

    system: str
    reference: Reference
    networks: int = 1
    settings: tuple[str, ...] = ()
    bar: float = 5.0


def main() -> None:
    """Measure and print one table row a system and network."""
    arguments = _arguments()
    batch, steps = arguments.batch, arguments.steps
    torch.set_num_threads(1)
    print(f"batch {batch}, {steps} steps, {torch.get_num_threads()} threads, load {_load()}")
    columns = f"{'reference':>9} {'ours':>7} {'ratio':>6} {'least..most':>12} {'bar':>5}"
    print(f"{'system':16} {'networks':18} {columns}")
    for name, system in itertools.product(arguments.network, arguments.system):
        case = CASES[system]
        networks = [registry.load(name)] * case.networks
        pairs = _measured(case, networks, arguments)
        reference, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = [theirs / own for theirs, own in pairs]
        print(
            f"{system:16} {f'{case.networks} x {name}':18} {reference:9.1f} {ours:7.1f} "
            f"{statistics.median(ratios):6.2f} {min(ratios):5.2f}..{max(ratios):5.2f}  {case.bar:4.1f}",
            flush=True,
        )
    print(f"milliseconds per step and photo: medians of {arguments.repeats}; load after {_load()}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--network", nargs="+", default=["bundled-conv"])
    parser.add_argument("--batch", type=int, default=16, help="photos at once, of ours")
    parser.add_argument("--steps", type=int, default=10, help="steps timed")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side")
    return parser.parse_args()


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def _measured(
    case: Case, networks: Networks, arguments: argparse.Namespace
) -> list[tuple[float, float]]:
    """Return the reference's and our milliseconds per step and photo, in each repeat."""
    parameters = resolve(case.system, "high", case.settings)
    if case.system == "lowkey" and not _has_lpips():
        parameters["lpips_weight"] = 0.0
    regions = random_regions(networks, arguments.batch)
    theirs = partial(case.reference, networks, regions[0].clean[None], parameters)
    ours = partial(cloak, case.system, parameters, networks, regions)
    for work in (theirs, ours):
        work(1)
    return [
        (_step_ms(theirs, arguments.steps), _step_ms(ours, arguments.steps) / arguments.batch)
        for _ in range(arguments.repeats)
    ]


def _step_ms(work: Callable[[int], object], steps: int) -> float:
    one_s = _processor_s(work, 1)
    return 1e3 * (_processor_s(work, 1 + steps) - one_s) / steps


def _processor_s(work: Callable[[int], object], steps: int) -> float:
    start = time.process_time()
    work(steps)
    return time.process_time() - start


def _has_lpips() -> bool:
    try:
        lpips.load(torch.device("cpu"))
    except UserError:
        return False
    return True


def fawkes_03(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Train and look in two runs of the whole graph, clean and target embeddings in each."""
    target, best, least = torch.rand_like(clean) * 255, clean, float("inf")
    variable = torch.full_like(clean, 1e-6).requires_grad_()
    optimiser = Adadelta([variable], lr=float(parameters["learning_rate"]), rho=0.95, eps=1e-8)
    for _ in range(steps):
        optimiser.zero_grad()
        cloaked = _moved(clean, variable)
        gap = _gap_to_aim(networks, clean, target, cloaked)
        torch.autograd.backward(_penalty(_dssim(cloaked, clean), parameters) + gap)
        optimiser.step()
        with torch.no_grad():
            cloaked = _moved(clean, variable)
            gap_now = float(_gap_to_aim(networks, clean, target, cloaked))
        if gap_now < least:
            best, least = cloaked, gap_now
    return best


def _gap_to_aim(networks: Networks, clean: Tensor, target: Tensor, cloaked: Tensor) -> Tensor:
    total = clean.new_zeros(1)
    for network in networks:
        own, other = network(clean), network(target)
        aim = own + 2 * (other.mean(dim=0) - own.mean(dim=0))
        total = total + (aim - network(cloaked)).norm(dim=1) / aim.norm(dim=1)
    return total


def fawkes_paper(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Descend the loss of section 4.2; as in the authors' later code the graph has the target too."""
    target = torch.rand_like(clean) * 255
    variable = torch.zeros_like(clean).requires_grad_()
    optimiser = Adam([variable], lr=float(parameters["learning_rate"]))
    for _ in range(steps):
        optimiser.zero_grad()
        cloaked = _moved(clean, variable)
        gaps = [(network(target) - network(cloaked)).norm(dim=1) for network in networks]
        excess = (_dssim(cloaked, clean) - float(parameters["budget"])).clamp(min=0)
        torch.autograd.backward(sum(gaps, float(parameters["penalty"]) * excess))
        optimiser.step()
    return _moved(clean, variable).detach()


def fawkes_10(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Embed the clean photo again in each step, and decide everything in Python's numbers."""
    budget, best, farthest, weight = float(parameters["budget"]), clean, 0.0, 1.0
    variable = ((2 * torch.rand_like(clean) - 1) * 1e-4).requires_grad_()
    optimiser = Adadelta([variable], lr=float(parameters["learning_rate"]), rho=0.95, eps=1e-7)
    for _ in range(steps):
        optimiser.zero_grad()
        cloaked = clean + (_moved(clean, variable) - clean).clamp(-15, 15)
        dssim = _dssim(cloaked, clean)
        far = clean.new_zeros(1)
        for network in networks:
            gap = normalize(network(cloaked)) - normalize(network(clean))
            far = far + gap.square().sum(dim=1)
        torch.autograd.backward(_penalty(dssim, parameters) - weight * far)
        optimiser.step()
        weight = _weight(weight, dssim.item() / budget)
        if far.item() > farthest and dssim.item() <= 1.1 * budget:
            best, farthest = cloaked.detach(), far.item()
    return best


def _weight(weight: float, share: float) -> float:
    if share <= 0.9 and weight <= 129:
        return 2 * weight
    return weight / 2 if share >= 1.1 and weight >= 1 / 129 else 1.0


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
        for seen in (crop, _blurred(crop)):
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


def ulixes(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Embed anchor, positive and negative in each step."""
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
        visible = float(_dssim((moved + 1) * 127.5, clean)) > float(parameters["budget"])
        stalled = abs(away.item() - before) < float(parameters["tolerance"])
        if loss.item() == 0 or stalled or visible:
            break
        anchor, before = moved, away.item()
    return (anchor.detach() + 1) * 127.5


def faceoff(networks: Networks, clean: Tensor, parameters: Parameters, steps: int) -> Tensor:
    """Send both people's nine photos through the network in each step."""
    targets, sources = (torch.rand(_BUCKET, *clean.shape[1:]) * 255 for _ in range(2))
    variable = (0.2 * torch.rand_like(clean) - 0.1).requires_grad_()
    optimiser = Adam([variable], lr=float(parameters["learning_rate"]))
    const, kappa = float(parameters["initial_const"]), float(parameters["kappa"])
    best, least = clean, float("inf")
    for _ in range(steps):
        optimiser.zero_grad()
        cloaked = _moved(clean, variable)
        own, target, source = (networks[0](x) for x in (cloaked, targets, sources))
        lead = (own - source.mean(dim=0)).norm() - (own - target.mean(dim=0)).norm()
        loss = const * (kappa - lead).clamp(min=0) + (cloaked - clean).norm() / 255
        torch.autograd.backward(loss)
        optimiser.step()
        if loss.item() < least:
            best = cloaked.detach()
            least = loss.item() if lead.item() >= kappa else least
    return best


def _moved(clean: Tensor, variable: Tensor) -> Tensor:
    base = torch.atanh((clean / 255 - 0.5) * _TANH_SCALE)
    return (torch.tanh(base + variable) / _TANH_SCALE + 0.5) * 255


def _penalty(dssim: Tensor, parameters: Parameters) -> Tensor:
    excess = (dssim - float(parameters["budget"])).clamp(min=0)
    return float(parameters["penalty"]) * excess.square()


def _dssim(a: Tensor, b: Tensor) -> Tensor:
    windows = partial(conv2d, weight=_window(11, 1.5), groups=3)
    mean_a, mean_b, product = windows(a), windows(b), windows(a * b)
    spread = windows(a.square()) + windows(b.square()) - mean_a.square() - mean_b.square()
    means = mean_a * mean_b
    structure = (2 * (product - means) + _C2) / (spread + _C2)
    luminance = (2 * means + _C1) / (mean_a.square() + mean_b.square() + _C1)
    return (1 - (structure * luminance).mean(dim=(1, 2, 3))) / 2


def _blurred(crop: Tensor) -> Tensor:
    return conv2d(pad(crop, (3, 3, 3, 3), mode="reflect"), _window(7, 3.0), groups=3)


@functools.cache
def _window(side: int, sigma: float) -> Tensor:
    """Return Gaussian weights for each of three colours, 3 x 1 x side x side."""
    taps = torch.exp(-((torch.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    taps = taps / taps.sum()
    return torch.outer(taps, taps).expand(3, 1, side, side).contiguous()


_ENDLESS = ("margin=10", "tolerance=0", "budget=1")  # so that no face finishes early
CASES = {
    "fawkes-0.3": Case("fawkes-0.3", fawkes_03),
    "fawkes-paper": Case("fawkes-paper", fawkes_paper),
    "fawkes-1.0": Case("fawkes-1.0", fawkes_10, networks=2),
    "lowkey-released": Case("lowkey", lowkey, networks=2, settings=("preset=released",)),
    "lowkey-paper": Case("lowkey", lowkey, networks=4, bar=2.5),
    "ulixes": Case("ulixes", ulixes, settings=_ENDLESS),
    "faceoff": Case("faceoff", faceoff),
}

if __name__ == "__main__":
    main()
