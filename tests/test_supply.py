"""Capacities, announced cuts, random lead times and trucks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.omnichannel.agents.coordinator import make_feasible
from envs.omnichannel.agents.observation import CUT_FEATURES, FEATURES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions, Targets
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.allocation.largest_remainder import round_jointly
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.events.supply_cuts import CutSupply
from envs.omnichannel.world.simulator import Simulator
from tests.conftest import MakeFlows, known


def change(tiny: Scenario, **parts: dict[str, Any]) -> Scenario:
    """`tiny` with values of the DC, of both stores and of other sections changed."""
    data = tiny.model_dump()
    data["network"]["dcs"][0] |= parts.pop("dc", {})
    every_store = parts.pop("store", {})
    data["network"]["stores"] = [store | every_store for store in data["network"]["stores"]]
    for section, values in parts.items():
        data[section] = (data[section] or {}) | values
    return Scenario.model_validate(data)


def decide(orders: list[int], shipments: list[list[int]], copies: int = 1) -> Decisions:
    shape = (copies, 2, 2)
    return Decisions(
        supplier_order=np.broadcast_to(np.array(orders), (copies, 1, 2)),
        shipment=np.broadcast_to(np.array(shipments), shape),
        online_share=np.zeros(shape),
        disposition=np.broadcast_to([1.0, 0.0, 0.0], (*shape, 3)),
    )


def test_order_capacity__is_shared_in_proportion(tiny: Scenario) -> None:
    simulator = Simulator(change(tiny, dc={"order_capacity": 9}))
    state = simulator.make_state(make_seeds("test", 0, 1))
    demand = simulator.sample_demand(state)
    _, flows = simulator.simulate_period(state, decide([20, 10], [[0, 0], [0, 0]]), demand)
    assert flows.supplied.ravel().tolist() == [6, 3]
    _, flows = simulator.simulate_period(state, decide([5, 4], [[0, 0], [0, 0]]), demand)
    assert flows.supplied.ravel().tolist() == [5, 4]


def test_shipment_capacity__cuts_all_lines_of_a_dc(tiny: Scenario) -> None:
    """The DC holds 68 and 38; 30 units are asked of it and 15 can leave."""
    simulator = Simulator(change(tiny, dc={"shipment_capacity": 15}))
    state = simulator.make_state(make_seeds("test", 0, 1))
    demand = simulator.sample_demand(state)
    _, flows = simulator.simulate_period(state, decide([0, 0], [[12, 4], [10, 4]]), demand)
    assert flows.shipped.ravel().tolist() == [6, 2, 5, 2]


def test_supply_cuts__are_confirmed_in_part_and_announced(tiny: Scenario) -> None:
    cuts = {"windows": 2, "length": 3, "share": 0.25, "notice": 4}
    supply = CutSupply(change(tiny, supply_cuts=cuts), Simulator(tiny).network)
    seeds = make_seeds("test", 0, 300)
    by_period = []
    for day in range(14):
        confirmed = supply.look_ahead(seeds, np.full(300, day), 1)[..., 0]
        assert confirmed is not None
        by_period.append(confirmed[:, 0])
    share = np.stack(by_period, axis=1)  # (B, 14)
    assert set(share.ravel()) == {0.25, 1.0}
    # One window of three periods in each half of the horizon, in any place there.
    np.testing.assert_array_equal((share[:, :7] < 1).sum(axis=1), 3)
    np.testing.assert_array_equal((share[:, 7:] < 1).sum(axis=1), 3)
    assert set((share[:, :7] < 1).argmax(axis=1)) == {0, 1, 2, 3, 4}
    announced = supply.announce(seeds, np.full(300, 5))
    assert announced is not None
    np.testing.assert_array_equal(announced[:, 0], share[:, 5:10])


def test_supply_cuts__round_what_is_confirmed_half_up(tiny: Scenario) -> None:
    supply = CutSupply(change(tiny, supply_cuts={"length": 2}), Simulator(tiny).network)
    confirmed = supply.confirm(np.array([[[10, 5]]]), np.array([[0.3]]))
    assert confirmed.ravel().tolist() == [3, 2]


def test_supply_cuts__are_seen_by_the_agents_before_they_begin(tiny: Scenario) -> None:
    scenario = change(tiny, supply_cuts={"windows": 1, "length": 3, "share": 0.0, "notice": 4})
    env = BatchedEnv(scenario, 200)
    env.reset(make_seeds("test", 0, 200))
    assert env.layout.num_features == len(FEATURES) + len(CUT_FEATURES)
    supply = known(env.simulator.find(CutSupply))
    first_cut = np.full(200, 99)
    for day in reversed(range(14)):
        confirmed = supply.look_ahead(env.state.seed, np.full(200, day), 1)[..., 0]
        assert confirmed is not None
        first_cut[confirmed[:, 0] < 1] = day
    cut_in, cut_days = env.observe()[:, :, 0, -2:].transpose(2, 0, 1)
    np.testing.assert_allclose(cut_in, np.minimum(first_cut, 5)[:, None] / 5 * np.ones(4))
    ahead = np.clip(5 - first_cut, 0, 3)
    np.testing.assert_allclose(cut_days, ahead[:, None] / 5 * np.ones(4), atol=1e-6)


def test_random_lead_time__arrives_as_drawn(tiny: Scenario) -> None:
    """A quarter after one period, the rest after four; SKUs of a shipment travel together."""
    odds = {1: 0.25, 4: 0.75}
    parts = {"random_lead_time": odds}
    simulator = Simulator(change(tiny, dc=parts, store=parts))
    copies = 4000
    state = simulator.make_state(make_seeds("test", 0, copies))
    state = replace(state, on_hand=np.full_like(state.on_hand, 1000))
    demand = simulator.sample_demand(state)
    lead_time = demand.lead_time
    assert lead_time is not None
    demand = replace(demand, units=np.zeros_like(demand.units))
    after, _ = simulator.simulate_period(state, decide([7, 7], [[3, 3], [3, 3]], copies), demand)
    arrived = after.on_hand - state.on_hand
    arrived[:, 0] += 6  # dispatched
    expected = np.array([7, 3, 3])[:, None]
    np.testing.assert_array_equal(arrived, np.where(lead_time == 1, expected, 0))
    late = np.where(lead_time == 4, expected, 0)
    np.testing.assert_array_equal(after.in_transit[:, 2], late)
    assert after.in_transit.sum() == late.sum()
    assert (lead_time == 1).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(lead_time[:, 1:, 0], lead_time[:, 1:, 1])
    assert (lead_time[:, 0, 0] != lead_time[:, 0, 1]).any()


def test_random_lead_time__policies_plan_with_the_rounded_mean(tiny: Scenario) -> None:
    network = Simulator(change(tiny, dc={"random_lead_time": {1: 0.25, 4: 0.75}})).network
    assert network.lead_time.tolist() == [3, 1, 2]


def test_trucks__are_paid_per_started_truck_by_distance(
    tiny: Scenario, make_flows: MakeFlows
) -> None:
    """6 + 3 x distance for each truck of 120: 9 and 12; two trucks to A, one to B."""
    trucks = {"truck_capacity": 120, "truck_cost": 6, "truck_cost_distance": 3, "transport": 0}
    scenario = change(tiny, costs=trucks)
    model = CostModel(scenario, Simulator(scenario).network)
    flows = make_flows(shipped=[[100, 21], [30, 90]])
    np.testing.assert_allclose(
        model.compute_costs(flows)["transport"][0, 1:],
        np.array([[18 * 100 / 121, 18 * 21 / 121], [3, 9]]),
    )


@pytest.mark.parametrize("load", [1, 2, 3])
def test_trucks__a_load_of_whole_trucks_pays_for_no_more_after_rounding(load: int) -> None:
    rng = np.random.default_rng(load)
    wanted = rng.dirichlet(np.ones(7), 2000) * load * 120
    units = round_jointly(wanted)
    np.testing.assert_array_equal(units.sum(axis=1), load * 120)
    assert (np.abs(units - wanted) < 1).all()
    # One by one, as without trucks, many loads would have started another.
    assert (np.floor(wanted + 0.5).sum(axis=1) > load * 120).mean() > 0.2


def test_make_feasible__keeps_trucks_whole_where_they_are_paid() -> None:
    gap = np.array([[[39.5, 40.5, 40.0], [-8.0, 119.6, 0.4]]])
    targets = Targets(
        supplier_gap=np.zeros((1, 1, 3)),
        shipment_gap=gap,
        online_share=np.zeros((1, 2, 3)),
        disposition=np.zeros((1, 2, 3, 3)),
    )
    assert make_feasible(targets).shipment.sum(axis=-1).tolist() == [[121, 120]]
    assert make_feasible(targets, whole_trucks=True).shipment.sum(axis=-1).tolist() == [[120, 120]]
