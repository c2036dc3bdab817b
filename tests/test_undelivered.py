"""Orders that never arrive or arrive in part: what is lost, when, and who is told."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import State
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from envs.validation import validate_model
from marl.policies import make_policy

SOME = {"never": 0.25, "partial": 0.25, "share": 0.4}
ALL_LOST = {"never": 1.0}


def make_scenario(
    dc: dict[str, float] | None = None, store: dict[str, float] | None = None, **parts: Any
) -> Scenario:
    """`tiny`, whose supplier takes 2 days and whose lanes take 1 and 2, with these deliveries."""
    data = load_scenario("tiny").model_dump(mode="json", exclude_none=True) | parts
    data["network"]["dcs"][0]["delivery"] = dc
    for place in data["network"]["stores"]:
        place["delivery"] = store
    return validate_model(Scenario, data, "tiny")


def decide(order: list[int], shipment: list[list[int]], share: int = 0) -> Decisions:
    """Of one copy; all that comes back is restocked (0) or consolidated (1)."""
    disposition = np.zeros((1, 2, 2, 3))
    disposition[..., share] = 1
    return Decisions(
        supplier_order=np.array([[order]]),
        shipment=np.array([shipment]),
        online_share=np.zeros((1, 2, 2)),
        disposition=disposition,
    )


def run_orders(scenario: Scenario, uniform: list[list[float]]) -> tuple[list[Flows], list[State]]:
    """Orders 20 shirts and 15 lamps and ships 10 of each to both stores on day 0, then waits.

    Args:
        uniform: what becomes of the lines that are due, (N, K), the same on all days.
    """
    simulator = Simulator(scenario)
    states, flows = [simulator.make_state(make_seeds("test", 0, 1))], []
    for day in range(4):
        decisions = decide([0, 0], [[0, 0], [0, 0]])
        if day == 0:
            decisions = decide([20, 15], [[10, 10], [10, 10]])
        demand = simulator.sample_demand(states[-1])
        demand = replace(demand, delivery=np.array([uniform]))
        after, moved = simulator.simulate_period(states[-1], decisions, demand)
        states.append(after)
        flows.append(moved)
    return flows, states


def test_lines__are_lost_on_the_day_they_are_due() -> None:
    """Below 0.25 a line never arrives, below 0.5 in part: 0.4 x 15 = 6 lamps and 4 of 10."""
    uniform = [[0.2, 0.3], [0.7, 0.49], [0.24, 0.5]]

    flows, states = run_orders(make_scenario(SOME, SOME), uniform)

    lost = [moved.undelivered[0].tolist() for moved in flows if moved.undelivered is not None]
    assert lost[0] == [[0, 0], [0, 6], [0, 0]]  # store_0 is a day away
    assert lost[1] == [[20, 9], [0, 0], [10, 0]]  # the supplier and store_1 two
    assert lost[2] == lost[3] == [[0, 0], [0, 0], [0, 0]]
    # Until then nobody can see it.
    in_transit = states[1].in_transit.sum(axis=1)[0]
    assert in_transit.tolist() == [[20, 15], [0, 0], [10, 10]]
    assert states[2].in_transit.sum() == 0


def test_lines__arrive_in_whole_packs() -> None:
    packs = [{"multiple": 6, "skus": ["shirt"]}, {"multiple": 12, "skus": ["lamp"]}]
    scenario = make_scenario(SOME, order_rules=[{**rule, "to": ["dc_0"]} for rule in packs])
    simulator = Simulator(scenario)
    state = simulator.make_state(make_seeds("test", 0, 1))
    for order in ([24, 12], [0, 0]):
        demand = replace(simulator.sample_demand(state), delivery=np.full((1, 3, 2), 0.3))
        decisions = decide(order, [[0, 0], [0, 0]])
        state, flows = simulator.simulate_period(state, decisions, demand)

    # 0.4 x 24 = 9.6 shirts, rounded 10, are a pack of 6; 0.4 x 12 = 4.8 lamps are none of 12.
    assert flows.undelivered is not None
    assert flows.undelivered[0, 0].tolist() == [18, 12]


def test_returns__always_arrive() -> None:
    """With all orders lost, the DC gets what the stores consolidate, and loses nothing of it."""
    scenario = make_scenario(ALL_LOST, ALL_LOST, transshipment={"lead_time": 2})
    simulator = Simulator(scenario)
    state = simulator.make_state(make_seeds("test", 0, 1))
    consolidated, moved, lost, ordered = 0, 0, 0, 0
    stock = int(state.on_hand[:, :1].sum())
    for day in range(12):
        # After day 5 nothing is sent any more, so that all ways end.
        asked = [[9, 9], [40, 9]] if day < 5 else [[0, 0], [0, 0]]
        decisions = decide([7, 7] if day < 5 else [0, 0], asked, share=1 if day < 6 else 0)
        decisions = replace(decisions, surplus=np.full((1, 2, 2), 3 if day < 5 else 0))
        state, flows = simulator.simulate_period(state, decisions, simulator.sample_demand(state))
        assert flows.undelivered is not None
        consolidated += int(flows.consolidated.sum())
        moved += int(flows.transshipped_in.sum())
        lost += int(flows.undelivered.sum())
        ordered += int(flows.supplied.sum() + flows.shipped.sum())
        stock -= int(flows.shipped.sum() + flows.online_from_dc.sum() + flows.store_from_dc.sum())
    assert consolidated > 0
    assert moved > 0
    assert state.in_transit.sum() == 0
    assert lost == ordered
    assert state.on_hand[:, :1].sum() == stock + consolidated


def test_lines__are_lost_as_often_as_they_should_be() -> None:
    """10,000 lines of a DC: standard errors are below 0.005."""
    scenario = make_scenario(SOME)
    simulator = Simulator(scenario)
    copies = 5000
    state = simulator.make_state(make_seeds("test", 0, copies))
    disposition = np.zeros((copies, 2, 2, 3))
    disposition[..., 0] = 1
    none = np.zeros((copies, 2, 2))
    for units in (10, 0):
        decisions = Decisions(
            supplier_order=np.full((copies, 1, 2), units),
            shipment=none.astype(np.int64),
            online_share=none,
            disposition=disposition,
        )
        state, flows = simulator.simulate_period(state, decisions, simulator.sample_demand(state))
    assert flows.undelivered is not None
    lost = flows.undelivered[:, 0].ravel()
    assert np.mean(lost == 10) == pytest.approx(0.25, abs=0.02)
    assert np.mean(lost == 6) == pytest.approx(0.25, abs=0.02)
    assert np.isin(lost, [0, 6, 10]).all()


def test_costs__what_a_dc_sent_is_waste_and_what_a_supplier_did_not_send_is_free() -> None:
    scenario = make_scenario(ALL_LOST, ALL_LOST)
    flows, _ = run_orders(scenario, [[0.0, 0.0]] * 3)
    model = CostModel(scenario, Simulator(scenario).network)

    waste = [model.compute_costs(moved)["waste"][0].sum(axis=1).tolist() for moved in flows]

    # 20 units for each store at 0.5, on the day they are due.
    assert waste[:2] == [[0, 10, 0], [0, 0, 10]]


def test_metrics__count_what_never_arrived() -> None:
    env = BatchedEnv(make_scenario(ALL_LOST), 2)
    env.reset(make_seeds("test", 0, 2))
    rule = make_policy("before", env.scenario)
    lost = np.zeros(2)
    while env.period < env.scenario.horizon:
        flows = rule.run_period(env).flows
        assert flows.undelivered is not None
        lost += flows.undelivered.sum(axis=(1, 2))
    assert lost.min() > 0
    np.testing.assert_allclose(env.compute_metrics()["undelivered"], lost / env.period)

    plain = BatchedEnv(load_scenario("tiny"), 2)
    plain.reset(make_seeds("test", 0, 2))
    step = make_policy("before", plain.scenario).run_period(plain)
    assert step.flows.undelivered is None
    assert plain.state.in_return is None
    assert "undelivered" not in plain.compute_metrics()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"delivery": {"never": 0.6, "partial": 0.5}}, "partial 0.5 is not allowed beside never"),
        ({"delivery": {"never": 0.1}, "lead_time": 0}, "delivery is not allowed with a lead time"),
    ],
)
def test_scenario__refuses_what_cannot_be(values: dict[str, Any], message: str) -> None:
    data = load_scenario("tiny").model_dump(mode="json", exclude_none=True)
    data["network"]["stores"][0] |= values
    with pytest.raises(InputError, match=message):
        validate_model(Scenario, data, "tiny")
