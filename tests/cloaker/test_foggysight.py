import pytest
import torch
from torch import Tensor, nn
from toy import run, scene_of, smooth_faces, vectors

from audit.errors import UserError
from cloaker.attack import Best, Person
from cloaker.levels import Parameters, resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.scene import Scene
from cloaker.systems.foggysight import FoggySight

PLAIN = ("start=0", "noise=0", "brightness=0", "jitter=0")


@pytest.fixture(scope="module")
def clean() -> Tensor:
    return smooth_faces(4)


def _row(level: str, *settings: str) -> Parameters:
    return resolve("foggysight", level, settings)


def _goal(network: EmbeddingNetwork) -> Tensor:
    """Return the mean embedding of somebody else, 1 x D."""
    mean: Tensor = network(smooth_faces(3, seed=11)).mean(dim=0, keepdim=True)
    return mean


def _scene(network: EmbeddingNetwork, clean: Tensor) -> Scene:
    return scene_of(clean, [(network, [_goal(network)] * len(clean))])


def _cloak(network: EmbeddingNetwork, clean: Tensor, row: Parameters, *seeds: int) -> Best:
    return run(FoggySight, row, _scene(network, clean), seeds or None)


def _distance(network: EmbeddingNetwork, pictures: Tensor) -> Tensor:
    return 1 - nn.functional.cosine_similarity(network(pictures), _goal(network), dim=1)


def test_high_has_the_numbers_of_the_release() -> None:
    row = _row("high")
    released = {
        "epsilon": 0.5,
        "steps": 2000,
        "learning_rate": 0.01,
        "start": 3.0,
        "noise": 0.75,
        "brightness": 0.5,
        "jitter": 0.0625,
        "penalty": 1e-6,
    }
    assert {key: row[key] for key in released} == released


def test_steps_are_adams_within_the_bound(network: EmbeddingNetwork, clean: Tensor) -> None:
    # A large penalty and steps that hit the bound, so that both are seen.
    row = _row("high", *PLAIN, "penalty=1e-4", "learning_rate=0.2")
    scene = _scene(network, clean)
    system = FoggySight(scene, row, range(4))
    unit = clean.flatten(1).std(dim=1, correction=0)[:, None, None, None]
    change = torch.zeros_like(clean, requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=0.2)
    for _ in range(4):
        pictures = system.pictures()
        system.step(system.judge(pictures), scene.visibility(pictures))

        by_hand = (clean + scene.mask * unit * change).clamp(0, 255)
        loss = _distance(network, by_hand).sum() + 1e-4 / 2 * change.square().sum()
        (change.grad,) = torch.autograd.grad(loss, change)
        optimiser.step()
        change.data.clamp_(-0.5, 0.5)
    expected = (clean + scene.mask * unit * change).clamp(0, 255)
    assert change.abs().max() == 0.5
    # Adam divides by the gradient's size: where it is nearly nothing rounding decides.
    assert ((system.pictures() - expected).abs() < 0.01).float().mean() > 0.999


