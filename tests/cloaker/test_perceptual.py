import numpy as np
import pytest
import torch
from pytorch_msssim import ssim

from cloaker.perceptual import Dssim, dssim


def _noisy(seed: int, strength: float, size: tuple[int, int] = (40, 31)) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    clean = rng.uniform(0, 255, (3, 3, *size))
    noisy = np.clip(clean + rng.normal(0, strength, clean.shape), 0, 255)
    return [torch.tensor(pictures, dtype=torch.float32) for pictures in (clean, noisy)]


@pytest.mark.parametrize("strength", [0.5, 5, 60])
def test_agrees_with_a_published_implementation(strength: float) -> None:
    clean, noisy = _noisy(1, strength)
    reference = ssim(noisy, clean, data_range=255, win_size=11, win_sigma=1.5, size_average=False)
    assert torch.allclose(dssim(noisy, clean), (1 - reference) / 2, atol=1e-5)


def test_gradient_agrees_too() -> None:
    clean, noisy = _noisy(2, 10)
    noisy.requires_grad_()
    (ours,) = torch.autograd.grad(dssim(noisy, clean).sum(), noisy)
    reference = ssim(noisy, clean, data_range=255, size_average=False)
    (theirs,) = torch.autograd.grad(((1 - reference) / 2).sum(), noisy)
    assert (ours - theirs).norm() < 1e-4 * theirs.norm()


def test_gradient_is_that_of_finite_differences_beside_padding() -> None:
    clean, noisy = (pictures[:2].double() for pictures in _noisy(6, 10, (17, 15)))
    at = Dssim(clean, [(17, 15), (13, 12)])
    noisy.requires_grad_()
    assert torch.autograd.gradcheck(at, noisy, eps=1e-4, atol=1e-10, rtol=1e-5)


def test_only_pictures_that_are_asked_for_have_a_gradient() -> None:
    clean, noisy = _noisy(7, 10)
    noisy.requires_grad_()
    at = Dssim(clean)
    (every,) = torch.autograd.grad(at(noisy).sum(), noisy)
    (second,) = torch.autograd.grad(at(noisy)[1], noisy)
    (nobody,) = torch.autograd.grad(0 * at(noisy).sum(), noisy)
    assert torch.equal(second[1], every[1])
    assert not second[[0, 2]].any()
    assert not nobody.any()


def test_equal_pictures_have_none() -> None:
    clean, _ = _noisy(3, 0)
    assert dssim(clean, clean).abs().max() < 1e-6


def test_two_flat_pictures_differ_by_luminance_alone() -> None:
    black, white = torch.zeros(1, 3, 20, 20), torch.full((1, 3, 20, 20), 255.0)
    c1 = (0.01 * 255) ** 2
    assert dssim(black, white).item() == pytest.approx((1 - c1 / (255**2 + c1)) / 2, abs=1e-6)


def test_each_picture_has_its_own_value() -> None:
    clean, noisy = _noisy(4, 20)
    together = Dssim(clean)(noisy)
    alone = torch.cat([dssim(noisy[i : i + 1], clean[i : i + 1]) for i in range(3)])
    assert together.shape == (3,)
    assert torch.allclose(together, alone, atol=1e-6)


@pytest.mark.parametrize("windows", [1, 31, 100, 10**6])
def test_strips_of_a_picture_give_what_the_whole_gives(
    windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, noisy = (pictures.round().to(torch.uint8) for pictures in _noisy(5, 20, (37, 31)))
    monkeypatch.setattr("cloaker.perceptual._STRIP_WINDOWS", windows)
    whole = Dssim(clean.float())(noisy.float())
    assert torch.allclose(dssim(noisy, clean), whole, atol=1e-6)


def test_pictures_below_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="11 x 11"):
        Dssim(torch.zeros(1, 3, 10, 40))
