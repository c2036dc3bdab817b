from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.policies import FAMILIES, list_families, make_policy
from marl.policies.base import Setting
from marl.policies.classes import classify_skus
from marl.policies.families import FullTruckBySku
from marl.policies.loads import FairShare, FullTrucks, MinimumLoad
from marl.policies.parts import (
    CoversByStock,
    CutPlanning,
    OrderCap,
    ReorderGap,
    Reserve,
    SkuCovers,
    StockDisposition,
    StockSplit,
)
from marl.policies.plan import Plan

# Scenario tiny with constant demand: a DC, two stores (6 + 3 shirts and 3 + 2 lamps a day in
# store_0, half of it in store_1) and trucks of 20 units. See tests/test_policies.py.
TRUCKS = {"costs": {"truck_capacity": 20, "truck_cost": 5.0}}


def make_scenario(**changes: object) -> Scenario:
    data = load_scenario("tiny").model_dump(mode="json")
    data["forecast"]["method"] = "mean"
    for group, values in changes.items():
        data[group] = {**(data[group] or {}), **values} if isinstance(values, dict) else values
    return Scenario.model_validate(data)


@pytest.fixture
def setting() -> Setting:
    return Setting.from_scenario(make_scenario(**TRUCKS))


@pytest.fixture
def plan(setting: Setting) -> Plan:
    env = BatchedEnv(make_scenario(**TRUCKS), 1)
    env.reset(make_seeds("test", 0, 1))
    return Plan.start(env.view, setting)


def test_start__knows_positions_and_rates(plan: Plan) -> None:
    np.testing.assert_array_equal(plan.position[0], [[18, 10], [9, 5]])
    np.testing.assert_array_equal(plan.echelon[0], [[68 + 27, 38 + 15]])
    np.testing.assert_allclose(plan.store_rate[0], np.array([[6, 3], [3, 1.5]]))
    np.testing.assert_allclose(plan.system_rate[0], [[13.5, 7.5]])


def test_stock_split__takes_more_orders_with_more_stock(setting: Setting, plan: Plan) -> None:
    # Stock lasts 18 / 6 = 3 and 10 / 3 days in both stores: 1 and 4/3 days beyond the threshold.
    values = {
        "online_share": 0.2, "split_threshold": 2.0, "split_slope": 0.3, "dc_out_threshold": 0.0,
    }  # fmt: skip
    StockSplit(setting, values).apply(plan)
    np.testing.assert_allclose(plan.online_share[0], [[0.5, 0.6], [0.5, 0.6]])
    # They plan for the fixed share: 6 + 0.2 x 3 and so on.
    np.testing.assert_allclose(plan.store_rate[0], [[6.6, 3.4], [3.3, 1.7]])


def test_stock_split__stores_step_in_for_an_empty_dc(setting: Setting, plan: Plan) -> None:
    plan.view.on_hand[:, 0] = [0, 38]
    values = {
        "online_share": 0.2, "split_threshold": 2.0, "split_slope": 0.0, "dc_out_threshold": 1.0,
    }  # fmt: skip
    StockSplit(setting, values).apply(plan)
    np.testing.assert_allclose(plan.online_share[0], [[1, 0.2], [1, 0.2]])


def test_sku_covers__add_days_by_demand_class(setting: Setting, plan: Plan) -> None:
    np.testing.assert_array_equal(classify_skus(setting), [1, 0])  # lamps are the slow class
    values = {
        "store_sku_cover_0": 1.0, "store_sku_cover_1": -1.0,
        "dc_sku_cover_0": 2.0, "dc_sku_cover_1": 0.0,
    }  # fmt: skip
    before = plan.shipment_gap
    SkuCovers(setting, values).apply(plan)
    added = np.array([[[-6, 3], [-3, 1.5]]])
    np.testing.assert_allclose(np.asarray(plan.shipment_gap - before), added)
    np.testing.assert_allclose(plan.supplier_gap[0], [[-95, 15 - 53]])


def test_reorder_gap__small_orders_wait(setting: Setting, plan: Plan) -> None:
    plan.up_to_gap = np.array([[[27.0, 14.0]]])  # 2 days of 13.5, less than 2 days of 7.5
    ReorderGap(setting, {"reorder_gap": 2.0}).apply(plan)
    np.testing.assert_allclose(plan.supplier_gap, [[[27, 0]]])
    np.testing.assert_allclose(plan.up_to_gap, [[[27, 14]]])


