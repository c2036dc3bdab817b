from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.branches.branching import record_episodes
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.types import State
from envs.omnichannel.world.draws import make_seeds
from marl.config import Learner, Orders
from marl.learning.branched.order_branches import BranchMaker
from marl.learning.branched.order_network import OrderNetwork
from marl.learning.branched.order_policy import ExploringOrders, OrderPolicy
from marl.learning.branched.orders import make_network_arguments
from marl.policies.order_groups import (
    Group,
    make_groups,
    make_targets,
)


def make_state(scenario: str, on_hand: list[int], in_transit: list[list[int]]) -> State:
    """One copy with one SKU: (N,) and (L, N) units."""
    env = BatchedEnv(load_scenario(scenario), 1)
    env.reset(make_seeds("test", 0, 1))
    return replace(
        env.state,
        on_hand=np.array(on_hand)[None, :, None],
        in_transit=np.array(in_transit)[None, :, :, None],
    )


def make_policy(scenario: str) -> OrderPolicy:
    groups = make_groups(load_scenario(scenario), Orders().largest_order)
    arguments = make_network_arguments(groups, Learner(hidden=(8,), initial_bias=1.0))
    torch.manual_seed(0)
    return OrderPolicy(groups, {name: OrderNetwork(**a) for name, a in arguments.items()})


def test_observe__one_location_sees_its_stock_and_pipeline() -> None:
    groups = make_groups(load_scenario("lost_sales"), Orders().largest_order)
    assert list(groups) == ["store_order"]
    assert groups["store_order"].num_options == 11  # 0 to 2 days of 5 units
    state = make_state("lost_sales", [0, 7], [[0, 4], [0, 0]])
    np.testing.assert_array_equal(groups["store_order"].observe(state), [[[7, 4]]])


def test_observe__a_network_sees_others_in_descending_order() -> None:
    groups: dict[str, Group] = make_groups(load_scenario("owmr"), Orders().largest_order)
    state = make_state("owmr", [20, 3, 6, 1], [[9, 0, 0, 4], [0, 0, 0, 0]])
    np.testing.assert_array_equal(groups["dc_order"].observe(state), [[[20, 9, 6, 5, 3]]])
    # Own stock, the warehouse's and its open order, the others' positions.
    expected = [[3, 20, 9, 6, 5], [6, 20, 9, 5, 3], [1, 20, 9, 6, 3]]
    np.testing.assert_array_equal(groups["store_order"].observe(state)[0], expected)
    for group in groups.values():
        assert group.observe(state).shape[-1] == len(group.most)


def test_make_targets__a_dc_without_lead_time_orders_what_is_asked_for() -> None:
    stores = np.array([[2, 3]])
    assert make_targets({"store_order": stores}).supplier_gap.tolist() == [[[5.0]]]
    both = make_targets({"store_order": stores, "dc_order": np.array([[4]])})
    assert both.supplier_gap.tolist() == [[[4.0]]]
    assert both.shipment_gap.tolist() == [[[2.0], [3.0]]]


def test_encode__tells_numbers_apart_up_to_the_most() -> None:
    network = OrderNetwork([2, 3], num_options=4, hidden=[8])
    features = network.encode(torch.tensor([[1.0, 5.0]]))
    np.testing.assert_allclose(features, [[1, 0, 1, 1, 1, 0.5, 5 / 3]])


def test_choose__an_untrained_agent_orders_the_mean_demand() -> None:
    state = make_state("owmr", [20, 3, 6, 1], [[9, 0, 0, 4], [0, 0, 0, 0]])
    chosen = make_policy("owmr").choose(state)
    np.testing.assert_array_equal(chosen["dc_order"], [[9]])
    np.testing.assert_array_equal(chosen["store_order"], [[3, 3, 3]])


