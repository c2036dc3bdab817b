from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Decisions, Demand, Flows, IntArray, State
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
        next_log_level=np.empty((1, 0, 0)),
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
    ("inspection_days", "end_of_day", "next_morning", "morning_after"),
    [(0, 6, 6, 6), (1, 5, 6, 6), (2, 5, 5, 6)],
)
def test_simulate_period__shelves_a_return_after_its_inspection(
    inspection_days: int, end_of_day: int, next_morning: int, morning_after: int
) -> None:
    simulator = Simulator(make_worked_scenario(inspection_days=inspection_days, resaleable=1.0))
    state = make_worked_state(simulator)
    one_due = np.array([[[[0], [1]], [[0], [0]]]])  # at B, today
    state = replace(state, on_hand=np.array([[[0], [0], [5]]]), returns_due=one_due)
    idle = decide(0, (0, 0), (0, 0), (RESTOCK, RESTOCK)), demand_of((0, 0), (0, 0))
    morning, flows = simulator.simulate_period(state, *idle)
    assert flows.on_hand[0, 2, 0] == end_of_day
    assert morning.on_hand[0, 2, 0] == next_morning
    assert simulator.simulate_period(morning, *idle)[0].on_hand[0, 2, 0] == morning_after


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


@st.composite
def random_scenarios(draw: st.DrawFn) -> Scenario:
    num_dcs = draw(st.integers(1, 3))
    num_stores = draw(st.integers(num_dcs, 5))
    num_skus = draw(st.integers(1, 2))
    lead_times = st.integers(0, 3)
    low = draw(st.integers(0, 2))
    pickup_demand = draw(st.sampled_from([0, 3]))
    unmet = st.sampled_from(["lost", "backorder", "patience", "partial"])
    limit = st.sampled_from([None, 0, 7, 25])
    random_lead_time = st.sampled_from([None, {1: 0.5, 4: 0.5}, {3: 1.0}])
    cuts = {"windows": 2, "length": 2, "share": 0.3, "notice": 2}
    return Scenario.model_validate(
        {
            "name": "random",
            "network": {
                "dcs": [
                    {
                        "name": f"dc_{w}",
                        "supplier_lead_time": draw(lead_times),
                        "random_lead_time": draw(random_lead_time),
                        "order_capacity": draw(limit),
                        "shipment_capacity": draw(limit),
                    }
                    for w in range(num_dcs)
                ],
                "stores": [
                    {
                        "name": f"store_{s}",
                        "parent": f"dc_{s % num_dcs}",
                        "lead_time": draw(lead_times),
                        "random_lead_time": draw(random_lead_time),
                        "size": draw(st.sampled_from([0.3, 1.0, 2.5])),
                    }
                    for s in range(num_stores)
                ],
            },
            "skus": [
                {
                    "name": f"sku_{k}",
                    "category": "any",
                    "store_demand": 4,
                    "online_demand": 4,
                    "pickup_demand": pickup_demand,
                }
                for k in range(num_skus)
            ],
            "categories": {"any": {"return_rate": draw(st.sampled_from([0.0, 0.3, 1.0]))}},
            "horizon": 8,
            "transshipment": draw(st.sampled_from([None, {"lead_time": 0}, {"lead_time": 2}])),
            "supply_cuts": draw(st.sampled_from([None, cuts])),
            "initial_store_cover": draw(st.integers(0, 3)),
            "initial_dc_cover": draw(st.integers(0, 3)),
            "returns": {
                "basis": draw(st.sampled_from(["sales", "demand"])),
                "delay": {"kind": "uniform", "low": low, "high": low + draw(st.integers(0, 2))},
                "resaleable": draw(st.sampled_from([0.0, 0.4, 1.0])),
                "inspection_days": draw(st.integers(0, 2)),
                "inspection_capacity": draw(st.sampled_from([None, 1, 4])),
                "by_mail": draw(st.sampled_from([0.0, 0.4, 1.0])),
                "online_factor": draw(st.sampled_from([1.0, 1.7])),
            },
            "records": draw(
                st.sampled_from([None, {"accuracy": 0.5, "shrinkage": 0.2, "miscount": 0.5}])
            ),
            "fulfillment": {
                "patience": draw(st.integers(0, 4)),
                "spill_over": draw(st.booleans()),
                "reserve": draw(st.integers(0, 3)),
                "store_unmet": draw(unmet),
                "online_unmet": draw(st.sampled_from(["lost", "backorder", "patience"])),
                "pickup_unmet": draw(unmet),
                "dc_offer": draw(st.sampled_from([0, 0.5, 1])),
                "rationing": draw(
                    st.sampled_from(["proportional", "min_shortage", "random_order", "fair_share"])
                ),
            },
        }
    )


def sample_decisions(simulator: Simulator, copies: int, rng: np.random.Generator) -> Decisions:
    net = simulator.network
    cells = (copies, net.num_stores, net.num_skus)
    return Decisions(
        supplier_order=rng.integers(0, 20, (copies, net.num_dcs, net.num_skus)),
        shipment=rng.integers(0, 15, cells),
        online_share=rng.choice([0, 0.3, 0.5, 1], cells),
        disposition=rng.dirichlet([0.3, 0.3, 0.3], cells),
        surplus=rng.integers(0, 6, cells),
    )


def freeze(record: State | Decisions | Demand) -> None:
    """Makes writing to the record's arrays an error."""
    for field in fields(record):
        if (array := getattr(record, field.name)) is not None:
            array.setflags(write=False)


def total(units: IntArray, copies: int, skus: int) -> IntArray:
    """Sums an array with K last and B first to (B, K)."""
    result: IntArray = units.reshape(copies, -1, skus).sum(axis=1)
    return result


