"""What holds in every scenario, all options mixed: conservation, signs, copies apart, replay."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.omnichannel.flows import Decisions, Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.fulfillment import list_rationing_rules
from envs.omnichannel.types import STORE, Demand, IntArray, State
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.events.shelves import Spoil
from envs.omnichannel.world.simulator import Simulator
from tests.conftest import known


@st.composite
def random_scenarios(draw: st.DrawFn) -> Scenario:
    num_dcs = draw(st.integers(1, 3))
    num_stores = draw(st.integers(num_dcs, 5))
    num_skus = draw(st.integers(1, 2))
    low = draw(st.integers(0, 2))
    pickup_demand = draw(st.sampled_from([0, 3]))
    unmet = st.sampled_from(["lost", "backorder", "patience", "partial"])
    limit = st.sampled_from([None, 0, 7, 25])
    random_lead_time = st.sampled_from([None, {1: 0.5, 4: 0.5}, {3: 1.0}])
    loses = draw(st.booleans())
    shortest = int(loses)  # what is there at once cannot be lost on its way
    lead_times = st.integers(shortest, 3)
    losses = {"never": 0.2, "partial": 0.4, "share": 0.3}
    delivery = st.sampled_from([None, losses] if loses else [None])
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
                        "delivery": draw(delivery),
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
                        "delivery": draw(delivery),
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
                    "shelf_life": draw(st.sampled_from([None, 1, 3])),
                }
                for k in range(num_skus)
            ],
            "categories": {"any": {"return_rate": draw(st.sampled_from([0.0, 0.3, 1.0]))}},
            "order_rules": draw(st.sampled_from([None, [{"multiple": 3, "minimum": 5}]])),
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
                "store_issue": draw(st.sampled_from(["fifo", "lifo"])),
                "picking_issue": draw(st.sampled_from(["fifo", "lifo"])),
                "store_unmet": draw(unmet),
                "online_unmet": draw(st.sampled_from(["lost", "backorder", "patience"])),
                "pickup_unmet": draw(unmet),
                "dc_offer": draw(st.sampled_from([0, 0.5, 1])),
                "rationing": draw(st.sampled_from(list_rationing_rules())),
            },
        }
    )


def sample_decisions(simulator: Simulator, copies: int, rng: np.random.Generator) -> Decisions:
    net = simulator.network
    cells = (copies, net.num_stores, net.num_skus)
    order = rng.integers(0, 20, (copies, net.num_dcs, net.num_skus))
    shipment = rng.integers(0, 15, cells)
    if (lots := Lots.from_scenario(simulator.scenario)) is not None:
        order = lots.take(slice(net.num_dcs)).settle(order.astype(float))
        shipment = lots.take(slice(net.num_dcs, net.num_nodes)).settle(shipment.astype(float))
    return Decisions(
        supplier_order=order,
        shipment=shipment,
        online_share=rng.choice([0, 0.3, 0.5, 1], cells),
        disposition=rng.dirichlet([0.3, 0.3, 0.3], cells),
        surplus=rng.integers(0, 6, cells),
        covers=rng.integers(-4, 9, (copies, 2, *cells[1:])) / 2,
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


def check_conservation(scenario: Scenario, seed: int, copies: int, periods: int) -> None:
    """Units and orders add up after every period of random decisions, exactly."""
    simulator = Simulator(scenario)
    state = simulator.make_state(make_seeds("test", seed, copies))
    check_history(simulator, state, simulate(simulator, state, periods, seed))


def check_history(
    simulator: Simulator, state: State, history: list[tuple[State, Decisions, Flows, State]]
) -> None:
    """Units and orders add up after every period, exactly."""
    scenario, copies = simulator.scenario, len(state.seed)
    skus = len(scenario.skus)
    balance = total(state.on_hand, copies, skus) + total(state.in_transit, copies, skus)
    open_orders = count_open_orders(simulator, state)
    for _, _, flows, after in history:
        balance += total(flows.supplied, copies, skus) + total(flows.returned, copies, skus)
        gone = (flows.liquidated, flows.scrapped, flows.shrunk, flows.wasted)
        sold = (
            flows.sold_store,
            flows.sold_pickup,
            flows.store_from_dc,
            flows.pickup_from_dc,
            flows.online_from_store,
            flows.online_from_dc,
        )
        swapped = flows.substituted_in, flows.substituted_out
        is_on = scenario.substitution is not None
        taken, missed = map(known, swapped) if is_on else [np.zeros_like(flows.sold_store)] * 2
        np.testing.assert_array_equal(taken.sum(axis=2), missed.sum(axis=2))
        never = [] if flows.undelivered is None else [flows.undelivered]
        for units in (*gone, *sold, taken, *never):
            balance -= total(units, copies, skus)
        held = sum(
            total(units, copies, skus)
            for units in (
                after.on_hand,
                after.in_transit,
                after.in_inspection,
                after.inspection_queue,
            )
            if units is not None
        )
        np.testing.assert_array_equal(balance, held)
        if (shelves := simulator.find(Spoil)) is not None:
            stores = after.on_hand[:, simulator.network.num_dcs :]
            shelved = np.where(shelves.life > 0, stores, 0)
            np.testing.assert_array_equal(known(after.shelf).sum(axis=1), shelved)

        # Channels apart: an order of one must never close an order of another.
        open_orders += flows.demand - flows.lost - flows.served
        open_orders[..., STORE] -= missed
        np.testing.assert_array_equal(open_orders, count_open_orders(simulator, after))
        np.testing.assert_array_equal(open_orders.sum(axis=-1), flows.waiting)
        moved = (flows.transshipped_out, flows.transshipped_in)
        by_dc = [simulator.network.sum_by_dc(units) for units in moved]
        np.testing.assert_array_equal(by_dc[0], by_dc[1])
        disposed = flows.restocked + flows.consolidated + flows.liquidated + flows.scrapped
        np.testing.assert_array_equal(flows.returned, disposed + flows.mailed)


@settings(max_examples=60)
@given(random_scenarios(), st.integers(0, 2**32))
def test_simulate_period__conserves_units_and_orders(scenario: Scenario, seed: int) -> None:
    check_conservation(scenario, seed, copies=3, periods=8)


@pytest.mark.slow
@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(random_scenarios(), st.integers(0, 2**32))
def test_simulate_period__conserves_in_100_000_env_steps(scenario: Scenario, seed: int) -> None:
    check_conservation(scenario, seed, copies=20, periods=20)


@settings(max_examples=40)
@given(random_scenarios(), st.integers(0, 2**32))
def test_simulate_period__nothing_is_negative(scenario: Scenario, seed: int) -> None:
    simulator = Simulator(scenario)
    state = simulator.make_state(make_seeds("test", seed, 3))
    for _, decisions, flows, after in simulate(simulator, state, 8, seed):
        for record in (flows, after, simulator.show(after)):
            for field in fields(record):
                units = getattr(record, field.name)
                if field.name in {"record_error", "log_drift"} or units is None:  # either sign
                    continue
                assert (units >= 0).all(), field.name
        assert (flows.shipped <= decisions.shipment).all()
        assert (flows.supplied <= decisions.supplier_order).all()
        assert (flows.on_time <= flows.demand).all()
        if simulator.scenario.order_rules is not None:
            assert not (flows.supplied % 3).any()
            assert not (flows.shipped % 3).any()
            assert not ((flows.shipped > 0) & (flows.shipped < 6)).any()  # the minimum in packs
        if after.in_return is not None:
            rest = after.in_transit.copy()
            rest[:, : after.in_return.shape[1]] -= after.in_return
            assert (rest >= 0).all()


@settings(max_examples=25)
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