def test_make__costs_of_one_location_are_those_that_the_order_changes() -> None:
    """Lead time 2: the order is there in the second period after; 1 a unit held, 4 a lost one."""
    scenario, policy = load_scenario("lost_sales"), make_policy("lost_sales")
    env, rng = BatchedEnv(scenario, 3), np.random.default_rng(0)
    recording = record_episodes(
        env, ExploringOrders(policy, np.full(3, 0.5), rng), make_seeds("train", 0, 3)
    )
    labels = BranchMaker(env, policy, n_step=1, gamma=0.9).make(recording, "store_order", 500, rng)
    demand = recording.demand.units[:, 0, 0, 0]
    found = 0
    for now, returns in zip(labels.features, labels.savings, strict=True):
        on_hand, due = now[0]
        # Which period it was is not told, so any recorded one with the same stock may be it.
        same = np.flatnonzero(
            (recording.states.on_hand[:, 1, 0] == on_hand)
            & (recording.states.in_transit[:, 0, 1, 0] == due)
        )
        same = same[same < recording.num_entries - 9]
        candidates = []
        for entry in same:
            d0, d1, d2 = demand[entry], demand[entry + 3], demand[entry + 6]
            left = max(max(on_hand - d0, 0) + due - d1, 0) + np.arange(11) - d2
            candidates.append(-np.where(left > 0, left, -4 * left) / 10)
        found += any(np.allclose(c, returns, atol=1e-5) for c in candidates)
        # The next state: what is left of the stock and what came in; the order is under way.
        assert (now[1:, 1] == np.arange(11)).all()
        assert (now[1:, 0] == now[1, 0]).all()
    assert found == 500


def test_make__days_until_the_arrival_are_averaged_over() -> None:
    """Lead time 2: two days of demand that no decision can change any more."""
    scenario, policy = load_scenario("lost_sales"), make_policy("lost_sales")
    env, rng = BatchedEnv(scenario, 2), np.random.default_rng(0)
    recording = record_episodes(env, policy, make_seeds("train", 0, 2))
    maker = BranchMaker(env, policy, n_step=1, gamma=0.9, futures=4000)
    labels = maker.make(recording, "store_order", 3, rng)
    demand = recording.demand.units[:, 0, 0, 0]
    first, second = np.meshgrid(demand, demand)
    for now, returns in zip(labels.features, labels.savings, strict=True):
        on_hand = now[1, 0]  # before the first of the two days; the order is due after it
        for order in range(11):
            left = np.maximum(on_hand - first, 0) + order - second
            costs = np.where(left > 0, left, -4 * left) / 10
            assert returns[order] == pytest.approx(-costs.mean(), abs=5 * costs.std() / 4000**0.5)
        assert (now[1:, 0] == on_hand).all()
    # All orders share the draws, so a unit more costs between 1 more and 4 less.
    steps = np.diff(labels.savings, axis=1)
    assert steps.min() >= -0.1 - 1e-5
    assert steps.max() <= 0.4 + 1e-5


def test_make__a_network_counts_everybodys_costs_from_now_on() -> None:
    scenario, policy = load_scenario("owmr"), make_policy("owmr")
    env, rng = BatchedEnv(scenario, 2), np.random.default_rng(0)
    recording = record_episodes(
        env, ExploringOrders(policy, np.zeros(2), rng), make_seeds("train", 0, 2)
    )
    labels = BranchMaker(env, policy, n_step=4, gamma=1.0).make(recording, "dc_order", 64, rng)
    # Without exploration a branch with the policy's own order, 9, is what happened.
    env.reset(make_seeds("train", 0, 2))
    costs = [policy.run_period(env).costs for _ in range(100)]
    total = np.array([sum(money.sum(axis=(1, 2)) for money in c.values()) for c in costs])  # (T, B)
    windows = np.array([-total[t : t + 4].sum(axis=0) / 9 for t in range(96)]).ravel()
    for returns in labels.savings:
        assert np.abs(windows - returns[9]).min() < 1e-4


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ("paper", "method: orders is for one of skus; scenario paper has 4"),
        ("retail", "method: orders is for one of skus; scenario retail has 30"),
    ],
)
def test_make_groups__refuses_in_one_line(scenario: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        make_groups(load_scenario(scenario), Orders().largest_order)
    assert str(error.value) == message
