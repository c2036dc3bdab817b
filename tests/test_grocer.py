"""The scenario `grocer`: packs, conservation and digits of a short run; resampled training days."""

import hashlib

import numpy as np
import pytest

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.data import load_grocery_skus
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.types import IntArray
from envs.omnichannel.world.allocation.lots import Lots
from envs.omnichannel.world.demand import make_demand
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.policies import make_policy
from marl.policies.base import ParameterSpace, Setting
from marl.policies.families import get_family
from tests.test_simulator_properties import check_conservation

GROCER = load_scenario("grocer")


def test_grocer__prices_are_those_of_the_data() -> None:
    table = load_grocery_skus().set_index("sku")
    for sku in GROCER.skus:
        assert sku.price == table.loc[sku.name, "unit_price"]
        assert sku.category == table.loc[sku.name, "category"]
        assert sku.margin is not None
        assert sku.store_lost_sale is not None
        assert sku.store_lost_sale >= sku.margin - 0.005  # cents


def make_space(family: str) -> ParameterSpace:
    return get_family(family).make_space(Setting.from_scenario(GROCER))


def run_short(scenario: Scenario, family: str, periods: int = 21) -> tuple[str, float]:
    """A digest of what moved under a family's first guess, and the cost; packs are whole."""
    rule = make_policy(family, scenario, make_space(family).initial)
    env, digest, cost = BatchedEnv(scenario, 2, "evaluate"), hashlib.sha256(), 0.0
    lots = Lots.from_scenario(scenario)
    assert lots is not None
    env.reset(make_seeds("test", 3, 2))
    for _ in range(periods):
        step = rule.run_period(env)
        moved = (step.flows.supplied, step.flows.shipped)
        for units, packs in zip(moved, (lots.multiple[:1], lots.multiple[1:]), strict=True):
            assert not (units % packs).any()
            digest.update(np.ascontiguousarray(units, np.int64).tobytes())
        cost += float(step.costs.by_term.sum())
    return digest.hexdigest()[:16], cost


def test_grocer__keeps_calendars_and_minimums() -> None:
    rule = make_policy("safety_stock_fresh", GROCER, make_space("safety_stock_fresh").initial)
    env = BatchedEnv(GROCER, 2, "evaluate")
    env.reset(make_seeds("test", 3, 2))
    schedule, costs = GROCER.schedule, np.array([sku.unit_cost for sku in GROCER.skus])
    assert schedule is not None
    assert GROCER.suppliers is not None
    for _ in range(21):
        day, flows = env.view.day, rule.run_period(env).flows
        may = schedule.take_orders(day)
        assert not flows.supplied[~may[:, :1]].any()
        assert not flows.shipped[~may[:, 1:]].any()
        for supplier in GROCER.suppliers:
            own = [GROCER.sku_names.index(name) for name in supplier.skus or ()]
            value = flows.supplied[:, 0, own] @ costs[own]
            assert ((value == 0) | (value >= (supplier.minimum_value or 0))).all()


@pytest.mark.parametrize(
    ("family", "digest", "cost"),
    [
        ("safety_stock_fresh", "ce8dff61268e3e22", 4291.00087),
        ("full_truck", "00393bd272730166", 5903.44452),
    ],
)
def test_grocer__moves_whole_packs_and_the_same_as_ever(
    family: str, digest: str, cost: float
) -> None:
    found, money = run_short(GROCER, family)
    assert found == digest
    assert money == pytest.approx(cost, rel=1e-9)


def test_grocer__conserves_units() -> None:
    check_conservation(GROCER, seed=1, copies=2, periods=15)


def make_traces(scenario: Scenario) -> TraceDemand:
    demand = make_demand(scenario)
    assert isinstance(demand, TraceDemand)
    return demand


def draw_days(scenario: Scenario, start: int, copies: int = 200) -> IntArray:
    """Units of one day in many copies, (B, S, K)."""
    simulator = Simulator(scenario)
    state = simulator.make_state(make_seeds("train", 0, copies))
    moved = type(state)(**{**vars(state), "day": np.full(copies, start)})
    return simulator.demand.sample_units(moved).sum(axis=-1)


def test_resample__training_days_are_like_days_of_the_weeks_around() -> None:
    units = make_traces(GROCER).units.sum(axis=-1)
    day, weeks = 100, 4
    found = draw_days(GROCER, day)
    like = units[day - 7 * weeks : day + 7 * weeks + 1 : 7]  # (9, S, K)
    for s in range(units.shape[1]):
        same = (found[:, None, s] == like[None, :, s]).all(axis=-1)  # (B, 9)
        assert same.any(axis=1).all()  # a whole basket of one of these days
        assert same.any(axis=0).all()  # each of them comes
    assert len({row.tobytes() for row in found}) > 190  # stores are drawn apart


@pytest.mark.parametrize("day", [0, 5, 268, 272])
def test_resample__never_leaves_the_training_days(day: int) -> None:
    traces = make_traces(GROCER)
    later = traces.units[: traces.train_days].sum(axis=-1)
    like = later[day % 7 :: 7]
    near = like[np.abs(np.arange(len(like)) - day // 7) <= 4]
    found = draw_days(GROCER, day)
    for s in range(found.shape[1]):
        assert (found[:, None, s] == near[None, :, s]).all(axis=-1).any(axis=1).all()


def test_resample__held_back_days_are_as_recorded() -> None:
    units = make_traces(GROCER).units.sum(axis=-1)
    assert (draw_days(GROCER, 300, copies=5) == units[300]).all()


def test_dc_z__reaches_further_where_orders_are_packs() -> None:
    high = {p.name: p.high for p in make_space("safety_stock_fresh").parameters}
    assert high["dc_z_0"] == high["fresh_dc_z"] == 12
    retail = Setting.from_scenario(load_scenario("retail"))
    plain = get_family("safety_stock").make_space(retail).parameters
    assert {p.high for p in plain if p.name.startswith("dc_z")} == {6}