def count_open_orders(simulator: Simulator, state: State) -> IntArray:
    """Backorders by channel, (B, S, K, C)."""
    scenario = simulator.scenario
    slots = {c: scenario.fulfillment.count_slots(c) for c in ("online", "store", "pickup")}
    by_channel, first = {}, 0
    for channel in ("online", "store", "pickup"):
        by_channel[channel] = state.backorders[:, first : first + slots[channel]].sum(axis=1)
        first += slots[channel]
    return np.stack([by_channel[c] for c in scenario.channels], axis=-1)


def simulate(
    simulator: Simulator, state: State, periods: int, seed: int
) -> list[tuple[State, Decisions, Flows, State]]:
    """Runs random decisions on frozen inputs; returns each period's before, flows and after."""
    rng = np.random.default_rng(seed)
    history = []
    for _ in range(periods):
        decisions = sample_decisions(simulator, len(state.seed), rng)
        demand = simulator.sample_demand(state)
        for record in (state, decisions, demand):
            freeze(record)
        after, flows = simulator.simulate_period(state, decisions, demand)
        history.append((state, decisions, flows, after))
        state = after
    return history


@settings(deadline=None, max_examples=60)
@given(random_scenarios(), st.integers(0, 2**32))
def test_simulate_period__conserves_units_and_orders(scenario: Scenario, seed: int) -> None:
    copies, skus = 3, len(scenario.skus)
    simulator = Simulator(scenario)
    state = simulator.make_state(make_seeds("test", seed, copies))
    balance = total(state.on_hand, copies, skus)
    open_orders = count_open_orders(simulator, state)
    for _, _, flows, after in simulate(simulator, state, 8, seed):
        balance += total(flows.supplied, copies, skus) + total(flows.returned, copies, skus)
        gone = (flows.liquidated, flows.scrapped, flows.shrunk)
        sold = (
            flows.sold_store,
            flows.sold_pickup,
            flows.store_from_dc,
            flows.pickup_from_dc,
            flows.online_from_store,
            flows.online_from_dc,
        )
        for units in (*gone, *sold):
            balance -= total(units, copies, skus)
        held = sum(
            total(units, copies, skus)
            for units in (
                after.on_hand,
                after.in_transit,
                after.in_inspection,
                after.inspection_queue,
            )
        )
        np.testing.assert_array_equal(balance, held)

        # Channels apart: an order of one must never close an order of another.
        open_orders += flows.demand - flows.lost - flows.served
        np.testing.assert_array_equal(open_orders, count_open_orders(simulator, after))
        np.testing.assert_array_equal(open_orders.sum(axis=-1), flows.waiting)
        moved = (flows.transshipped_out, flows.transshipped_in)
        by_dc = [simulator.network.sum_by_dc(units) for units in moved]
        np.testing.assert_array_equal(by_dc[0], by_dc[1])
        disposed = flows.restocked + flows.consolidated + flows.liquidated + flows.scrapped
        np.testing.assert_array_equal(flows.returned, disposed + flows.mailed)


@settings(deadline=None, max_examples=40)
@given(random_scenarios(), st.integers(0, 2**32))
def test_simulate_period__nothing_is_negative(scenario: Scenario, seed: int) -> None:
    simulator = Simulator(scenario)
    state = simulator.make_state(make_seeds("test", seed, 3))
    for _, decisions, flows, after in simulate(simulator, state, 8, seed):
        for record in (flows, after, simulator.records.show(after)):
            for field in fields(record):
                if field.name == "record_error":  # it may have either sign
                    continue
                assert (getattr(record, field.name) >= 0).all(), field.name
        assert (flows.shipped <= decisions.shipment).all()
        assert (flows.supplied <= decisions.supplier_order).all()
        assert (flows.on_time <= flows.demand).all()


@settings(deadline=None, max_examples=25)
@given(random_scenarios(), st.integers(0, 2**32))
def test_simulate_period__copies_do_not_touch_each_other(scenario: Scenario, seed: int) -> None:
    simulator = Simulator(scenario)
    together = simulate(simulator, simulator.make_state(make_seeds("test", seed, 3)), 5, seed)
    for copy in range(3):
        alone = simulator.make_state(make_seeds("test", seed, 3)[copy : copy + 1])
        for _, decisions, flows, after in together:
            own = decisions.select(slice(copy, copy + 1))
            alone, own_flows = simulator.simulate_period(alone, own, simulator.sample_demand(alone))
            assert_same(own_flows, flows.select(slice(copy, copy + 1)))
            assert_same(alone, after.select(slice(copy, copy + 1)))


def test_simulate_period__stored_states_replay_in_any_order(tiny: Scenario) -> None:
    simulator = Simulator(tiny)
    history = simulate(simulator, simulator.make_state(make_seeds("test", 0, 4)), 9, seed=1)
    chosen = np.array([3, 0, 3])
    for state, decisions, flows, after in (history[7], history[2]):
        stored = state.select(chosen)
        replayed = simulator.simulate_period(
            stored, decisions.select(chosen), simulator.sample_demand(stored)
        )
        assert_same(replayed[0], after.select(chosen))
        assert_same(replayed[1], flows.select(chosen))


def assert_same(left: State | Flows, right: State | Flows) -> None:
    for field in fields(left):
        np.testing.assert_array_equal(
            getattr(left, field.name), getattr(right, field.name), field.name
        )


def test_make_state__starts_with_the_covers_on_hand(tiny: Scenario) -> None:
    state = Simulator(tiny).make_state(make_seeds("test", 0, 2))
    # Two days of 6 + 3 and 3 + 2 at a store of size 1, and of half of it; five days at the DC.
    assert state.on_hand[1].tolist() == [[68, 38], [18, 10], [9, 5]]
    for name in ("in_transit", "in_inspection", "backorders", "returns_due"):
        assert not getattr(state, name).any()
