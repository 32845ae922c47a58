"""A batch of faces at work: what a cloaking system sees of photos, networks and goals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from cloaker.geometry import Similarity, sampling_points
from cloaker.networks.base import Crop, EmbeddingNetwork
from cloaker.networks.folded import folded
from cloaker.perceptual import Dssim


class Working(Protocol):
    """A face's working grid: what a scene takes of a `FaceRegion`."""

    @property
    def working(self) -> Tensor: ...

    @property
    def working_matrices(self) -> Mapping[Crop, Similarity]: ...

    def mask(self) -> Tensor:
        """Return how much of a change reaches each working pixel, 1 x height x width."""
        ...


@dataclass(slots=True)
class View:
    """One network's look at a scene: raw embeddings of N clean faces, and N x G x D goals."""

    network: EmbeddingNetwork
    own: Tensor
    goals: Tensor
    scene: "Scene"

    def crops(self, pictures: Tensor) -> Tensor:
        """Return the aligned crops of N pictures, differentiably, as this step sees them."""
        return self.scene.crops(pictures, self.network.crop)

    def embed(self, pictures: Tensor) -> Tensor:
        """Return the raw embeddings N x D of N pictures, differentiably."""
        embeddings: Tensor = self.network(self.crops(pictures))
        return embeddings


class Scene:
    """Working regions of N faces as one batch, padded at the right and the bottom.

    `clean` is N x 3 x height x width in 0..255, `mask` N x 1 x height x width in 0..1: how much of
    a change reaches each pixel. `wobbles`, steps x N x 4 (turn in radians, logarithm of scale,
    shift right and down in pixels), says how far off the alignment is that each step sees.
    Everything is computed in the regions' own type, float32 or float64.
    """

    def __init__(self, regions: Sequence[Working], wobbles: Tensor | None = None) -> None:
        self._sizes = [(region.working.shape[-2], region.working.shape[-1]) for region in regions]
        height, width = (max(sides) for sides in zip(*self._sizes, strict=True))
        self.clean = torch.stack([_padded(region.working, height, width) for region in regions])
        self.mask = torch.stack([_padded(region.mask(), height, width) for region in regions])
        self._last = self.clean.new_tensor([width - 1, height - 1]).clamp(min=1)
        self._points = {
            crop: torch.stack(
                [sampling_points(region.working_matrices[crop], crop) for region in regions]
            ).to(self.clean)
            for crop in regions[0].working_matrices
        }
        self._wobbles = None if wobbles is None else wobbles.to(self.clean)
        self._grids = {crop: self._grid(points) for crop, points in self._points.items()}
        self._seen = dict(self._grids)
        self._at_photo = Dssim(self.clean, self._sizes)
        self._at_crops = {crop: Dssim(self.exact_crops(self.clean, crop)) for crop in self._points}
        self.views: tuple[View, ...] = ()
        self.at_step(0)

    def look(
        self, network: EmbeddingNetwork, own: Sequence[Tensor], goals: Sequence[Tensor]
    ) -> None:
        """Let a network look on, given each face's raw embedding, D, and goals, G x D."""
        view = View(folded(network), torch.stack(list(own)), torch.stack(list(goals)), self)
        self.views = (*self.views, view)

    def at_step(self, number: int) -> None:
        """Look at the faces as it is done at a step."""
        if self._wobbles is None:
            return
        wobble = self._wobbles[number]
        self._seen = {
            crop: self._grid(_wobbled(points, wobble)) for crop, points in self._points.items()
        }

    def crops(self, pictures: Tensor, crop: Crop) -> Tensor:
        """Return the aligned crops of N pictures, differentiably, as this step sees them."""
        return _sampled(pictures, self._seen[crop])

    def exact_crops(self, pictures: Tensor, crop: Crop) -> Tensor:
        """Return the aligned crops of N pictures, differentiably, without any wobble."""
        return _sampled(pictures, self._grids[crop])

    def visibility(self, pictures: Tensor) -> Tensor:
        """Return the largest of the DSSIMs in the working region and in the exact crops, N."""
        worst: Tensor = self._at_photo(pictures)
        for crop, at_crop in self._at_crops.items():
            worst = torch.maximum(worst, at_crop(self.exact_crops(pictures, crop)))
        return worst

    def parts(self, pictures: Tensor) -> list[Tensor]:
        """Return each face's region of a batch without its padding; before any face leaves."""
        return [
            picture[:, :height, :width]
            for picture, (height, width) in zip(pictures, self._sizes, strict=True)
        ]

    def leave(self, staying: Tensor) -> None:
        """Go on with some of the faces only, N booleans."""
        self.clean, self.mask = self.clean[staying], self.mask[staying]
        for kept in (self._points, self._grids, self._seen):
            kept.update({crop: points[staying] for crop, points in kept.items()})
        if self._wobbles is not None:
            self._wobbles = self._wobbles[:, staying]
        for visibility in (self._at_photo, *self._at_crops.values()):
            visibility.leave(staying)
        for view in self.views:
            view.own, view.goals = view.own[staying], view.goals[staying]

    def _grid(self, points: Tensor) -> Tensor:
        """Return points as `grid_sample` wants them: -1..1 between the outermost pixels' centres."""
        return 2 * points / self._last - 1


def embedded(views: Sequence[View], pictures: Tensor) -> list[Tensor]:
    """Return the raw embeddings of N pictures in each view; views of one crop share it."""
    crops: dict[Crop, Tensor] = {}
    for view in views:
        if view.network.crop not in crops:
            crops[view.network.crop] = view.crops(pictures)
    return [view.network(crops[view.network.crop]) for view in views]


def _sampled(pictures: Tensor, grid: Tensor) -> Tensor:
    return nn.functional.grid_sample(
        pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )


def _wobbled(points: Tensor, wobble: Tensor) -> Tensor:
    """Return sampling points N x h x w x 2 turned and scaled about their centre, and shifted."""
    turn, scale, right, down = wobble[:, :, None, None].unbind(dim=1)
    centre = points.mean(dim=(1, 2), keepdim=True)
    x, y = (points - centre).unbind(dim=-1)
    cos, sin = scale.exp() * turn.cos(), scale.exp() * turn.sin()
    moved = torch.stack([x * cos - y * sin + right, x * sin + y * cos + down], dim=-1)
    return moved + centre


def _padded(picture: Tensor, height: int, width: int) -> Tensor:
    below, right = height - picture.shape[-2], width - picture.shape[-1]
    return nn.functional.pad(picture, (0, right, 0, below))
