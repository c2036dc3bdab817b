from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.flows import Decisions
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Demand, State
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator

RESTOCK, CONSOLIDATE, LIQUIDATE, HALF = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0)


def make_worked_scenario(**returns: object) -> Scenario:
    """DC, stores A and B, one SKU; all lead times 1, patience 2, a return after exactly 1 day."""
    return Scenario.model_validate(
        {
            "name": "worked",
            "network": {
                "dcs": [{"name": "dc", "supplier_lead_time": 1}],
                "stores": [{"name": "a", "parent": "dc"}, {"name": "b", "parent": "dc"}],
            },
            "skus": [{"name": "mug", "category": "home", "store_demand": 4}],
            "categories": {"home": {}},
            "returns": {"delay": {"low": 1, "high": 1, "kind": "uniform"}, "resaleable": 0.75}
            | returns,
            "fulfillment": {"patience": 2, "spill_over": False},
        }
    )


def make_worked_state(simulator: Simulator) -> State:
    state = simulator.make_state(np.array([0], np.uint64))
    return replace(state, on_hand=np.array([10, 6, 4]).reshape(1, 3, 1))


def decide(
    supplier: int,
    request: tuple[int, int],
    share: tuple[float, float],
    disposition: tuple[tuple[float, ...], tuple[float, ...]],
) -> Decisions:
    return Decisions(
        supplier_order=np.array([[[supplier]]]),
        shipment=np.array(request).reshape(1, 2, 1),
        online_share=np.array(share).reshape(1, 2, 1),
        disposition=np.array(disposition, np.float64).reshape(1, 2, 1, 3),
    )


def demand_of(store: tuple[int, int], online: tuple[int, int]) -> Demand:
    half = np.full((1, 2, 1), 0.5)
    return Demand(
        units=np.stack([store, online], axis=-1).reshape(1, 2, 1, 2),
        return_rate=np.full((1, 2, 1), 0.25),
        return_rounding=half,
        scrap_rounding=half,
    )


