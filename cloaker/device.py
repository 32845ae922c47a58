"""Where torch computes, and how much of it at once."""

import os

import torch
from torch import Tensor

from audit.errors import UserError

_ON_A_GPU = 2
"""One computes, the other one reads or writes photos."""


def resolve(name: str) -> str:
    """Return `cuda` or `cpu` for `auto`; raises UserError for a device that is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError):
        raise UserError(
            f"--device {name!r} can't be used here.",
            expected="auto, cpu, cuda, or cuda:N of a GPU that torch can see",
        ) from None
    return name


def describe(name: str = "auto") -> str:
    """Return a device for people: a GPU's name, or the number of CPU threads."""
    device = resolve(name)
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {cores()} cores"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(name: str | torch.device) -> int:
    """Return how many threads that compute keep a device busy.

    On the CPU each of them computes on one core, unless `OMP_NUM_THREADS` says more.
    """
    if torch.device(name).type == "cuda":
        return _ON_A_GPU
    return max(1, cores() // torch.get_num_threads())


def answers_at_once(flags: Tensor) -> bool:
    """Return whether a decision may depend on a tensor: on a GPU to ask makes the program wait."""
    return not flags.is_cuda
