"""Channels and DCs as the agents, the metrics and the policies see them."""

from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.agents.positions import (
    compute_store_rate,
    compute_system_rate,
    count_online_waiting,
    count_positions,
)
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import sum_channels
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.policies import make_policy


def make_env(scenario: Scenario, copies: int = 3) -> BatchedEnv:
    env = BatchedEnv(scenario, copies)
    env.reset(make_seeds("test", 0, copies))
    return env


def test_channels__pickup_exists_only_where_it_is_sold(tiny: Scenario) -> None:
    pickup = load_scenario("pickup")
    assert tiny.channels == ("store", "online")
    assert pickup.channels == ("store", "online", "pickup")
    assert make_env(tiny).view.forecast.shape == (3, 2, 2, 2)
    assert make_env(pickup).view.forecast.shape == (3, 3, 3, 3)
    # The flagship, size 1.6: 6 walk-ins, 4 online orders, 3 pickups of shoes.
    np.testing.assert_allclose(Simulator(pickup).demand.mean[0, 0], [9.6, 6.4, 4.8])


def test_channels__an_episode_reports_each_channel() -> None:
    scenario = load_scenario("pickup")
    env = make_env(scenario)
    policy, by_channel = make_policy("before", scenario), np.zeros((2, 3, 3))
    for _ in range(20):
        flows = policy.run_period(env).flows
        by_channel += [x.sum(axis=(1, 2)) for x in (flows.served, flows.demand)]
        np.testing.assert_array_equal(sum_channels(flows.demand), flows.demand.sum(axis=-1))
    metrics = env.compute_metrics()
    for c, channel in enumerate(scenario.channels):
        share = by_channel[0, :, c] / by_channel[1, :, c]
        np.testing.assert_allclose(metrics[f"served/{channel}"], share)
    total = by_channel.sum(axis=-1)
    np.testing.assert_allclose(metrics["served"], total[0] / total[1])


def test_compute_store_rate__counts_pickups_as_the_stores() -> None:
    view = make_env(load_scenario("pickup")).view
    rate = compute_store_rate(view, np.full((3, 3, 3), 0.25))
    forecast = view.forecast
    expected = forecast[..., 0] + 0.25 * forecast[..., 1] + forecast[..., 2]
    np.testing.assert_allclose(rate, expected)


def test_positions__a_store_owes_its_walk_ins_and_the_echelon_everything(tiny: Scenario) -> None:
    """Patience 3: three slots of online orders, then one of walk-ins."""
    rules = tiny.fulfillment.model_copy(update={"store_unmet": "backorder"})
    simulator = Simulator(tiny.model_copy(update={"fulfillment": rules}))
    state = simulator.make_state(make_seeds("test", 0, 1))
    backorders = state.backorders.copy()
    backorders[0, :, 0, 0] = [1, 2, 3, 10]
    state = replace(state, backorders=backorders)
    positions = count_positions(state, simulator.network)
    assert positions.store[0].tolist() == [[8, 10], [9, 5]]
    assert count_online_waiting(state, simulator.network)[0].tolist() == [[6, 0], [0, 0]]
    assert positions.echelon[0, 0].tolist() == [68 + 8 + 9 - 6, 38 + 15]


def test_two_dcs__each_supplies_and_is_charged_for_its_own_stores() -> None:
    scenario = load_scenario("two_dcs")
    env = make_env(scenario)
    policy = make_policy("forecast_order_up_to", scenario)
    net = env.network
    assert [m.tolist() for m in net.members] == [[0, 1, 2], [3, 4, 5]]
    forecast = env.view.forecast.sum(axis=-1)
    np.testing.assert_allclose(
        compute_system_rate(env.view, net),
        np.stack([forecast[:, :3].sum(axis=1), forecast[:, 3:].sum(axis=1)], axis=1),
    )
    for _ in range(30):
        before = env.view.on_hand[:, :2]
        flows = policy.run_period(env).flows
        shipped, online = flows.shipped, flows.online_from_dc
        for w, stores in enumerate(net.members):
            left = before[:, w] - shipped[:, stores].sum(axis=1) - online[:, stores].sum(axis=1)
            np.testing.assert_array_equal(flows.on_hand[:, w], left)
        assert (flows.supplied.sum(axis=-1) <= [200, 150]).all()
        assert (shipped[:, :3].sum(axis=(1, 2)) <= 160).all()
        assert (shipped[:, 3:].sum(axis=(1, 2)) <= 120).all()


@pytest.mark.parametrize("name", ["lost_sales", "owmr"])
def test_before__is_the_published_base_stock_level(name: str) -> None:
    """The scenario's `before` orders up to the level that its comment names."""
    scenario = load_scenario(name)
    targets = make_policy("before", scenario).compute_targets(make_env(scenario).view)
    np.testing.assert_allclose(targets.supplier_gap, 0, atol=0.1)
    np.testing.assert_allclose(targets.shipment_gap, 0, atol=0.1)
