from __future__ import annotations

import numpy as np
import pytest

from envs.omnichannel.agents.protection import Protection
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import load_scenario
from envs.omnichannel.types import Float32Array
from envs.omnichannel.world.draws import make_seeds
from marl.policies.base import Setting
from marl.policies.choice import Choice
from marl.policies.choices import CHOICES, Dispatch, SupplierOrder, find_distinct
from marl.policies.families import FullTruck, SafetyStocks
from marl.policies.plan import Plan

VOLATILE = load_scenario("volatile")  # trucks of 120 units
SETTING = Setting.from_scenario(VOLATILE)
COPIES = 2


@pytest.fixture
def env() -> BatchedEnv:
    env = BatchedEnv(VOLATILE, COPIES)
    env.reset(make_seeds("test", 0, COPIES))
    return env


@pytest.fixture
def plan(env: BatchedEnv) -> Plan:
    rule = FullTruck(SETTING, FullTruck.make_space(SETTING).initial)
    return rule.make_plan(env.view)


def test_dispatch__options_by_hand(plan: Plan) -> None:
    plan.shipment_gap[0, 0] = [100, 60, -40, 10]  # 170 units: one full truck and 50 units
    assert plan.load is not None
    plan.load[0, 0] = 33
    options = Dispatch(SETTING).list_options(plan)
    assert options.shape == (COPIES, 10, Dispatch.num_options)
    np.testing.assert_allclose(options[0, 0], [33, 0, 170, 120, 240, 360])


def test_dispatch__weighs_stores_by_their_need(plan: Plan) -> None:
    plan.shipment_gap[0, :3, 0] = [60, 0, 1200]
    plan.shipment_gap[0, :3, 1:] = -1
    weights = Dispatch(SETTING).weigh(plan)
    np.testing.assert_allclose(weights[0, :3], [0.65, 0.15, 1.35])


def test_supplier_order__options_by_hand(plan: Plan) -> None:
    plan.up_to_gap[1, 0] = [50, -30, 0, 0]
    plan.supplier_gap[1, 0] = [0, -30, 0, 0]  # the rule waits
    plan.system_rate[1, 0] = [10, 5, 1, 1]
    options = SupplierOrder(SETTING).list_options(plan)
    assert options.shape == (COPIES, 4, SupplierOrder.num_options)
    np.testing.assert_allclose(options[1, 0], [0, 0, 10, 30, 50, 70, 90, 120])
    np.testing.assert_allclose(options[1, 1], [-30, -30, -50, -40, -30, -20, -10, 5])


@pytest.mark.parametrize("name", CHOICES)
def test_take__option_0_is_the_rule(name: str, plan: Plan) -> None:
    choice = CHOICES[name](SETTING)
    before = plan.make_targets()
    assert choice.get_values(plan).shape == choice.weigh(plan).shape
    choice.take(plan, choice.list_options(plan)[..., 0])
    after = plan.make_targets()
    np.testing.assert_allclose(after.shipment_gap, before.shipment_gap)
    np.testing.assert_allclose(after.supplier_gap, before.supplier_gap)


def compute_features(choice: Choice, env: BatchedEnv, plan: Plan) -> Float32Array:
    """Features by row, (R, B, K, F)."""
    observed = env.observe()[:, choice.rows].swapaxes(0, 1)
    own = np.full((*observed.shape[:-1], len(choice.features)), np.nan, np.float32)
    features = np.concatenate([observed, own], axis=-1)
    choice.fill_in(plan, features)
    np.testing.assert_array_equal(features[..., : env.layout.num_features], observed)
    return features


@pytest.mark.parametrize("name", CHOICES)
def test_fill_in__named_bounded_and_alive(name: str, env: BatchedEnv, plan: Plan) -> None:
    choice = CHOICES[name](SETTING)
    features = compute_features(choice, env, plan)
    assert features.dtype == np.float32
    assert features.shape[-1] == env.layout.num_features + len(choice.features)
    assert np.abs(features).max() <= 5
    own = features[..., env.layout.num_features :].reshape(-1, len(choice.features))
    alive = own.std(axis=0) > 0
    assert alive.mean() > 0.5


def test_fill_in__dispatch_by_hand(env: BatchedEnv, plan: Plan) -> None:
    plan.shipment_gap[0, 3] = [100, 60, -40, 20]
    assert plan.load is not None
    plan.load[0, 3] = 240
    features = compute_features(Dispatch(SETTING), env, plan)
    own = dict(zip(Dispatch.features, features[3, 0, 0, env.layout.num_features :], strict=True))
    assert own["gap"] == pytest.approx(100 / 120)
    assert own["trucks"] == pytest.approx(1.5)
    assert own["started_truck"] == pytest.approx(0.5)
    assert own["rule_trucks"] == pytest.approx(2)
    assert own["distance"] == -1
    rate, state = plan.store_rate[0, 3, 0], env.view
    assert own["stock_cover"] == pytest.approx(state.on_hand[0, 4, 0] / (2 * rate) - 1, rel=1e-5)


def test_list_by_agent__dcs_and_skus_are_agents_unless_joint() -> None:
    by_row = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # 2 rows, 3 copies, 4 SKUs, 5 features
    joint, each = (
        CHOICES[n](SETTING).list_by_agent(by_row) for n in ("dispatch", "supplier_order")
    )
    np.testing.assert_array_equal(joint[2, 1], by_row[1, 2])
    assert each.shape == (3, 8, 5)
    np.testing.assert_array_equal(each[2, 4 + 3], by_row[1, 2, 3])


def test_find_distinct__equal_units_are_one() -> None:
    options = np.array([[33.2, 0.0, 33.0, -5.0], [1.0, 2.0, 3.0, 2.2]])
    distinct, place = find_distinct(options)
    np.testing.assert_array_equal(distinct, [0, 1, 4, 5, 6])
    np.testing.assert_array_equal(place, [[0, 1, 0, 1], [2, 3, 4, 3]])


def test_supplier_order__beside_a_safety_stock_options_are_sigmas(env: BatchedEnv) -> None:
    rule = SafetyStocks(SETTING, SafetyStocks.make_space(SETTING).initial)
    plan = rule.make_plan(env.view)
    assert plan.echelon_deviation is not None
    below = Protection(env.network).measure_echelons(
        env.view.ahead, env.view.smoothed.sum(axis=-1), env.view.variance
    )
    np.testing.assert_array_equal(plan.echelon_deviation, below.deviation)
    plan.supplier_gap = plan.up_to_gap.copy()  # as after a reorder rule
    plan.up_to_gap[1, 0] = [50, -30, 0, 0]
    plan.supplier_gap[1, 0] = [0, -30, 0, 0]
    plan.echelon_deviation[1, 0] = [10, 4, 1, 1]
    options = SupplierOrder(SETTING).list_options(plan)
    np.testing.assert_allclose(options[1, 0], [0, 0, 30, 40, 50, 60, 70, 85])
    np.testing.assert_allclose(options[1, 1], [-30, -30, -38, -34, -30, -26, -22, -16])
    assert plan.select(np.array([1])).echelon_deviation[0, 0, 0] == 10  # type: ignore[index]
