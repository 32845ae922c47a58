"""Scenes of drawn faces, for trying systems without photos."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cloaker.attack import Best, Goal, System, optimise
from cloaker.batch import Working
from cloaker.levels import Parameters
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from cloaker.networks.folded import folded
from cloaker.region import FaceRegion
from cloaker.scene import Scene

SIDE = 112
CPU = torch.device("cpu")


def smooth_faces(count: int, seed: int = 7) -> Tensor:
    """Return smooth random pictures, count x 3 x 112 x 112, in whole levels of 0..255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 14, 14, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear").round()


def scene_of(clean: Tensor, views: Sequence[tuple[EmbeddingNetwork, Sequence[Tensor]]]) -> Scene:
    """Return a scene in which networks see such faces as they are, each with its goals (G x D).

    It is of the faces' own type, float32 or float64.
    """
    pixels = clean.to(torch.uint8).permute(0, 2, 3, 1)
    crops = [network.crop for network, _ in views] or [ARCFACE_112]
    regions = [FaceRegion(face.numpy(), ARCFACE_112.points, crops, CPU) for face in pixels]
    scene = Scene(
        [
            Working(region.working.to(clean), region.working_matrices, region.mask().to(clean))
            for region in regions
        ]
    )
    for network, goals in views:
        with torch.no_grad():
            # To the last digit what a view sees: Ulixes begins where this has no gradient.
            own = folded(network)(scene.crops(scene.clean, network.crop))
        scene.look(network, list(own), goals)
    return scene


def run(
    system: type[System],
    parameters: Parameters,
    scene: Scene,
    seeds: Sequence[int] | None = None,
) -> Best:
    """Run a system on a scene with given parameters."""
    at_work = system(scene, parameters, seeds or list(range(len(scene.clean))))
    return optimise(at_work, steps=int(parameters["steps"]), budget=system.limit(parameters))


def vectors(goals: Sequence[Goal], network: int = 0) -> list[Tensor]:
    """Return the goals' vectors for one network."""
    return [goal.vectors[network] for goal in goals]
