"""Safety stocks of perishables and by what SKUs are worth, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import FloatArray, View
from envs.omnichannel.world.draws import make_seeds
from marl.policies import list_families
from marl.policies.ageing import FreshSafetyStock, expect_waste
from marl.policies.base import Setting
from marl.policies.newsvendor import NewsvendorStock, compute_moves
from marl.policies.parts import Part
from marl.policies.plan import Plan
from marl.policies.ratios import compute_ratios
from marl.policies.safety_stock import SafetyStock

FRESH = load_scenario("perishable")


def begin(scenario: Scenario, copies: int = 2) -> View:
    env = BatchedEnv(scenario, copies)
    env.reset(make_seeds("test", 0, copies))
    return env.view


def make_initial(part: type[Part], setting: Setting) -> dict[str, float]:
    return {p.name: p.initial for p in part.make_parameters(setting)}


def plan_with(part: type[Part], scenario: Scenario, view: View, **values: float) -> Plan:
    """The plan of one part alone, online orders left to the DC."""
    setting = Setting.from_scenario(scenario)
    plan = Plan.start(view, setting)
    part(setting, make_initial(part, setting) | values).apply(plan)
    return plan


def waste(*, oldest_first: bool, nights: int, factor: float = 1.0) -> float:
    """Of 4, 2 and 5 units with 1, 2 and 3 days left, 3 sold a day, 6 arriving tomorrow."""
    shelf, arriving = np.array([4.0, 2, 5]), np.array([6.0, 0])
    found = expect_waste(
        shelf[None, :, None, None], arriving[None, :, None, None],
        np.array([2.0, 1.0])[:, None, None, None], np.full((1, 2, 1, 1), factor),
        np.array([3]), np.array([oldest_first, oldest_first]), np.full((1, 1, 1), nights),
    )  # fmt: skip
    return float(found[0, 0, 0])


def test_expect_waste__days_take_from_the_shelf_and_what_is_left_of_the_oldest_is_wasted() -> None:
    # Oldest first: 4 - 3 = 1 is wasted; then 2 and 1 of the 5 go, and nothing is.
    assert [waste(oldest_first=True, nights=n) for n in (0, 1, 2)] == [0, 1, 1]
    # Freshest first: all 4 are wasted, then the 2 beside 6 fresh ones, then what is left of the 5.
    assert [waste(oldest_first=False, nights=n) for n in (0, 1, 2, 3)] == [0, 4, 6, 8]
    # Half of it sold: 4 - 1.5, then 2 - 1.5, then 5 - 1.5; the 6 have a day left.
    assert [waste(oldest_first=True, nights=n, factor=0.5) for n in (1, 2, 3)] == [2.5, 3, 6.5]


def test_fresh_safety_stock__orders_what_will_be_wasted_again() -> None:
    view = begin(FRESH)
    assert view.shelf is not None
    shelf = np.zeros_like(view.shelf)
    shelf[:, 0, :, :3] = view.on_hand[:, 1:, :3]  # everything expires today
    old = replace(view, shelf=shelf)
    gaps = {name: make_gaps(name, old) for name in ("safety_stock", "fresh")}
    walk_in = view.smoothed[..., :3, 0] * np.diff(view.ahead, axis=1, prepend=0)[:, 0, :, :3]
    expected = np.maximum(view.on_hand[:, 1:, :3] - walk_in, 0)
    more = gaps["fresh"] - gaps["safety_stock"]
    assert more[..., :3] == pytest.approx(expected)
    assert expected.max() > 5
    assert (more[..., 3] == 0).all()  # rice keeps


def make_gaps(name: str, view: View) -> FloatArray:
    own = {"store_z_0": 1.0, "dc_z_0": 1.0}
    if name == "fresh":
        own |= {"fresh_store_z": 1.0, "fresh_dc_z": 1.0}
    part = FreshSafetyStock if name == "fresh" else SafetyStock
    return plan_with(part, FRESH, view, **own).shipment_gap


def test_fresh_safety_stock__perishables_have_a_z_of_their_own() -> None:
    view = begin(FRESH)
    fresh = {"fresh_store_z": "shipment_gap", "fresh_dc_z": "supplier_gap"}
    none = plan_with(FreshSafetyStock, FRESH, view, **dict.fromkeys(fresh, 0.0))
    for name, moved in fresh.items():
        plan = plan_with(FreshSafetyStock, FRESH, view, **(dict.fromkeys(fresh, 0.0) | {name: 2.0}))
        for gap in fresh.values():
            more = getattr(plan, gap) - getattr(none, gap)
            assert (more[..., :3] > 1).all() == (gap == moved), (name, gap)
            assert (more[..., 3] == 0).all(), name  # rice keeps
            assert gap == moved or (more == 0).all()


def test_list_families__what_spoils_has_a_family_of_its_own() -> None:
    assert "safety_stock_fresh" in list_families(FRESH)
    assert "safety_stock_fresh" not in list_families(load_scenario("lost_sales"))


def make_dear(scenario: Scenario, sku: int, penalty: float) -> Scenario:
    """One SKU is dear to lose."""
    skus = list(scenario.skus)
    skus[sku] = skus[sku].model_copy(update={"store_lost_sale": penalty})
    return scenario.model_copy(update={"skus": skus})


def test_compute_ratios__are_those_of_the_newsvendor() -> None:
    one = load_scenario("lost_sales")  # a lost sale costs 4, a unit in stock 1, at the DC 0
    store, dc = compute_ratios(one, np.full((1, 1, 2), [5.0, 0.0]))
    assert store.tolist() == [4 / (4 + 1)]
    assert dc.tolist() == [0.999]  # (4 + 1) / (4 + 1): stock at the DC is free
    # Walk-ins are lost, 1 each or 5; online orders wait, 0.1 a day; one unit of four is online.
    store, dc = compute_ratios(make_dear(FRESH, 0, 5.0), np.full((2, 4, 2), [3.0, 1.0]))
    short = np.array([3.775, 0.775, 0.775, 0.775])
    assert store == pytest.approx(short / (short + 0.02))
    assert dc == pytest.approx((short + 0.012) / (short + 0.02))


def test_newsvendor__moves_z_by_the_quantiles_of_the_ratios() -> None:
    # Quantiles 0, 1 and 2 standard deviations; half of the units are of the first SKU.
    ratio = np.array([0.5, 0.8413447, 0.9772499])
    assert compute_moves(ratio, np.array([4.0, 2, 2])) == pytest.approx([-0.75, 0.25, 1.25], 1e-5)
    dear = make_dear(FRESH, 3, 20.0)
    view, setting = begin(dear), Setting.from_scenario(dear)
    more = setting.mean_demand.sum(axis=(0, 2))
    moves = compute_moves(setting.store_ratio, more)
    assert moves[3] > 0.5
    assert 0 > moves[0] == moves[1] == moves[2]
    plain = plan_with(SafetyStock, dear, view)
    own = plan_with(NewsvendorStock, dear, view)
    none = plan_with(SafetyStock, dear, view, store_z_0=0.0)
    deviation = (plain.shipment_gap - none.shipment_gap) / 1.5
    assert own.shipment_gap - plain.shipment_gap == pytest.approx(moves * deviation)
    assert (own.supplier_gap > plain.supplier_gap)[..., 3].all()
    assert (own.supplier_gap < plain.supplier_gap)[..., :3].all()


def test_list_families__what_is_worth_the_same_needs_no_ratios() -> None:
    assert "newsvendor" not in list_families(FRESH)
    assert "newsvendor" in list_families(make_dear(FRESH, 0, 5.0))
