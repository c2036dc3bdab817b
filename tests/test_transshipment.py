from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.agents.coordinator import make_feasible
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions, Flows, Targets
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import State
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.policies import make_policy


def run_day(
    lead_time: int, on_hand: list[int], request: list[int], surplus: list[int] | None
) -> tuple[Simulator, State, State, Flows]:
    """A day without demand in `transshipment`; on hand of the DC and four stores, first SKU."""
    data = load_scenario("transshipment").model_dump()
    data["transshipment"]["lead_time"] = lead_time
    simulator = Simulator(Scenario.model_validate(data))
    state = simulator.make_state(make_seeds("test", 0, 1))
    stock = np.zeros_like(state.on_hand)
    stock[0, :, 0] = on_hand
    state = replace(state, on_hand=stock)
    demand = simulator.sample_demand(state)
    demand = replace(demand, units=np.zeros_like(demand.units))
    cells = np.zeros((1, 4, 2), np.int64)
    cells[0, :, 0] = request
    free = np.zeros_like(cells)
    free[0, :, 0] = surplus or 0
    decisions = Decisions(
        supplier_order=np.zeros((1, 1, 2), np.int64),
        shipment=cells,
        online_share=np.zeros((1, 4, 2)),
        disposition=np.broadcast_to([1.0, 0.0, 0.0], (1, 4, 2, 3)),
        surplus=None if surplus is None else free,
    )
    after, flows = simulator.simulate_period(state, decisions, demand)
    return simulator, state, after, flows


def test_transshipment__surplus_goes_to_the_stores_that_the_dc_left_short() -> None:
    """The DC's 6 units go 4 and 2 to requests of 8 and 4, so 4 and 2 are missing.

    Stores 2 and 3 have 3 and 19 above their targets but store 3 holds only 5: of 3 + 5 units 6
    move: quotas 2.25 and 3.75, so 2 and 4.
    """
    _, _, after, flows = run_day(1, [6, 0, 0, 7, 5], [8, 4, 0, 0], [0, 0, 3, 19])
    assert flows.shipped[0, :, 0].tolist() == [4, 2, 0, 0]
    assert flows.transshipped_out[0, :, 0].tolist() == [0, 0, 2, 4]
    assert flows.transshipped_in[0, :, 0].tolist() == [4, 2, 0, 0]
    assert flows.on_hand[0, :, 0].tolist() == [0, 0, 0, 5, 1]
    assert after.on_hand[0, :, 0].tolist() == [0, 4, 2, 5, 1]  # the DC's lanes take three days


def test_transshipment__is_shared_by_need_when_little_is_free() -> None:
    _, _, _, flows = run_day(1, [0, 0, 0, 7, 5], [6, 3, 0, 0], [0, 0, 3, 0])
    assert flows.transshipped_in[0, :, 0].tolist() == [2, 1, 0, 0]


@pytest.mark.parametrize(("lead_time", "arrives"), [(0, 0), (1, 1), (3, 3)])
def test_transshipment__takes_its_own_lead_time(lead_time: int, arrives: int) -> None:
    simulator, _, after, flows = run_day(lead_time, [0, 0, 0, 7, 5], [2, 0, 0, 0], [0, 0, 3, 0])
    stock = [flows.on_hand[0, 1, 0], after.on_hand[0, 1, 0]]
    idle = make_feasible(
        Targets(
            supplier_gap=np.zeros((1, 1, 2)),
            shipment_gap=np.zeros((1, 4, 2)),
            online_share=np.zeros((1, 4, 2)),
            disposition=np.zeros((1, 4, 2, 3)),
        )
    )
    for _ in range(2):
        demand = simulator.sample_demand(after)
        demand = replace(demand, units=np.zeros_like(demand.units))
        after, _ = simulator.simulate_period(after, idle, demand)
        stock.append(after.on_hand[0, 1, 0])
    assert stock == [2 * (day >= arrives) for day in range(4)]


def test_transshipment__has_its_own_cost() -> None:
    simulator, _, _, flows = run_day(1, [0, 0, 0, 7, 5], [2, 0, 0, 0], [0, 0, 3, 0])
    costs = CostModel(simulator.scenario, simulator.network).compute_costs(flows)
    assert costs["transport"][0, 1, 0] == pytest.approx(2 * 0.3)
    assert costs["transport"].sum() == pytest.approx(0.6)


def test_transshipment__nothing_moves_without_a_surplus_or_the_option(tiny: Scenario) -> None:
    _, _, _, flows = run_day(1, [0, 0, 0, 7, 5], [2, 0, 0, 0], None)
    assert not flows.transshipped_in.any()
    env, policy = BatchedEnv(tiny, 3), make_policy("before", tiny)
    env.reset(make_seeds("test", 0, 3))
    assert not any(policy.run_period(env).flows.transshipped_in.any() for _ in range(10))


def test_transshipment__the_targets_of_a_policy_say_what_a_surplus_is() -> None:
    scenario = load_scenario("transshipment")
    env, policy = BatchedEnv(scenario, 64), make_policy("forecast_order_up_to", scenario)
    env.reset(make_seeds("test", 0, 64))
    moved = 0
    for _ in range(60):
        targets = policy.compute_targets(env.view)
        flows = policy.run_period(env).flows
        assert (flows.transshipped_out <= np.maximum(-targets.shipment_gap, 0)).all()
        assert (flows.transshipped_in <= flows.requested - flows.shipped).all()
        moved += int(flows.transshipped_in.sum())
    assert moved > 0
