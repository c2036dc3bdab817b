import numpy as np
import pytest
import torch

from marl.learning.network import MASKED, QNetwork, StackedQNetworks, combine_heads


def make_network(seed: int, *, dueling: bool = True, num_levels: int = 3) -> QNetwork:
    torch.manual_seed(seed)
    network = QNetwork(4, num_levels, 5, (8, 6), dueling=dueling)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


def test_combine_heads__dueling_by_hand() -> None:
    # Advantages 1, 2, 6 (the fourth action is not valid), value 10: mean advantage 3.
    output = torch.tensor([[1.0, 2.0, 6.0, 99.0, 10.0]])
    mask = torch.tensor([True, True, True, False])

    values = combine_heads(output, mask, dueling=True)

    assert values.tolist() == [[8.0, 9.0, 13.0, MASKED]]


def test_combine_heads__without_dueling_ignores_the_value() -> None:
    output = torch.tensor([[1.0, 2.0, 6.0, 99.0, 10.0]])
    mask = torch.tensor([True, True, True, False])

    assert combine_heads(output, mask, dueling=False).tolist() == [[1.0, 2.0, 6.0, MASKED]]


@pytest.mark.parametrize("dueling", [True, False])
def test_q_network__untrained_takes_the_initial_level_whatever_it_sees(dueling: bool) -> None:
    network = QNetwork(4, 3, 5, (8,), dueling=dueling, initial_level=2, initial_bias=0.02)

    values = network(torch.randn(50, 4) * 5)

    assert (values.argmax(dim=-1) == 2).all()
    # All others are equal: only the bias tells the initial action from them.
    assert values[:, :2].unique().numel() == 1


def test_q_network__never_prefers_an_invalid_action() -> None:
    network = make_network(0)

    assert network(torch.randn(500, 4) * 10).argmax(dim=-1).max() == 2


@pytest.mark.parametrize("dueling", [True, False])
def test_q_network__ranks_actions_as_their_values_do(dueling: bool) -> None:
    network = make_network(3, dueling=dueling)
    features = torch.randn(500, 4)

    chosen = network.rank_actions(features).argmax(dim=-1)

    assert torch.equal(chosen, network(features).argmax(dim=-1))
    assert len(set(chosen.tolist())) > 1


@pytest.mark.parametrize("dueling", [True, False])
def test_stacked_q_networks__compute_what_the_networks_compute(dueling: bool) -> None:
    networks = [make_network(seed, dueling=dueling, num_levels=seed + 2) for seed in range(3)]
    features = torch.randn(3, 7, 4)
    expected = torch.stack([n(x) for n, x in zip(networks, features, strict=True)])

    stacked = StackedQNetworks(networks, trainable=True)

    torch.testing.assert_close(stacked.compute_q(features), expected)


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
