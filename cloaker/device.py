"""Where torch computes."""

import torch
from torch import Tensor

from audit.errors import UserError


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
    return f"CPU, {torch.get_num_threads()} threads"


def compute_in_caller_threads() -> None:
    """Let torch compute on the CPU in the calling thread alone, for callers that are many."""
    torch.set_num_threads(1)


def answers_at_once(flags: Tensor) -> bool:
    """Return whether a decision may depend on a tensor: on a GPU to ask makes the program wait."""
    return not flags.is_cuda
