"""A batch's tensors are gone when it ends: no circle of references keeps them for the collector."""

import gc
import weakref
from typing import Any

import pytest
from toy import scene_of, smooth_faces

from cloaker.attack import optimise
from cloaker.levels import SYSTEMS, resolve
from cloaker.networks.base import EmbeddingNetwork


@pytest.mark.parametrize("name", SYSTEMS)
def test_nothing_of_a_batch_stays(name: str, network: EmbeddingNetwork) -> None:
    clean = smooth_faces(2)
    settings = ["lpips_weight=0"] if name == "lowkey" else []
    parameters = resolve(name, "min", settings)
    goals = [network(clean[:1]).expand(6, -1)] * 2
    gc.disable()
    try:
        scene = scene_of(clean, [(network, goals)])
        views = [weakref.ref(view.own) for view in scene.views]
        system = SYSTEMS[name].load()(scene, parameters, [1, 2])
        optimise(system, steps=2, budget=system.limit(parameters))
        left: list[weakref.ref[Any]] = [weakref.ref(scene), weakref.ref(system), *views]
        del scene, system
        assert [one() for one in left] == [None] * len(left)
    finally:
        gc.enable()