WORKED_DAYS = [
    (
        decide(8, (8, 5), (0.5, 0.5), (RESTOCK, RESTOCK)),
        demand_of(store=(5, 6), online=(3, 0)),
        {
            "supplied": [8],
            "requested": [8, 5],
            "shipped": [6, 4],
            "demand": [5, 3, 6, 0],
            "sold_store": [5, 4],
            "online_from_store": [1, 0],
            "online_from_dc": [0, 0],
            "on_time": [5, 1, 4, 0],
            "lost": [0, 0, 2, 0],
            "waiting": [2, 0],
            "wait_days": [0, 0],
            "returned": [0, 0],
            "restocked": [0, 0],
            "consolidated": [0, 0],
            "liquidated": [0, 0],
            "scrapped": [0, 0],
            "on_hand": [0, 0, 0],
        },
        {
            "on_hand": [8, 6, 4],
            "in_transit": [0, 0, 0, 0, 0, 0],
            "in_inspection": [0, 0],
            "backorders": [2, 0, 0, 0],
            "returns_due": [2, 1, 0, 0],
        },
    ),
    (
        decide(0, (2, 3), (0, 1), (HALF, LIQUIDATE)),
        demand_of(store=(3, 1), online=(2, 2)),
        {
            "supplied": [0],
            "requested": [2, 3],
            "shipped": [2, 3],
            "demand": [3, 2, 1, 2],
            "sold_store": [3, 1],
            "online_from_store": [0, 2],
            "online_from_dc": [3, 0],
            "on_time": [3, 1, 1, 2],
            "lost": [0, 0, 0, 0],
            "waiting": [1, 0],
            "wait_days": [2, 0],
            "returned": [2, 1],
            "restocked": [1, 0],
            "consolidated": [0, 0],
            "liquidated": [0, 1],
            "scrapped": [1, 0],
            "on_hand": [0, 3, 1],
        },
        {
            "on_hand": [0, 6, 4],
            "in_transit": [0, 0, 0, 0, 0, 0],
            "in_inspection": [0, 0],
            "backorders": [1, 0, 0, 0],
            "returns_due": [2, 1, 0, 0],
        },
    ),
    (
        decide(5, (0, 0), (0, 0), (CONSOLIDATE, RESTOCK)),
        demand_of(store=(4, 0), online=(1, 0)),
        {
            "supplied": [5],
            "requested": [0, 0],
            "shipped": [0, 0],
            "demand": [4, 1, 0, 0],
            "sold_store": [4, 0],
            "online_from_store": [0, 0],
            "online_from_dc": [0, 0],
            "on_time": [4, 0, 0, 0],
            "lost": [0, 0, 0, 0],
            "waiting": [2, 0],
            "wait_days": [0, 0],
            "returned": [2, 1],
            "restocked": [0, 1],
            "consolidated": [1, 0],
            "liquidated": [0, 0],
            "scrapped": [1, 0],
            "on_hand": [0, 2, 4],
        },
        {
            "on_hand": [5, 2, 5],
            "in_transit": [1, 0, 0, 0, 0, 0],
            "in_inspection": [0, 0],
            "backorders": [1, 0, 1, 0],
            "returns_due": [1, 0, 0, 0],
        },
    ),
    (
        decide(0, (0, 0), (1, 0), (LIQUIDATE, RESTOCK)),
        demand_of(store=(2, 0), online=(0, 0)),
        {
            "supplied": [0],
            "requested": [0, 0],
            "shipped": [0, 0],
            "demand": [2, 0, 0, 0],
            "sold_store": [2, 0],
            "online_from_store": [0, 0],
            "online_from_dc": [0, 0],
            "on_time": [2, 0, 0, 0],
            "lost": [0, 1, 0, 0],
            "waiting": [1, 0],
            "wait_days": [0, 0],
            "returned": [1, 0],
            "restocked": [0, 0],
            "consolidated": [0, 0],
            "liquidated": [1, 0],
            "scrapped": [0, 0],
            "on_hand": [5, 0, 5],
        },
        {
            "on_hand": [6, 0, 5],
            "in_transit": [0, 0, 0, 0, 0, 0],
            "in_inspection": [0, 0],
            "backorders": [0, 0, 1, 0],
            "returns_due": [1, 0, 0, 0],
        },
    ),
]


def test_simulate_period__reproduces_a_hand_worked_example() -> None:
    """Four days by hand; columns are DC, A, B.

    Rules: returns = floor(sold / 4 + 1/2), one day later; scrapped = floor(returned / 4 + 1/2).

    Day 0. On hand 10, 6, 4. Requests 8 and 5 of a DC that holds 10: quotas 10 x 8/13 = 6 2/13 and
    10 x 5/13 = 3 11/13, so 6 and 3, and the unit that is left goes to B's larger remainder: 6, 4.
    Walk-ins: A sells 5 of 6; B sells 4 of 6 and loses 2. Online at A: 3 orders, half up 2 for the
    store, which has 1; 1 for the DC, which has none: 1 on time, 2 wait. Sold 6 and 4: 2 and 1 will
    come back. Night: 8 from the supplier, 6 and 4 from the DC.

    Day 1. On hand 8, 6, 4. All 2 + 3 requested leave; the DC keeps 3. A: 3 walk-ins; 2 waiting and
    2 new online orders, all for the DC, which has 3: the 2 old ones, 1 new one on time, 1 waits.
    B: 1 walk-in, 2 online, from the store. Returns at A: 2, of which floor(2/4 + 1/2) = 1 is
    scrapped and, halves being equal, 1 restocked; at B 1, liquidated. Sold 6 and 3: 2 and 1 due.
    Night: A 3 + 2 shipped + 1 inspected = 6; B 1 + 3 = 4.

    Day 2. On hand 0, 6, 4. A: 4 walk-ins; 1 old and 1 new online order find no stock at the DC.
    Returns: A 2, 1 scrapped, 1 consolidated, at the DC in lead time + 1 = 2 nights; B 1, restocked.
    Night: 5 from the supplier; B 4 + 1 = 5; the consolidated unit is one night away.

    Day 3. On hand 5, 2, 5. A: 2 walk-ins empty the store that is to serve the 2 online orders: the
    one of day 1 has waited 2 days and is lost, the one of day 2 waits on. 1 return, liquidated.
    Night: the consolidated unit arrives, 5 + 1 = 6.
    """
    simulator = Simulator(make_worked_scenario())
    state = make_worked_state(simulator)
    first_day = state.day[0]
    for day, (decisions, demand, expected_flows, expected_state) in enumerate(WORKED_DAYS):
        state, flows = simulator.simulate_period(state, decisions, demand)
        for name, value in expected_flows.items():
            np.testing.assert_array_equal(getattr(flows, name).ravel(), value, f"{name}, day {day}")
        for name, value in expected_state.items():
            np.testing.assert_array_equal(getattr(state, name).ravel(), value, f"{name}, day {day}")
        assert state.period.tolist() == [day + 1]
        assert state.day.tolist() == [first_day + day + 1]


