"""The one door to embedding networks: the bundled one and those whose weights are installed."""

import pickle
from collections.abc import Sequence

import torch

from audit.errors import UserError
from cloaker import weights
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.catalogue import CATALOGUE


def names() -> tuple[str, ...]:
    """Return every network's name, bundled ones first, installed or not."""
    return (*_bundled_names(), *CATALOGUE)


def load(name: str, device: str = "cpu") -> EmbeddingNetwork:
    """Return a network in evaluation mode on a device; no parameter asks for a gradient.

    Raises UserError when the name is unknown, or its weights are absent or damaged.
    """
    if name in CATALOGUE:
        network = _installed(name)
    elif name in _bundled_names():
        from cloaker.networks import bundled

        network = bundled.load(name, device)
    else:
        raise UserError(
            f"unknown network: {name}",
            expected=f"one of {', '.join(names())}",
            remedy="choose one of these; `audit weights list` says which are installed",
        )
    return network.to(device).eval().requires_grad_(requires_grad=False)


def _bundled_names() -> Sequence[str]:
    from cloaker.networks import bundled

    return tuple(bundled.NAMES)


def _installed(name: str) -> EmbeddingNetwork:
    entry = CATALOGUE[name]
    stored = weights.read(name)
    try:
        network = entry.build(name, stored.contents)
    except (
        ValueError,
        LookupError,
        TypeError,
        RuntimeError,
        EOFError,
        pickle.PickleError,
    ) as error:
        raise UserError(
            f"the weights of {name} can't be read: {type(error).__name__}: {error}",
            expected=f"{entry.architecture} as published ({entry.source})",
            remedy=f"add the right file with `audit weights add {name} FILE`",
        ) from error
    network.weights_sha256 = stored.sha256
    if entry.flush_denormals:
        # On some CPUs numbers below 1e-38 slow this architecture down thirty times.
        torch.set_flush_denormal(True)
    return network
