"""What Face-Off wants of an embedding: to be nearer to another person than to its own, by a margin.

Distances are between a face's embedding and two people's means. Embeddings differ in length from
network to network: so a margin `kappa` is a share of the distance between the two means, `span`.
By the triangle inequality no embedding can have a larger margin than 1, whatever the network; at
margin 0 it is as near to one as to the other. With `kappa_unit=raw` the margin and the loss are in
the network's own unit, as released. Between two people of LFW that is a median of 14 on one network
here and 2 on another: on that, the release's margin of 6 is out of every embedding's reach.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cloaker.levels import Parameters
from cloaker.scene import Scene, View

TARGET, SOURCE = 0, 1
"""Which goal of a face is which person's mean."""
_SPAN_MIN = 1e-12


@dataclass(frozen=True, slots=True)
class Standing:
    """Where N embeddings stand: the `loss` to go down, and what they lack of the margin (0 = it)."""

    loss: Tensor
    lack: Tensor


def seen(embeddings: Tensor, parameters: Parameters) -> Tensor:
    """Return raw embeddings as the distances are to be taken between them."""
    if not parameters["unit_embeddings"]:
        return embeddings
    unit: Tensor = torch.nn.functional.normalize(embeddings, dim=-1)
    return unit


def standing(scene: Scene, pictures: Tensor, parameters: Parameters) -> Standing:
    """Return where pictures stand, over all networks, differentiably."""
    loss, lack = pictures.new_zeros(len(pictures)), pictures.new_zeros(len(pictures))
    for view in scene.views:
        to_target, lacking = _at(view, pictures, parameters)
        loss = loss + (lacking if parameters["loss"] == "hinge" else to_target)
        lack = lack + lacking
    return Standing(loss, lack.detach())


def _at(view: View, pictures: Tensor, parameters: Parameters) -> tuple[Tensor, Tensor]:
    """Return the distance to the target's mean, and the hinge, on one network."""
    target, source = view.goals[:, TARGET], view.goals[:, SOURCE]
    embeddings = seen(view.embed(pictures), parameters)
    to_target, to_source = _distance(embeddings, target), _distance(embeddings, source)
    if parameters["kappa_unit"] == "share":
        span = _distance(target, source).clamp(min=_SPAN_MIN)
        to_target, to_source = to_target / span, to_source / span
    lacking = (to_target - to_source + float(parameters["kappa"])).clamp(min=0)
    return to_target, lacking


def _distance(a: Tensor, b: Tensor) -> Tensor:
    distance: Tensor = torch.linalg.vector_norm(a - b, dim=1)
    return distance
