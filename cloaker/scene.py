"""A batch of faces at work: what a cloaking system sees of photos, networks and goals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import ReferenceType, ref

import numpy as np
import torch
from torch import Tensor, nn

from cloaker import device
from cloaker.geometry import Similarity, inverse
from cloaker.levels import Value
from cloaker.networks.base import Crop, EmbeddingNetwork
from cloaker.networks.lowered import as_run
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
    """One network's look at a scene: raw embeddings of N clean faces, and N x G x D goals.

    The scene holds the view and not the other way round: in a circle both would stay in memory
    after their batch, until Python's collector comes by.
    """

    network: EmbeddingNetwork
    own: Tensor
    goals: Tensor
    scene: "ReferenceType[Scene]"

    def crops(self, pictures: Tensor) -> Tensor:
        """Return the aligned crops of N pictures, differentiably, as this step sees them."""
        scene = self.scene()
        assert scene
        return scene.crops(pictures, self.network.crop)

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
        crops = regions[0].working_matrices
        longest = max(side for crop in crops for side in (crop.width, crop.height))
        self._places = torch.arange(longest).to(self.clean)
        ways = {crop: _ways(regions, crop).to(self.clean) for crop in crops}
        self._grids = {crop: self._grid(way, crop) for crop, way in ways.items()}
        self._seen = dict(self._grids)
        self._wobbled: dict[Crop, Tensor] = {}
        if wobbles is not None:
            moved = wobbles.to(self.clean)
            self._wobbled = {crop: _wobbled(way, moved, crop) for crop, way in ways.items()}
        self._at_photo = Dssim(self.clean, self._sizes)
        self._at_crops = {crop: Dssim(self.exact_crops(self.clean, crop)) for crop in ways}
        self.views: tuple[View, ...] = ()
        self.at_step(0)

    def look(
        self,
        network: EmbeddingNetwork,
        own: Sequence[Tensor],
        goals: Sequence[Tensor],
        precision: Value = "float32",
    ) -> None:
        """Let a network look on, given each face's raw embedding, D, and goals, G x D."""
        faces, aims = torch.stack(list(own)), torch.stack(list(goals))
        self.views = (*self.views, View(as_run(network, precision), faces, aims, ref(self)))

    def at_step(self, number: int) -> None:
        """Look at the faces as it is done at a step."""
        for crop, ways in self._wobbled.items():
            self._seen[crop] = self._grid(ways[number], crop)

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
        for kept in (self._grids, self._seen):
            kept.update({crop: grids[staying] for crop, grids in kept.items()})
        self._wobbled = {crop: ways[:, staying] for crop, ways in self._wobbled.items()}
        for visibility in (self._at_photo, *self._at_crops.values()):
            visibility.leave(staying)
        for view in self.views:
            view.own, view.goals = view.own[staying], view.goals[staying]

    def _grid(self, ways: Tensor, crop: Crop) -> Tensor:
        """Return where in a picture a crop's pixels lie, N x h x w x 2, given N ways back.

        As `grid_sample` wants them: -1..1 between the outermost pixels' centres.
        """
        right, down, first = (2 * ways / self._last[:, None]).unbind(dim=-1)
        x, y = (self._places[:side] for side in (crop.width, crop.height))
        along = right[:, None, None] * x[:, None]
        return along + (down[:, None, None] * y[:, None, None] + (first - 1)[:, None, None])


def embedded(views: Sequence[View], pictures: Tensor) -> list[Tensor]:
    """Return the raw embeddings of N pictures in each view; views of one crop share it."""
    crops: dict[Crop, Tensor] = {}
    for view in views:
        if view.network.crop not in crops:
            crops[view.network.crop] = view.crops(pictures)
    return [view.network(crops[view.network.crop]) for view in views]


def _sampled(pictures: Tensor, grid: Tensor) -> Tensor:
    sampled: Tensor = _Sampled.apply(pictures, grid)
    return sampled


class _Sampled(torch.autograd.Function):
    """Bilinear sampling, whose way back on a CPU is long: taken for pictures with a gradient only."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, grid: Tensor) -> Tensor:
        """Sample pictures N x 3 x height x width at points N x h x w x 2; black outside of them."""
        ctx.save_for_backward(pictures, grid)
        return nn.functional.grid_sample(
            pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=True
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the pictures."""
        pictures, grid = ctx.saved_tensors
        asked = gradient.flatten(1).any(dim=1)
        if not device.answers_at_once(asked) or bool(asked.all()):
            return _scattered(gradient, pictures, grid), None
        total = torch.zeros_like(pictures)
        total[asked] = _scattered(gradient[asked], pictures[asked], grid[asked])
        return total, None


def _scattered(gradient: Tensor, pictures: Tensor, grid: Tensor) -> Tensor:
    # Modes 0 and 0 are bilinear, and zeros outside; of the two gradients only the pictures'.
    total: Tensor = torch.ops.aten.grid_sampler_2d_backward(
        gradient, pictures, grid, 0, 0, True, [True, False]
    )[0]
    return total


def _ways(regions: Sequence[Working], crop: Crop) -> Tensor:
    """Return each region's way from the crop's points back to its own, N x 2 x 3."""
    backs = [inverse(region.working_matrices[crop]) for region in regions]
    return torch.from_numpy(np.stack(backs))


def _wobbled(ways: Tensor, wobbles: Tensor, crop: Crop) -> Tensor:
    """Return ways back N x 2 x 3 turned and scaled about the crop's centre, and shifted.

    For wobbles steps x N x 4 they are steps x N x 2 x 3.
    """
    turn, scale, right, down = wobbles.unbind(dim=-1)
    cos, sin = scale.exp() * turn.cos(), scale.exp() * turn.sin()
    turned = torch.stack([cos, -sin, sin, cos], dim=-1).view(*turn.shape, 2, 2)
    middle = ways.new_tensor([(crop.width - 1) / 2, (crop.height - 1) / 2, 1])
    centre = (ways @ middle)[..., None]
    linear, first = ways[..., :2], ways[..., 2:]
    moved = turned @ (first - centre) + centre + torch.stack([right, down], dim=-1)[..., None]
    return torch.cat([turned @ linear, moved], dim=-1)


def _padded(picture: Tensor, height: int, width: int) -> Tensor:
    below, right = height - picture.shape[-2], width - picture.shape[-1]
    return nn.functional.pad(picture, (0, right, 0, below))
