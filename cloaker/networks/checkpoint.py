"""Reading PyTorch checkpoints of others: tensors only, no code is ever unpickled."""

import io
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def read_checkpoint(content: bytes, *, key: str | None = None) -> dict[str, Any]:
    """Return the state dict in a checkpoint's bytes, on the CPU; `key` names the entry it is in.

    Values are tensors, or what torch packs for quantised layers. Raises ValueError when there is
    no state dict.
    """
    with warnings.catch_warnings():
        # Old storages and quantised tensors are deprecated, and yet what these files hold.
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        warnings.filterwarnings("ignore", message=".*quantize", category=UserWarning)
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    state = loaded.get(key) if key and isinstance(loaded, Mapping) else loaded
    if not isinstance(state, Mapping) or not any(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"no state dict{f' under {key!r}' if key else ''} in this checkpoint")
    return dict(state)