def test_no_pixel_changes_by_more_than_epsilon_times_the_standard_deviation(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    best = _cloak(network, clean, _row("mid", "steps=3", "start=3"))
    bound = 0.25 * clean.flatten(1).std(dim=1, correction=0)
    largest = (best.pictures - clean).abs().amax(dim=(1, 2, 3))
    assert (largest <= bound + 1e-3).all()
    assert (largest > 0.99 * bound).all()


@pytest.mark.parametrize("settings", [(), ("start=3",)])
def test_decoys_come_nearer_to_the_person(
    settings: tuple[str, ...], network: EmbeddingNetwork, clean: Tensor
) -> None:
    row = _row("mid", "steps=25", "learning_rate=0.03", *settings)
    before = _distance(network, clean)
    after = _distance(network, _cloak(network, clean, row).pictures)
    assert after.mean() < 0.9 * before.mean()


def test_what_a_network_sees_is_within_the_bound_of_the_clean_face(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    system = FoggySight(_scene(network, clean), _row("low", "jitter=0"), range(4))
    (view,) = system.scene.views
    seen = system.transformed(view, system.pictures(), clean)
    change = (seen - clean).abs().flatten(1)
    bound = 0.12 * clean.flatten(1).std(dim=1, correction=0)
    assert (change.amax(dim=1) <= bound + 1e-2).all()
    # Noise six times as strong as the bound takes nearly every pixel to it.
    assert ((change > 0.99 * bound[:, None]).float().mean(dim=1) > 0.7).all()


def test_noise_and_brightness_have_their_size(network: EmbeddingNetwork, clean: Tensor) -> None:
    settings = ("start=0", "jitter=0", "epsilon=100", "brightness=0")
    scene = _scene(network, clean)
    noisy = FoggySight(scene, _row("high", *settings), range(4))
    unit = clean.flatten(1).std(dim=1, correction=0)
    change = (noisy.transformed(scene.views[0], clean, clean) - clean).flatten(1) / unit[:, None]
    assert change.std(dim=1).tolist() == pytest.approx([0.75] * 4, rel=0.02)
    assert change.mean(dim=1).tolist() == pytest.approx([0] * 4, abs=0.02)

    settings = ("start=0", "jitter=0", "epsilon=100", "noise=0")
    brighter = FoggySight(scene, _row("high", *settings), range(4))
    lifts = (brighter.transformed(scene.views[0], clean, clean) - clean).flatten(1) / unit[:, None]
    assert lifts.std(dim=1).max() < 1e-4
    assert 0 < lifts.abs().max() <= 0.5
    assert len({round(lift, 3) for lift in lifts.mean(dim=1).tolist()}) == 4


def test_a_crop_loses_its_share_of_the_sides(network: EmbeddingNetwork) -> None:
    ramp = torch.arange(112.0)[None, None, None].expand(1, 3, 112, 112).round()
    row = _row("high", "start=0", "noise=0", "brightness=0", "jitter=0.125")
    scene = _scene(network, ramp)
    system = FoggySight(scene, row, [3])
    lefts = []
    for _ in range(20):
        seen = system.transformed(scene.views[0], ramp, ramp)[0, 0, 50]
        assert (seen[100] - seen[10]).item() == pytest.approx(90 * 0.875, abs=0.01)
        lefts.append(seen[10].item() - 10 * 0.875)
    assert min(lefts) > -0.5
    assert max(lefts) < 14.5
    assert max(lefts) - min(lefts) > 7


def test_seeds_draw_the_start(network: EmbeddingNetwork, clean: Tensor) -> None:
    faces = clean[[0, 0, 0]]
    first, other, same = FoggySight(_scene(network, faces), _row("high"), [1, 2, 1]).pictures()
    assert first.equal(same)
    assert not first.equal(other)


def test_black_white_and_flat_faces_stay_finite(network: EmbeddingNetwork) -> None:
    faces = torch.zeros(2, 3, 112, 112)
    faces[0, ..., 56:] = 255
    best = _cloak(network, faces, _row("high", "steps=3"))
    assert best.pictures.isfinite().all()
    assert best.pictures[1].equal(faces[1])


def _person(*, together: bool, **candidates: Tensor) -> Person:
    own = torch.zeros(8, 2)
    everyone = {name: (faces, 2 * faces) for name, faces in candidates.items()}
    return Person((own, own), everyone, together=together, seed=0, seeds=tuple(range(8)))


def test_the_goal_is_the_persons_mean_for_each_network() -> None:
    person = _person(together=True, alice=torch.tensor([[0.0, 2.0], [4.0, 2.0]]))
    goals = FoggySight.goals(person, _row("high"))
    assert [goal.target for goal in goals] == ["alice"] * 8
    assert vectors(goals, 0)[0].tolist() == [[2, 2]]
    assert vectors(goals, 1)[0].tolist() == [[4, 4]]


def test_of_several_people_all_photos_protect_one_or_each_its_own() -> None:
    people = {name: torch.ones(1, 2) for name in ("alice", "bob", "carol")}
    one = FoggySight.goals(_person(together=True, **people), _row("high"))
    each = FoggySight.goals(_person(together=False, **people), _row("high"))
    assert len({goal.target for goal in one}) == 1
    assert {goal.target for goal in each} == set(people)


def test_nobody_to_protect_is_refused() -> None:
    with pytest.raises(UserError, match="nobody to cloak towards"):
        FoggySight.goals(_person(together=True), _row("high"))