def test_fair_share__leaves_equal_cover_and_the_reserve(setting: Setting, plan: Plan) -> None:
    # 68 shirts less two days of (3 + 1.5) online orders leave 59; 30 days' worth are asked for:
    # 180 + 90 units at 6 and 3 a day, so each store is left with (270 - 59) / 9 days less.
    plan.shipment_gap = np.array([[[180.0, 1.0], [90.0, 0.0]]])
    FairShare(setting, {"dc_reserve": 2.0}).apply(plan)
    less = (270 - 59) / 9
    np.testing.assert_allclose(
        plan.shipment_gap, [[[180 - 6 * less, 1], [90 - 3 * less, 0]]], atol=1e-12
    )


@pytest.mark.parametrize(
    ("need", "minimum", "load"), [([9.0, 8.0], 0.9, 0.0), ([9.0, 9.0], 0.9, 18.0)]
)
def test_minimum_load__ships_from_a_share_of_a_truck_on(
    setting: Setting, plan: Plan, need: list[float], minimum: float, load: float
) -> None:
    plan.shipment_gap = np.array([[need, [0.0, 0.0]]])
    MinimumLoad(setting, {"minimum_load": minimum, "urgent_cover": 0.0}).apply(plan)
    assert plan.load is not None
    np.testing.assert_allclose(plan.load, [[load, 0]])


def test_minimum_load__what_runs_low_does_not_wait(setting: Setting, plan: Plan) -> None:
    plan.shipment_gap = np.array([[[3.0, 0.0], [3.0, 0.0]]])  # targets 21 and 12
    MinimumLoad(setting, {"minimum_load": 1.0, "urgent_cover": 0.8}).apply(plan)
    assert plan.load is not None
    np.testing.assert_allclose(plan.load, [[0, 3]])  # 18 / 21 is enough, 9 / 12 is not


@pytest.mark.parametrize(
    ("need", "load"),
    [(27.9, 20.0), (28.1, 40.0), (47.0, 40.0), (7.9, 0.0), (8.1, 20.0)],
)
def test_full_trucks__round_from_a_fraction_on(
    setting: Setting, plan: Plan, need: float, load: float
) -> None:
    plan.shipment_gap = np.array([[[need, -5.0], [0.0, 0.0]]])
    values = {"minimum_load": 0.1, "urgent_cover": 0.0, "round_up": 0.4}
    FullTrucks(setting, values).apply(plan)
    assert plan.load is not None
    np.testing.assert_allclose(plan.load, [[load, 0]])
    np.testing.assert_allclose(np.maximum(plan.pack(), 0).sum(axis=-1), [[load, 0]], atol=1e-9)


def test_cut_planning__builds_up_and_inflates() -> None:
    cuts = {"windows": 1, "length": 3, "share": 0.5, "notice": 6}
    scenario = make_scenario(supply_cuts=cuts)
    setting = Setting.from_scenario(scenario)
    env = BatchedEnv(scenario, 2)
    env.reset(make_seeds("test", 0, 2))
    # A cut of three days begins in 4 days; in the other copy it is on for two more days.
    confirmed = np.array([[[1, 1, 1, 1, 0.5, 0.5, 0.5]], [[0.5, 0.5, 1, 1, 1, 1, 1]]])
    plan = Plan.start(replace(env.view, confirmed=confirmed), setting)
    plan.up_to_gap = np.array([[[10.0, -9.0]]] * 2)
    values = {"pre_build": 1.0, "pre_build_days": 5.0, "cut_cover": 0.0, "cut_inflation": 0.5}
    CutPlanning(setting, values).apply(plan)
    # Two of its days lie within 5 days and withhold half: one day of demand more, 13.5 and 7.5.
    np.testing.assert_allclose(plan.supplier_gap[0], [[23.5, -1.5]])
    # To get all of an order, twice as much must be asked; half of that is added.
    np.testing.assert_allclose(plan.supplier_gap[1], [[15, -9]])