@pytest.mark.parametrize(
    ("inspection_days", "end_of_day", "next_day", "day_after_next"),
    [(0, 6, 6, 6), (1, 5, 6, 6), (2, 5, 5, 6)],
)
def test_simulate_period__shelves_a_return_after_its_inspection(
    inspection_days: int, end_of_day: int, next_day: int, day_after_next: int
) -> None:
    simulator = Simulator(make_worked_scenario(inspection_days=inspection_days, resaleable=1.0))
    state = make_worked_state(simulator)
    one_due = np.array([[[[0], [1]], [[0], [0]]]])  # at B, today
    state = replace(state, on_hand=np.array([[[0], [0], [5]]]), returns_due=one_due)
    idle = decide(0, (0, 0), (0, 0), (RESTOCK, RESTOCK)), demand_of((0, 0), (0, 0))
    began, flows = simulator.simulate_period(state, *idle)
    assert flows.on_hand[0, 2, 0] == end_of_day
    assert began.on_hand[0, 2, 0] == next_day
    assert simulator.simulate_period(began, *idle)[0].on_hand[0, 2, 0] == day_after_next


def test_simulate_period__lead_time_zero_arrives_before_demand() -> None:
    scenario = make_worked_scenario().model_dump()
    scenario["network"]["dcs"][0]["supplier_lead_time"] = 0
    scenario["network"]["stores"][0]["lead_time"] = 0
    simulator = Simulator(Scenario.model_validate(scenario))
    state = replace(make_worked_state(simulator), on_hand=np.zeros((1, 3, 1), np.int64))
    decisions = decide(7, (5, 0), (0, 0), (RESTOCK, RESTOCK))
    _, flows = simulator.simulate_period(state, decisions, demand_of((4, 0), (0, 0)))
    assert flows.shipped.ravel().tolist() == [5, 0]
    assert flows.sold_store.ravel().tolist() == [4, 0]
    assert flows.on_hand.ravel().tolist() == [2, 1, 0]


def test_make_state__starts_with_the_covers_on_hand(tiny: Scenario) -> None:
    state = Simulator(tiny).make_state(make_seeds("test", 0, 2))
    # Two days of 6 + 3 and 3 + 2 at a store of size 1, and of half of it; five days at the DC.
    assert state.on_hand[1].tolist() == [[68, 38], [18, 10], [9, 5]]
    for name in ("in_transit", "in_inspection", "backorders", "returns_due"):
        assert not getattr(state, name).any()


def test_serve_demand__ends_a_period_when_its_demand_is_served() -> None:
    simulator = Simulator(make_worked_scenario())
    state = make_worked_state(simulator)
    decisions = decide(3, (5, 8), (1.0, 0.5), (RESTOCK, LIQUIDATE))
    demand = demand_of((8, 1), (6, 9))
    _, expected = simulator.simulate_period(state, decisions, demand)

    flows = simulator.serve_demand(state, decisions, demand)

    for name in ("supplied", "requested", "shipped", "demand", "on_time", "lost", "waiting"):
        found = getattr(flows, name)
        np.testing.assert_array_equal(found, getattr(expected, name), err_msg=name)
        assert found.any(), name
    assert not flows.on_hand.any()
