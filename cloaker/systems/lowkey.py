"""LowKey (Cherepanova et al. 2021): as far from oneself as possible, and yet alike to the eye.

True to the release: sign steps from a random start; each network sees the photo plain and blurred,
each as it is and mirrored; the distance is to the plain clean face, its mean is over 512 numbers
(which LPIPS' weight depends on); half of LPIPS is that of the aligned crop, half that of the photo;
no budget, no clamp before the end; the change may be anywhere in the photo (`whole_photo`), and so
ends without a fade where the aligned crop ends: a square that can be seen, unless it is false.

`preset`: the paper has four networks, each once. The release loads four checkpoints into two
networks and so counts two of them twice: `released` looks through the first two that are given.
Their mean is the same counted once, in half of the time.

Different: pixels are rounded, not cut off; several faces are done at once, each for itself; the
change's grid is a little finer than the crop (`cloaker.region`), so that in large photos the blur
and the steps are coarser than a pixel; the best iterate is kept instead of the last; networks with
crops of their own take equal parts in LPIPS' half of the crop.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from audit.errors import UserError
from cloaker import lpips
from cloaker.attack import System
from cloaker.levels import Parameters
from cloaker.scene import Scene, View
from cloaker.systems.seeded_noise import noise

_BLUR_PX = 7
_BLUR_SIGMA_PX = 3.0
_DIMENSIONS = 512
_NETWORKS_MAX = {"released": 2, "paper": None}

Unlikeness = Callable[[Tensor], Tensor]


class LowKey(System):
    """Away from the clean embedding in every network, plain and blurred."""

    def __init__(self, scene: Scene, parameters: Parameters, seeds: Sequence[int]) -> None:
        super().__init__(scene, parameters, seeds)
        self._views = scene.views[: _networks_max(str(parameters["preset"]))]
        self._blur = _Blur(scene.parts(scene.clean), scene.clean)
        with torch.no_grad():
            self._own = [
                _embedded(view, scene.exact_crops(scene.clean, view.network.crop))
                for view in self._views
            ]
        self._lpips_weight = float(parameters["lpips_weight"])
        self._unlikeness = _unlikeness(scene, self._views) if self._lpips_weight else None
        self._length = 255 * float(parameters["learning_rate"])
        start = noise(scene, seeds) * (255 * float(parameters["start_noise"]))
        self._change = start.requires_grad_()

    def pictures(self) -> Tensor:
        """Return the clean faces with the masked change, which may leave 0..255."""
        return self.scene.clean + self.scene.mask * self._change

    def judge(self, pictures: Tensor) -> Tensor:
        """Return how unlike they look, minus the mean squared shift of the embeddings."""
        both = [pictures, self._blur(pictures)]
        shift = pictures.new_zeros(len(pictures))
        kinds = {view.network.crop for view in self._views}
        seen = {kind: [self.scene.crops(branch, kind) for branch in both] for kind in kinds}
        for view, own in zip(self._views, self._own, strict=True):
            for crops in seen[view.network.crop]:
                shift = shift + _Shift.apply(crops, view, own)
        judged = -shift / (len(both) * len(self._views))
        if self._unlikeness is None:
            return judged
        return judged + self._lpips_weight * self._unlikeness(pictures)

    def step(self, judged: Tensor, visibility: Tensor) -> None:
        """Move every pixel by the same length."""
        del visibility
        (gradient,) = torch.autograd.grad(judged.sum(), self._change)
        with torch.no_grad():
            self._change.sub_(gradient.sign(), alpha=self._length)


class _Shift(torch.autograd.Function):
    """How far N crops' embeddings are from given ones, with the gradient taken at once.

    So what a network keeps for its way back is gone before the next one looks: four networks need
    less than half of the memory.
    """

    @staticmethod
    def forward(ctx: Any, crops: Tensor, view: View, own: Tensor) -> Tensor:
        """Return the mean squared shift of each crop, N."""
        wanted = ctx.needs_input_grad[0]
        with torch.set_grad_enabled(wanted):
            seen = crops.detach().requires_grad_(wanted)
            shift = (_embedded(view, seen) - own).square().sum(dim=1) / _DIMENSIONS
            if wanted:
                ctx.save_for_backward(*torch.autograd.grad(shift.sum(), seen))
        return shift.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the crops."""
        (of_crops,) = ctx.saved_tensors
        return gradient[:, None, None, None] * of_crops, None, None


class _Blur:
    """A Gaussian blur of pictures that are padded at the right and the bottom.

    Both passes are products with a matrix, so that each picture is mirrored at its own border.
    """

    def __init__(self, parts: Sequence[Tensor], like: Tensor) -> None:
        height, width = like.shape[-2:]
        self._down = _blurring([part.shape[-2] for part in parts], height).to(like)
        self._across = _blurring([part.shape[-1] for part in parts], width).to(like)

    def __call__(self, pictures: Tensor) -> Tensor:
        return _along_rows(_along_rows(pictures, self._across).mT, self._down).mT


def _along_rows(pictures: Tensor, matrices: Tensor) -> Tensor:
    rows = pictures.flatten(1, 2)
    return (rows @ matrices).view(pictures.shape)


def _blurring(lengths: Sequence[int], padded: int) -> Tensor:
    """Return matrices N x padded x padded: a row times its picture's matrix is blurred."""
    place = torch.arange(_BLUR_PX) - _BLUR_PX // 2
    taps = torch.exp(-(place**2) / (2 * _BLUR_SIGMA_PX**2))
    matrices = torch.zeros(len(lengths), padded, padded)
    for matrix, length in zip(matrices, lengths, strict=True):
        pixels = nn.functional.pad(torch.eye(length)[None], (_BLUR_PX // 2,) * 2, mode="reflect")
        matrix[:length, :length] = pixels[0].unfold(1, _BLUR_PX, 1) @ (taps / taps.sum())
    return matrices


def _embedded(view: View, crops: Tensor) -> Tensor:
    """Return the unit embeddings of crops, mirror images added."""
    plain, mirrored = view.network(torch.cat([crops, crops.flip(-1)])).chunk(2)
    return nn.functional.normalize(plain + mirrored, dim=1)


def _unlikeness(scene: Scene, views: Sequence[View]) -> Unlikeness:
    """Return what gives pictures' LPIPS to the clean ones: half of it the crops', half the photo's."""
    network = lpips.load(scene.clean.device)
    sizes = [(part.shape[-2], part.shape[-1]) for part in scene.parts(scene.clean)]
    photo = lpips.Lpips(network, scene.clean, sizes)
    crops = list(dict.fromkeys(view.network.crop for view in views))
    at_crops = [lpips.Lpips(network, scene.exact_crops(scene.clean, crop)) for crop in crops]

    def unlikeness(pictures: Tensor) -> Tensor:
        pairs = zip(at_crops, crops, strict=True)
        seen = [at_crop(scene.exact_crops(pictures, crop)) for at_crop, crop in pairs]
        return photo(pictures) / 2 + torch.stack(seen).mean(dim=0) / 2

    return unlikeness


def _networks_max(preset: str) -> int | None:
    if preset not in _NETWORKS_MAX:
        raise UserError(
            f"LowKey has no preset {preset!r}",
            expected=f"one of {', '.join(_NETWORKS_MAX)}",
            remedy="set one of these: --set preset=paper",
        )
    return _NETWORKS_MAX[preset]
