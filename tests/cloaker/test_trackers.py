"""Training on made faces: seeded, stopped by people held out, only what the recipe says changes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from audit.errors import UserError
from cloaker.networks.base import ARCFACE_112, EmbeddingNetwork
from cloaker.networks.graph import GraphNetwork, Node
from cloaker.trackers import recipe, training
from cloaker.trackers.attack import attacked
from cloaker.trackers.examples import Examples

PEOPLE, EACH = 10, 6


def faces(inverted: int = 0) -> Examples:
    """Return ten people who differ in 7 x 7 places; a cloak inverts `inverted` rows of them."""
    random = torch.Generator().manual_seed(3)
    means = torch.rand((PEOPLE, 3, 7, 7), generator=random) * 200 + 20
    owners = torch.arange(PEOPLE).repeat_interleave(EACH)
    small = means[owners] + 12 * torch.randn((len(owners), 3, 7, 7), generator=random)
    small[:, :, :inverted] = 240 - small[:, :, :inverted]
    crops = torch.nn.functional.interpolate(small, (112, 112)).clamp(0, 255).byte()
    sources = tuple(str(number) for number in range(len(owners)))
    return Examples(tuple(f"p{i}" for i in range(PEOPLE)), crops, owners, sources)


def train(
    network: EmbeddingNetwork, kind: str, *settings: str, cloaked: Examples | None = None
) -> training.Trained:
    chosen = recipe.resolve(kind, ("epochs=4", "learning_rate=0.003", *settings), seed=1)
    return training.train(network, faces(), cloaked, chosen)


def test_an_adaptive_tracker_learns_whom_cloaks_hide(network: EmbeddingNetwork) -> None:
    found = train(network, "adaptive", "epochs=8", "learning_rate=0.001", cloaked=faces(inverted=4))
    assert found.before.changed < 0.5
    assert found.after.changed > found.before.changed + 0.3
    assert found.after.clean >= 0.8
    assert 1 <= found.best_epoch <= found.epochs <= 8
    assert set(found.held_out) < set(found.people)
    assert len(found.held_out) == 2
    assert len(found.people) == PEOPLE


def test_the_same_seed_trains_the_same_and_the_network_itself_stays(
    network: EmbeddingNetwork,
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, again = train(network, "adaptive", "learning_rate=0.001", cloaked=faces(4)), train(
        network, "adaptive", "learning_rate=0.001", cloaked=faces(4)
    )  # fmt: skip
    assert training.to_bytes(first.weights) == training.to_bytes(again.weights)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert any(not torch.equal(before[name], value) for name, value in first.weights.items())


def test_fine_tuning_changes_the_last_stage_alone(network: EmbeddingNetwork) -> None:
    names = training.last_weights(network, 0.5)
    assert names == ["body.5.weight", "body.5.bias"]
    assert training.last_weights(network, 1.0) == network.weight_names()
    found = train(network, "fine-tuned", "patience=9")
    changed = {
        name
        for name, value in network.state_dict().items()
        if not torch.equal(value, found.weights[name])
    }
    assert changed in ({*names}, set())


def test_a_robust_tracker_withstands_more(network: EmbeddingNetwork) -> None:
    small = ("attack_steps=4", "attack_reach_px=4", "attack_step_px=2")
    found = train(network, "robust", "epochs=8", "learning_rate=0.001", *small)
    assert found.after.rank > found.before.rank
    assert found.after.changed > found.before.changed + 0.3


def test_an_attack_stays_within_reach_and_raises_the_loss(network: EmbeddingNetwork) -> None:
    chosen = recipe.resolve("robust", ("attack_steps=5",), seed=0)
    crops = faces().crops[:4].float()
    start = network(crops).detach()

    def loss(x: Tensor) -> Tensor:
        moved_by: Tensor = (network(x) - start).square().sum()
        return moved_by

    moved = attacked(crops, loss, chosen, torch.Generator().manual_seed(0))
    assert float((moved - crops).abs().max()) <= 8.0 + 1e-4
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 255
    noise = crops + 8 * (
        2 * torch.rand(crops.shape, generator=torch.Generator().manual_seed(0)) - 1
    )
    assert float(loss(moved)) > 2 * float(loss(noise.clamp(0, 255)))


def test_a_network_that_gets_worse_stays_as_it_was(network: EmbeddingNetwork) -> None:
    found = train(network, "fine-tuned", "learning_rate=50", "patience=2", "last_share=1")
    assert (found.best_epoch, found.after) == (0, found.before)
    assert found.epochs == 2
    assert all(torch.equal(found.weights[n], value) for n, value in network.state_dict().items())


def test_a_graph_of_operations_is_trained_like_layers() -> None:
    random = torch.Generator().manual_seed(0)
    last = torch.randn((8, 3 * 7 * 7), generator=random) / 1000
    graph = GraphNetwork(
        "graph",
        ARCFACE_112,
        nodes=[
            Node(
                "small", ("x",), lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 7).flatten(1)
            ),
            Node("scaled", ("small", "gain"), lambda x, gain: x * gain),
            Node("out", ("scaled", "kernel", "times"), lambda x, kernel, _: x @ kernel.T),
        ],
        constants={
            "kernel": last,
            "gain": torch.ones(147),
            "times": torch.tensor([3]),
            "unused": torch.ones(4),
        },
        source="x",
        result="out",
    )
    assert [graph.get_buffer(name).numel() for name in graph.weight_names()] == [147, 8 * 147]
    found = train(graph, "adaptive", cloaked=faces(4))
    assert found.after.rank >= found.before.rank
    assert found.best_epoch > 0
    kernel = graph.weight_names()[-1]
    assert not torch.equal(found.weights[kernel], last)


def test_cosines_to_calibrate_with_are_of_people_held_out(network: EmbeddingNetwork) -> None:
    found = train(network, "fine-tuned")
    genuine, impostor = training.held_out_cosines(network, found, faces())
    assert len(genuine) == 2 * EACH * (EACH - 1) // 2
    assert len(impostor) == 2 * EACH * (PEOPLE - 1) * EACH
    assert np.median(genuine) > np.median(impostor)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: recipe.resolve("clever", (), 0), "no tracker of kind 'clever'"),
        (lambda: recipe.resolve("robust", ("speed=3",), 0), "no parameter 'speed'"),
        (lambda: recipe.resolve("robust", ("epochs=many",), 0), "can't be read"),
        (lambda: recipe.resolve("robust", ("epochs=0",), 0), "epochs=0 can't be"),
        (lambda: recipe.resolve("adaptive", ("attack_steps=1",), 0), "no parameter 'attack_steps'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(change: Callable[[], Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        change()


def test_too_few_people_are_refused(network: EmbeddingNetwork) -> None:
    few: Sequence[int] = range(training.PEOPLE_MIN - 1)
    with pytest.raises(UserError, match="5 people have two photos"):
        training.train(
            network, faces().of(torch.tensor(few)), None, recipe.resolve("fine-tuned", (), 0)
        )
