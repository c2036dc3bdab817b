import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from marl.learning.dqn.network import (
    MASKED,
    QNetwork,
    SeparateQNetwork,
    StackedQNetworks,
    ValidActions,
    combine_heads,
)

OPTIONS = [{}, {"dueling": False}]


def make_network(seed: int, *, num_options: int = 3, **options: Any) -> QNetwork:
    torch.manual_seed(seed)
    network = QNetwork(4, num_options, 5, (8, 6), **options)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


def unpickle(network: QNetwork) -> QNetwork:
    """As Ray sends it."""
    found: QNetwork = pickle.loads(pickle.dumps(network))
    return found


def stack(network: QNetwork) -> QNetwork:
    """As the learner holds it."""
    StackedQNetworks([network, make_network(9)], trainable=False)
    return network


def test_combine_heads__dueling_by_hand() -> None:
    # Advantages 1, 2, 6 (the fourth action is not valid), value 10: mean advantage 3.
    output = torch.tensor([[1.0, 2.0, 6.0, 99.0, 10.0]])
    mask = torch.tensor([True, True, True, False])

    values = combine_heads(output, ValidActions.from_mask(mask), dueling=True)

    assert values.tolist() == [[8.0, 9.0, 13.0, MASKED]]


def test_combine_heads__without_dueling_ignores_the_value() -> None:
    output = torch.tensor([[1.0, 2.0, 6.0, 99.0, 10.0]])
    mask = torch.tensor([True, True, True, False])

    values = combine_heads(output, ValidActions.from_mask(mask), dueling=False)
    assert values.tolist() == [[1.0, 2.0, 6.0, MASKED]]


@pytest.mark.parametrize("options", OPTIONS)
def test_q_network__untrained_takes_the_initial_level_whatever_it_sees(
    options: dict[str, Any],
) -> None:
    network = QNetwork(4, 3, 5, (8,), initial_option=2, initial_bias=0.02, **options)

    values = network(torch.randn(50, 4) * 5)

    assert (values.argmax(dim=-1) == 2).all()
    # All others are equal: only the bias tells the initial action from them.
    assert values[:, :2].unique().numel() == 1


def test_q_network__parameters_keep_the_order_of_stored_checkpoints() -> None:
    names = [name for name, _ in make_network(0).named_parameters()]

    layers = ("layers.0", "layers.1", "head")
    assert names == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def test_q_network__never_prefers_an_invalid_action() -> None:
    network = make_network(0)

    assert network(torch.randn(500, 4) * 10).argmax(dim=-1).max() == 2


@pytest.mark.parametrize("options", OPTIONS)
def test_q_network__ranks_actions_as_their_values_do(options: dict[str, Any]) -> None:
    network = make_network(3, **options)
    features = torch.randn(500, 4)

    chosen = network.rank_actions(features).argmax(dim=-1)

    assert torch.equal(chosen, network(features).argmax(dim=-1))
    assert len(set(chosen.tolist())) > 1


@pytest.mark.parametrize("move", [copy.deepcopy, unpickle, stack])
def test_rank_actions__sees_the_parameters_that_forward_sees_wherever_they_lie(
    move: Callable[[QNetwork], QNetwork],
) -> None:
    network = move(make_network(3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    features = torch.randn(500, 4)

    chosen = network.rank_actions(features).argmax(dim=-1)

    assert torch.equal(chosen, network(features).argmax(dim=-1))
    assert len(set(chosen.tolist())) > 1


@pytest.mark.parametrize("options", OPTIONS)
def test_stacked_q_networks__compute_what_the_networks_compute(options: dict[str, Any]) -> None:
    networks = [make_network(seed, num_options=seed + 2, **options) for seed in range(3)]
    features = torch.randn(3, 7, 4)
    expected = torch.stack([n(x) for n, x in zip(networks, features, strict=True)])

    stacked = StackedQNetworks(networks, trainable=True)

    torch.testing.assert_close(stacked(features), expected)


def test_stacked_q_networks__share_memory_with_the_networks() -> None:
    networks = [make_network(seed) for seed in range(2)]
    stacked = StackedQNetworks(networks, trainable=True)

    with torch.no_grad():
        stacked.parameters["head.bias"][1] = 7.0
    networks[0].load_state_dict(make_network(5).state_dict())

    assert (networks[1].head.bias == 7.0).all()
    np.testing.assert_array_equal(
        stacked.parameters["head.weight"][0].detach(), make_network(5).head.weight.detach()
    )


@pytest.mark.parametrize("dueling", [True, False])
def test_separate__agents_without_sharing_are_networks_of_their_own(
    dueling: bool,
) -> None:
    shape: dict[str, Any] = {
        "num_features": 4, "num_options": 3, "max_options": 5, "hidden": (8, 6),
        "dueling": dueling,
    }  # fmt: skip
    together = SeparateQNetwork(3, **shape)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in together.parameters():
            parameter.normal_()
    features = torch.randn(3, 7, 2, 4)

    values, ranked = together(features), together.rank_actions(features)

    for agent in range(3):
        alone = QNetwork(**shape)
        alone.load_state_dict({n: p[agent] for n, p in together.state_dict().items()})
        torch.testing.assert_close(values[agent], alone(features[agent]))
        torch.testing.assert_close(ranked[agent], alone.rank_actions(features[agent]))
