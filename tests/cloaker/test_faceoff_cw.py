import pytest
import torch
from torch import Tensor
from toy import run, scene_of, smooth_faces

from cloaker.levels import Parameters, resolve
from cloaker.networks.base import EmbeddingNetwork
from cloaker.scene import Scene
from cloaker.systems.faceoff_cw import CarliniWagner, CarliniWagnerL2, CarliniWagnerLinf

COUNT = 4
ALWAYS, NEVER = -1.1, 1.1
"""Margins that every embedding has, and that none can have."""


@pytest.fixture(scope="module")
def clean() -> Tensor:
    return smooth_faces(COUNT)


def _row(*settings: str) -> Parameters:
    fixed = [
        "wobble_px=0",
        "random_start=0",
        "kappa=0.4",
        "learning_rate=0.01",
        "initial_const=0.3",
    ]
    return resolve("faceoff", "high", [*fixed, *settings])


def _scene(network: EmbeddingNetwork, clean: Tensor) -> Scene:
    # Not from the person's mean itself: away from it, any way is as good as any other.
    own = network(clean)
    return scene_of(clean, [(network, [torch.stack([-one, one + 0.3]) for one in own])])


def _step(system: CarliniWagner) -> Tensor:
    pictures = system.pictures()
    judged = system.judge(pictures)
    system.step(judged, system.scene.visibility(pictures))
    return pictures.detach()


def _by_hand(scene: Scene, const: float, tau: float | None, steps: int) -> Tensor:
    """Go down const x hinge + size in tanh space, one face at a time, by Adam as defined."""
    (view,) = scene.views
    moved = []
    for face, mask, (target, source) in zip(scene.clean, scene.mask, view.goals, strict=True):
        base = torch.atanh((face / 127.5 - 1) * (1 - 5e-7))
        variable, first, second = (torch.zeros_like(face) for _ in range(3))

        def shown(
            w: Tensor, base: Tensor = base, face: Tensor = face, mask: Tensor = mask
        ) -> Tensor:
            return face + mask * (torch.tanh(base + w) - torch.tanh(base)) * 127.5 / (1 - 5e-7)

        for t in range(1, steps + 1):
            variable.requires_grad_()
            picture = shown(variable)
            seen = view.network(picture[None])[0]
            gap = (target - seen).norm() - (source - seen).norm()
            hinge = (gap / (target - source).norm() + 0.9).clamp(min=0)
            change = (picture - face) / 255
            size = change.norm() if tau is None else (change.abs() - tau).clamp(min=0).sum()
            (slope,) = torch.autograd.grad(const * hinge + size, variable)
            first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
            ahead, power = first / (1 - 0.9**t), second / (1 - 0.999**t)
            variable = variable.detach() - 0.01 * ahead / (power.sqrt() + 1e-8)
        moved.append(shown(variable))
    return torch.stack(moved)


@pytest.mark.parametrize(("attack", "tau"), [(CarliniWagnerL2, None), (CarliniWagnerLinf, 0.02)])
def test_steps_agree_with_the_formula(
    network: EmbeddingNetwork, clean: Tensor, attack: type[CarliniWagner], tau: float | None
) -> None:
    scene = _scene(network, clean)
    system = attack(scene, _row("kappa=0.9", "initial_const=30", "steps=50"), range(COUNT))
    if tau is not None:
        system.rows["tau"] = torch.full((COUNT,), tau)
    for _ in range(6):
        _step(system)
    by_hand = _by_hand(scene, 30, tau, 6)
    assert (by_hand - clean).abs().amax() > 4
    assert (system.pictures() - by_hand).abs().mean() < 1e-3


@pytest.mark.parametrize(
    ("kappa", "consts"),
    [(NEVER, [0.3, 3, 30, 300]), (ALWAYS, [0.3, 0.15, 0.075, 0.0375])],
)
def test_the_constant_grows_tenfold_until_it_works_and_halves_when_it_does(
    network: EmbeddingNetwork, clean: Tensor, kappa: float, consts: list[float]
) -> None:
    row = _row(f"kappa={kappa}", "steps=12", "searches=4")
    system = CarliniWagnerL2(_scene(network, clean), row, range(COUNT))
    seen = []
    for _ in range(4):
        seen.append(system.rows["const"].tolist())
        for _ in range(3):
            _step(system)
    assert [constants[0] for constants in seen] == pytest.approx(consts)
    assert all(len(set(constants)) == 1 for constants in seen)


def test_each_face_searches_for_its_own_constant(network: EmbeddingNetwork, clean: Tensor) -> None:
    own = network(clean)
    goals = [torch.stack([-one, one]) for one in own]
    goals[1] = goals[1].flip(0)  # has its margin from the start
    scene = scene_of(clean, [(network, goals)])
    row = _row("kappa=0.95", "steps=6", "searches=3")
    system = CarliniWagnerL2(scene, row, range(COUNT))
    for _ in range(6):
        _step(system)
    assert system.rows["const"].tolist() == pytest.approx([30, 0.075, 30, 30])