def test_stock_disposition__shelf_then_dc_then_liquidation(setting: Setting, plan: Plan) -> None:
    plan.shipment_gap = np.array([[[0.0, -5.0], [9.0, 0.0]]])  # positions 1, 2, .5, 1 x target
    plan.up_to_gap = np.array([[[10.0, -43.0]]])  # echelons .9 and 5.3 x target
    StockDisposition(setting, {"restock_below": 0.9, "liquidate_above": 3.0}).apply(plan)
    consolidate, liquidate, restock = [0, 1, 0], [0, 0, 1], [1, 0, 0]
    np.testing.assert_array_equal(
        plan.disposition[0], [[consolidate, liquidate], [restock, liquidate]]
    )


def test_order_cap__caps_both_orders(setting: Setting, plan: Plan) -> None:
    plan.shipment_gap = np.array([[[20.0, -5.0], [4.0, 4.0]]])  # rates 6, 3, 3 and 1.5
    plan.up_to_gap = np.array([[[30.0, 10.0]]])  # rates 13.5 and 7.5
    OrderCap(setting, {"store_order_cap": 2.0, "dc_order_cap": 2.0}).apply(plan)
    np.testing.assert_allclose(plan.shipment_gap, [[[12, -5], [4, 3]]])
    np.testing.assert_allclose(plan.supplier_gap[0, 0, 0], -95)  # below its cap, untouched
    np.testing.assert_allclose(plan.up_to_gap, [[[27, 10]]])


def test_levels_by_stock__follow_the_dc(setting: Setting, plan: Plan) -> None:
    plan.view.on_hand[:, 0] = [27, 15]  # two days of the region's demand
    before = plan.shipment_gap
    CoversByStock(setting, {"cover_slope": 0.5}).apply(plan)
    np.testing.assert_allclose(plan.shipment_gap - before, plan.store_rate)


def test_reserve__leaves_the_largest_shortage_small(setting: Setting, plan: Plan) -> None:
    plan.view.on_hand[:, 0] = [40, 38]
    plan.shipment_gap = np.array([[[20.4, 3.0], [12.0, -1.0]]])  # 32 shirts are asked for
    Reserve(setting, {"dc_stock_reserve": 1.0}).apply(plan)  # 14 shirts (13.5), 26 are free
    np.testing.assert_allclose(plan.shipment_gap, [[[17, 3], [9, -1]]])


def test_list_families__capped_orders_are_for_stationary_demand() -> None:
    families = ("capped_base_stock", "warehouse_reserve")
    assert not set(families) & set(list_families(load_scenario("paper")))
    assert not set(families) & set(list_families(load_scenario("retail")))
    assert set(families) < set(list_families(load_scenario("owmr")))
    assert "warehouse_reserve" not in list_families(load_scenario("lost_sales"))
    assert "capped_base_stock" in list_families(load_scenario("lost_sales"))
    assert "full_truck" not in list_families(load_scenario("lost_sales"))


@pytest.mark.parametrize("family", FAMILIES)
def test_compute_targets__many_members_at_once(family: str) -> None:
    scenario = load_scenario("scarce")
    setting = Setting.from_scenario(scenario)
    space = FAMILIES[family].make_space(setting)
    env = BatchedEnv(scenario, 3)
    env.reset(make_seeds("test", 0, 3))
    members = [
        {p.name: p.low + share * (p.high - p.low) for p in space.parameters}
        for share in (0.2, 0.5, 0.8)
    ]
    together = {name: np.array([m[name] for m in members]) for name in space.names}
    rule = FAMILIES[family](setting, together)
    for _ in range(8):
        view = env.view
        targets = rule.compute_targets(view)
        for copy, member in enumerate(members):
            alone = make_policy(family, scenario, member).compute_targets(view)
            for field in ("supplier_gap", "shipment_gap", "online_share", "disposition"):
                np.testing.assert_allclose(
                    getattr(targets, field)[copy], getattr(alone, field)[copy], atol=1e-9
                )
        env.apply(targets)


def test_full_truck__pays_for_full_trucks_only() -> None:
    scenario = load_scenario("volatile")
    setting = Setting.from_scenario(scenario)
    values = {**FullTruckBySku.make_space(setting).initial, "urgent_cover": 0.0}
    rule = FullTruckBySku(setting, values)
    env = BatchedEnv(scenario, 4)
    env.reset(make_seeds("test", 0, 4))
    loads = [rule.run_period(env).flows.requested.sum(axis=-1) for _ in range(20)]
    sent = np.concatenate(loads).ravel()
    assert (sent % 120 == 0).all()
    assert set(np.unique(sent)) >= {0, 120}
