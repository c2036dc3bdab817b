"""Rules of a planner all at once: packs, calendars, minimums, shelves, dates and all others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions, Targets
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.calendars import WEEKDAYS
from envs.omnichannel.types import IntArray, View
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.allocation.shelf_space import ShelfSpace
from envs.omnichannel.world.draws import make_seeds
from tests.conftest import known
from tests.test_simulator_properties import check_history, random_scenarios


@st.composite
def ruled_scenarios(draw: st.DrawFn) -> Scenario:
    """A random scenario of two SKUs and more under all rules of a planner."""
    data: dict[str, Any] = draw(random_scenarios()).model_dump(mode="json", exclude_none=True)
    data["skus"].append({**data["skus"][0], "name": "other", "shelf_life": 2})
    first, other = data["skus"][0]["name"], "other"
    data["fulfillment"]["store_unmet"] = draw(st.sampled_from(["lost", "partial"]))
    pack, shelf = draw(st.integers(1, 6)), draw(st.integers(3, 20))
    begin = draw(st.integers(0, 9))
    data["order_rules"] = [
        {"multiple": pack, "rounding": draw(st.sampled_from(["nearest", "up", "down"]))},
        {"skus": [other], "multiple": 2, "minimum": draw(st.integers(1, 12)), "maximum": 60},
    ]
    data["shelf_rules"] = [
        {"presentation": draw(st.integers(0, 3)), "maximum": shelf},
        {"skus": [first], "maximum": 2 * shelf},
    ]
    data["back_room"] = [{"capacity": draw(st.integers(0, 15)), "cost": 0.1}]
    data["assortment"] = {
        "dates": [
            {"skus": [other], "from": begin, "until": begin + draw(st.integers(0, 9))},
            {"skus": [other], "launch": draw(st.integers(1, 12))},
        ]
    }
    shares = st.sampled_from([0.3, 1.0])
    data["substitution"] = [
        {"of": first, "by": other, "share": draw(shares)},
        {"of": other, "by": first, "share": draw(shares)},
    ]
    data["order_calendars"] = draw(calendars(data["network"]["stores"][0]["name"]))
    for sku, price in zip(data["skus"], (2, 5, 3), strict=False):
        sku |= {"unit_cost": price, "weight": price / 2}
    data["suppliers"] = draw(some_suppliers(other))
    data["transshipment"] = draw(st.sampled_from([None, {"lead_time": 1}]))
    if draw(st.booleans()):
        data["costs"] = {"truck_capacity": 20, "truck_cost": 1.0}
    return Scenario.model_validate(data)


@st.composite
def calendars(draw: st.DrawFn, store: str) -> list[dict[str, Any]]:
    """Order days and delivery days of all lanes, and of one store."""
    days = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=3, unique=True)
    lead_times = st.dictionaries(
        st.sampled_from(WEEKDAYS), st.integers(1, 4), min_size=1, max_size=3
    )
    return [
        {"order_days": draw(days), "delivery_days": draw(st.none() | days)},
        {"to": [store], "order_days": None, "lead_times": draw(st.none() | lead_times)},
    ]


@st.composite
def some_suppliers(draw: st.DrawFn, other: str) -> list[dict[str, Any]]:
    """One of a SKU, with limits, and one of all."""
    days = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=2, unique=True)
    limited = {
        "minimum_units": draw(st.none() | st.integers(1, 20)),
        "minimum_value": draw(st.none() | st.integers(1, 60)),
        "minimum_weight": draw(st.none() | st.integers(1, 20)),
        "weekly_budget": draw(st.none() | st.integers(1, 200)),
        "rounding": draw(st.sampled_from(["nearest", "up", "down"])),
    }
    first = {"name": "first", "skus": [other], "lead_time": 1, "order_days": draw(days)}
    return [first | limited, {"name": "second", "lead_time": draw(st.integers(1, 4))} | limited]


class Watched(BatchedEnv):
    """An environment that keeps what was decided."""

    decided: Decisions

    def decide(self, targets: Targets, view: View | None = None) -> Decisions:
        self.decided = super().decide(targets, view)
        return self.decided


def check_orders(env: Watched, view: View, decided: Decisions) -> None:
    """Orders are lots that fit into the stores, of what is on sale when they arrive."""
    net, scenario = env.network, env.scenario
    lots, space = known(Lots.from_scenario(scenario)), known(ShelfSpace.from_scenario(scenario))
    for orders, nodes in (
        (decided.supplier_order, slice(net.num_dcs)),
        (decided.shipment, slice(net.num_dcs, net.num_nodes)),
    ):
        own = lots.take(nodes)
        assert (orders % own.multiple == 0).all()
        assert ((orders == 0) | ((own.minimum <= orders) & (orders <= own.maximum))).all()
    stock: IntArray = (view.on_hand + view.in_transit.sum(axis=1))[:, net.num_dcs :]
    stock = stock + view.in_inspection.sum(axis=1)
    if view.inspection_queue is not None:
        stock = stock + view.inspection_queue[:, net.num_dcs :]
    held, then = (
        space.count_back_room(units).sum(axis=-1) for units in (stock, stock + decided.shipment)
    )
    assert (then <= np.maximum(held, space.capacity)).all()
    schedule = known(net.schedule)
    taken = schedule.take_orders(view.day)
    assert not decided.supplier_order[~taken[:, : net.num_dcs]].any()
    assert not decided.shipment[~taken[:, net.num_dcs :]].any()
    check_suppliers(env, view, decided)
    lead_time = schedule.count_lead_time(view.day)[:, net.num_dcs :]
    arrives = view.day[:, None, None] + lead_time
    dates = known(net.dates)
    assert not decided.shipment[(arrives < dates.first) | (dates.last < arrives)].any()
    still = (view.day[:, None, None] <= dates.last).astype(np.int64)
    assert not decided.supplier_order[net.sum_by_dc(still) == 0].any()


def check_suppliers(env: Watched, view: View, decided: Decisions) -> None:
    """Every order is nothing or reaches the minimums, and no week costs more than the budget."""
    scenario, skus = env.scenario, env.scenario.skus
    names = known(env.network.schedule).name_suppliers(view.day)
    money = np.array([sku.unit_cost for sku in skus])
    weight = np.array([sku.weight for sku in skus])
    for j, supplier in enumerate(scenario.suppliers or ()):
        order = np.where(names == j, decided.supplier_order, 0)
        some = order.any(axis=-1)
        for least, sums in (
            (supplier.minimum_units, order.sum(axis=-1)),
            (supplier.minimum_value, order @ money),
            (supplier.minimum_weight, order @ weight),
        ):
            assert least is None or (sums[some] >= least - 1e-9).all()
        if supplier.weekly_budget is not None:
            before = np.where(view.day % 7 == 0, 0, known(view.spent)[:, j])
            assert (before + (order @ money).sum(axis=-1) <= supplier.weekly_budget + 1e-6).all()


def run(scenario: Scenario, seed: int, copies: int, periods: int) -> None:
    """Random options of all agents; whatever they ask for, every rule holds."""
    env, rng = Watched(scenario, copies), np.random.default_rng(seed)
    env.reset(make_seeds("test", seed, copies))
    first, history = env.state, []
    for _ in range(periods):
        options = {
            m: rng.integers(
                module.num_options, size=(copies, module.num_agents, env.network.num_skus)
            )
            for m, module in env.layout.modules.items()
        }
        before, view = env.state, env.view
        step = env.step(options)
        check_orders(env, view, env.decided)
        assert (env.state.on_hand >= 0).all()
        history.append((before, env.decided, step.flows, env.state))
    check_history(env.simulator, first, history)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(ruled_scenarios(), st.integers(0, 2**32))
def test_all_rules__hold_and_conserve(scenario: Scenario, seed: int) -> None:
    run(scenario, seed, copies=3, periods=10)


@pytest.mark.slow
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(ruled_scenarios(), st.integers(0, 2**32))
def test_all_rules__hold_and_conserve_in_100_000_env_steps(scenario: Scenario, seed: int) -> None:
    run(scenario, seed, copies=20, periods=20)
