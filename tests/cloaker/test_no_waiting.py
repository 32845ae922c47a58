"""On a GPU the program runs ahead of the device: no step may ask for a value that it computes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from random_lpips import install
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from toy import scene_of, smooth_faces

from cloaker import device
from cloaker.attack import optimise
from cloaker.levels import SYSTEMS, resolve
from cloaker.networks.base import EmbeddingNetwork

STEPS = 7
WAYS = [
    *((name,) for name in SYSTEMS),
    ("faceoff", "attack=pgd-linf"),
    ("faceoff", "attack=pgd-l2"),
    ("faceoff", "attack=cw-linf"),
    ("ulixes", "ensemble=1"),
    ("ulixes", "ensemble=2"),
]


class Asked(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch declares no types here
    """Notes each operation whose result the program needs before it can go on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # nor here
        self.names: list[str] = []

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = str(func)
        chosen = args[1] if "index" in name and len(args) > 1 else ()
        by_flags = isinstance(chosen, Sequence) and any(
            isinstance(one, Tensor) and one.dtype == torch.bool for one in chosen
        )
        if by_flags or "_local_scalar_dense" in name or "nonzero" in name:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_no_step_waits_for_the_device(
    way: tuple[str, ...],
    network: EmbeddingNetwork,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, monkeypatch)
    monkeypatch.setattr(device, "answers_at_once", lambda _: False)
    clean = smooth_faces(2)
    goals = [network(smooth_faces(2, seed=3 + i)) for i in range(2)]
    scene = scene_of(clean, [(network, goals), (network, goals)])
    parameters = resolve(way[0], "high", [*way[1:], *_short(way[0])])
    system = SYSTEMS[way[0]].load()
    at_work = system(scene, parameters, [0, 1])
    counts: list[int] = []
    asked = Asked()
    with asked:
        optimise(at_work, steps=STEPS, budget=system.limit(parameters), on_step=counts.append)
    assert counts == [2] * STEPS
    assert asked.names == []


def _short(system: str) -> list[str]:
    return ["margin=0.3"] if system == "ulixes" else []