def test_a_failure_after_a_success_goes_halfway(network: EmbeddingNetwork, clean: Tensor) -> None:
    row = _row("steps=4", "searches=4")
    system = CarliniWagnerL2(_scene(network, clean[:1]), row, [0])
    seen = []
    for works in (False, True, False, True):
        seen.append(system.rows["const"].item())
        system.parameters = {**row, "kappa": ALWAYS if works else NEVER}
        _step(system)
    assert seen == pytest.approx([0.3, 3, 1.65, 2.325])


def test_each_round_begins_anew(network: EmbeddingNetwork, clean: Tensor) -> None:
    row = _row("random_start=1", "steps=6", "searches=2", f"kappa={NEVER}")
    system = CarliniWagnerL2(_scene(network, clean), row, range(COUNT))
    rounds = [[_step(system) for _ in range(3)] for _ in range(2)]
    assert torch.equal(rounds[0][0], rounds[1][0])
    assert (rounds[0][0] - clean).abs().amax() > 5
    assert not torch.equal(rounds[0][2], rounds[1][2])
    assert not torch.equal(system.pictures(), rounds[0][0])  # the last iterate is judged too


@pytest.mark.parametrize("attack", [CarliniWagnerL2, CarliniWagnerLinf])
def test_the_best_is_the_smallest_that_has_the_margin(
    network: EmbeddingNetwork, clean: Tensor, attack: type[CarliniWagner]
) -> None:
    row = _row("learning_rate=0.05", "initial_const=60", "steps=24", "searches=2")
    scene = _scene(network, clean)
    system = attack(scene, row, range(COUNT))
    seen = [_step(system) for _ in range(24)]
    best = run(attack, row, _scene(network, clean))
    (view,) = scene.views
    for face in range(COUNT):
        target, source = view.goals[face]
        sizes = []
        for pictures in (*seen, system.pictures().detach()):
            embedding = view.network(pictures[face : face + 1])[0]
            gap = (target - embedding).norm() - (source - embedding).norm()
            if gap / (target - source).norm() <= -0.4:
                change = (pictures[face] - clean[face]) / 255
                l2 = attack is CarliniWagnerL2
                sizes.append(float(change.square().mean().sqrt() if l2 else change.abs().max()))
        assert 0 < len(sizes) < 24
        assert best.judged[face].item() == pytest.approx(min(sizes), rel=1e-3)


def test_without_the_margin_the_nearest_to_it_is_best(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    best = run(
        CarliniWagnerL2, _row(f"kappa={NEVER}", "steps=9", "searches=3"), _scene(network, clean)
    )
    assert (best.judged > 1).all()
    assert (best.judged < 1 + 1 + NEVER).all()
    assert not torch.equal(best.pictures, clean)


def test_taus_halve_while_the_margin_is_kept(network: EmbeddingNetwork, clean: Tensor) -> None:
    row = _row(f"kappa={ALWAYS}", "random_start=1", "steps=9", "searches=9")
    system = CarliniWagnerLinf(_scene(network, clean), row, range(COUNT))
    first = ((system.pictures() - clean) / 255).abs().amax(dim=(1, 2, 3))
    _step(system)
    assert torch.allclose(system.rows["tau"], first / 2)
    assert system.rows["const"].tolist() == pytest.approx([0.3] * COUNT)


def test_constants_grow_fourfold_until_a_face_is_given_up(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    row = _row(f"kappa={NEVER}", "steps=20", "searches=10")
    system = CarliniWagnerLinf(_scene(network, clean), row, range(COUNT))
    consts = []
    while not system.finished().any():
        consts.append(system.rows["const"][0].item())
        _step(system)
        _step(system)
    assert consts == pytest.approx([0.3, 1.2, 4.8, 19.2])
    best = run(CarliniWagnerLinf, row, _scene(network, clean))
    assert best.steps.tolist() == [8] * COUNT


def test_a_face_with_a_tau_under_a_level_is_finished(
    network: EmbeddingNetwork, clean: Tensor
) -> None:
    system = CarliniWagnerLinf(_scene(network, clean), _row("steps=20"), range(COUNT))
    system.rows["tau"][2] = 0.003
    assert system.finished().tolist() == [False, False, True, False]


@pytest.mark.parametrize("attack", [CarliniWagnerL2, CarliniWagnerLinf])
def test_black_and_white_pixels_stay_finite(
    network: EmbeddingNetwork, attack: type[CarliniWagner]
) -> None:
    faces = torch.zeros(1, 3, 112, 112)
    faces[..., 56:] = 255
    best = run(attack, _row("steps=12", "searches=2"), _scene(network, faces))
    assert best.pictures.isfinite().all()
    assert best.pictures.min() >= 0
    assert best.pictures.max() <= 255
