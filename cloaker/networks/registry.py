"""The one door to embedding networks: bundled ones, installed ones, and those trained here."""

import pickle
from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from audit.errors import UserError
from cloaker import weights
from cloaker.networks.base import EmbeddingNetwork
from cloaker.networks.catalogue import CATALOGUE
from cloaker.trackers import installed


def names() -> tuple[str, ...]:
    """Return every network's name, bundled ones first, installed or not, trained ones last."""
    return (*_bundled_names(), *CATALOGUE, *installed.names())


def load(name: str, device: str = "cpu") -> EmbeddingNetwork:
    """Return a network in evaluation mode on a device; no parameter asks for a gradient.

    Raises UserError when the name is unknown, or its weights are absent or damaged.
    """
    if name in CATALOGUE:
        network = _installed(name)
    elif name in _bundled_names():
        from cloaker.networks import bundled

        network = bundled.load(name, device)
    elif tracker := installed.find(name):
        network = _trained(tracker)
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


def _trained(tracker: installed.Tracker) -> EmbeddingNetwork:
    network = load(tracker.base)
    if network.weights_sha256 != tracker.base_sha256:
        raise UserError(
            f"{tracker.name} was trained from other weights of {tracker.base}.",
            expected=f"SHA-256 {tracker.base_sha256}, here is {network.weights_sha256}",
            remedy=f"install those weights of {tracker.base}, or train {tracker.name} again",
        )
    try:
        network.load_state_dict(load_tensors(installed.content(tracker)))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(
            f"the trained network {tracker.name} can't be read: {error}",
            remedy="delete it and train it again",
        ) from error
    network.name, network.weights_sha256 = tracker.name, tracker.sha256
    return network


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
