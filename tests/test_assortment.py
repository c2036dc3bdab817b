"""Ragged assortments: pairs of store and SKU that do not exist are no part of anything."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pettingzoo.test import parallel_api_test

from envs.errors import InputError
from envs.omnichannel import parallel_env
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions, Targets
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.overrides import PARAMETERS
from envs.omnichannel.types import FloatArray, State
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.config import Prioritized
from marl.learning.pool.experience_pool import ExperiencePool
from marl.learning.pool.size import PoolShape, PoolSize
from marl.planning.planner import Planner
from marl.planning.rule_file import RuleMetadata, RulePolicy
from marl.planning.stock_count_file import read_stock_count
from marl.policies import FAMILIES, make_policy
from marl.policies.base import Setting
from marl.policies.families import get_family
from marl.policies.plan import Plan
from marl.policies.tuned import TunedRule
from tests.conftest import known
from tests.test_experience_pool import make_fragment, make_shape
from tests.test_simulator_properties import check_conservation

SEEDS = make_seeds("assortment", 0, 4)
RAGGED = {"without": {"store_1": ["lamp"]}}  # tiny has two stores and two SKUs
ABSENT = (1, 1)  # store, SKU


def change(scenario: Scenario, **changes: Any) -> Scenario:
    data = scenario.model_dump(mode="json", exclude_none=True)
    return Scenario.model_validate(data | changes)


@pytest.fixture
def ragged(tiny: Scenario) -> Scenario:
    return change(tiny, assortment=RAGGED)


def test_carried__of_stores_and_of_their_dcs() -> None:
    two = load_scenario("two_dcs")
    stores, skus = [s.name for s in two.network.stores], two.sku_names
    own = [s.name for s in two.network.stores if s.parent == two.network.dcs[0].name]
    only = {name: [skus[0]] for name in own}
    found = change(two, assortment={"only": only, "without": {stores[-1]: [skus[1]]}})
    carried = found.carried_by_node
    assert carried is not None
    by_name = dict(zip(found.node_names, carried.tolist(), strict=True))
    assert by_name[own[0]] == [True] + [False] * (len(skus) - 1)
    assert by_name[two.network.dcs[0].name] == by_name[own[0]]
    assert by_name[stores[-1]] == [True, False] + [True] * (len(skus) - 2)
    assert all(by_name[two.network.dcs[1].name])


@pytest.mark.parametrize(
    ("assortment", "message"),
    [
        ({"without": {"shop": ["lamp"]}}, "assortment.without: 'shop' is not known; allowed: sto"),
        ({"only": {"store_0": ["hat"]}}, "assortment.only.store_0: 'hat' is not known; allowed"),
        ({"without": {"store_0": ["lamp", "shirt"]}}, "store 'store_0' carries nothing; leave it"),
        (
            {"only": {"store_0": ["lamp"], "store_1": ["lamp"]}},
            "assortment: sku 'shirt' is carried by no store; leave it out",
        ),
        ({}, "assortment: nothing is stated; only or without is needed"),
        (
            {"only": {"store_0": ["lamp"]}, "without": {"store_0": ["lamp"]}},
            "assortment: 'store_0' stands in only and in without; one is allowed",
        ),
        ({"only": {"store_0": []}}, "assortment.only.store_0"),
    ],
)
def test_assortment__refuses_in_one_line(
    assortment: Any, message: str, tiny: Scenario, tmp_path: Path
) -> None:
    data = tiny.model_dump(mode="json", exclude_none=True) | {"assortment": assortment}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_scenario(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_assortment__and_a_start_state_must_agree(tiny: Scenario) -> None:
    start = {"in_transit": {"store_1": {"lamp": {1: 5}}}}
    with pytest.raises(ValueError, match="start: 5 units of 'lamp' are not allowed at 'store_1'"):
        change(tiny, assortment=RAGGED, start=start)


def test_assortment__of_everything_is_none(tiny: Scenario) -> None:
    found = change(tiny, assortment={"only": {"store_0": ["shirt", "lamp"]}})
    assert found.carried is None
    assert Simulator(found).network.carried is None


@pytest.mark.parametrize("process", sorted(PARAMETERS))
def test_demand__of_other_pairs_is_that_of_the_full_scenario(process: str, tiny: Scenario) -> None:
    full = change(tiny, demand={"process": process, "season_period": 14, "correlation": 0.4})
    ragged = change(full, assortment=RAGGED)
    demands = []
    for scenario in (full, ragged):
        simulator = Simulator(scenario)
        state = simulator.make_state(make_seeds("assortment", 1, 200))
        demands.append(simulator.sample_demand(state).units)
    assert demands[0][:, 1, 1].any()
    assert not demands[1][:, 1, 1].any()
    demands[0][:, 1, 1] = 0
    np.testing.assert_array_equal(demands[1], demands[0])
    assert np.isfinite(Simulator(ragged).demand.variance).all()
    assert Simulator(ragged).demand.variance[ABSENT] == pytest.approx(0, abs=1e-6)


def decide(simulator: Simulator, rng: np.random.Generator) -> Decisions:
    """Random decisions of four copies, none of which is about what is not carried."""
    net = simulator.network
    shape = (4, net.num_stores, net.num_skus)
    carried = np.ones(shape[1:], bool)
    carried[ABSENT] = False
    return Decisions(
        supplier_order=rng.integers(0, 20, (4, net.num_dcs, net.num_skus)),
        shipment=rng.integers(0, 15, shape) * carried,
        online_share=rng.random(shape),
        disposition=rng.dirichlet([1, 1, 1], shape),
    )


@settings(max_examples=15)
@given(st.integers(0, 2**31))
def test_simulator__of_a_sku_that_all_carry_is_bit_for_bit_the_same(seed: int) -> None:
    """And so is a scenario in which the pair exists and sells nothing: no unit knows of it."""
    tiny = load_scenario("tiny")
    none = {"process": "seasonal_normal", "season_period": 14,
            "overrides": [{"stores": ["store_1"], "skus": ["lamp"], "demand": 0}]}  # fmt: skip
    full, empty = tiny, change(tiny, demand=none)
    ragged = change(tiny, assortment=RAGGED)
    runs: list[list[tuple[State, FloatArray]]] = []
    for scenario in (full, empty, ragged):
        simulator, rng = Simulator(scenario), np.random.default_rng(seed)
        costs, state = CostModel(scenario, simulator.network), simulator.make_state(SEEDS)
        run = []
        for _ in range(8):
            demand = simulator.sample_demand(state)
            state, flows = simulator.simulate_period(state, decide(simulator, rng), demand)
            run.append((state, costs.compute_costs(flows).by_term))
        runs.append(run)
    for (full_state, full_costs), (empty_state, empty_costs), (state, found) in zip(
        *runs, strict=True
    ):
        for name in ("on_hand", "in_transit", "backorders", "returns_due"):
            every, other, own = (getattr(s, name) for s in (full_state, empty_state, state))
            np.testing.assert_array_equal(own[..., 0], every[..., 0])
            np.testing.assert_array_equal(own, other)
        np.testing.assert_array_equal(found[..., 0], full_costs[..., 0])
        np.testing.assert_array_equal(found, empty_costs)
        assert not found[..., 2, 1].any()  # node 2 is store_1


@pytest.mark.parametrize("changes", [{}, {"records": {"accuracy": 0.5, "miscount": 0.5}}])
def test_conservation__of_a_ragged_scenario(ragged: Scenario, changes: dict[str, Any]) -> None:
    check_conservation(change(ragged, **changes), seed=3, copies=3, periods=10)


def make_hard(**changes: Any) -> Scenario:
    """Trucks, cuts, random lead times, help between stores, and records that err."""
    volatile = load_scenario("volatile")
    skus, first = volatile.sku_names, {"store_0": ["grocery"], "store_4": ["home", "fashion"]}
    assert set(skus) >= {"grocery", "home", "fashion", "electronics"}
    assortment = {"only": first, "without": {"store_7": ["fashion"]}}
    records = {"accuracy": 0.6, "shrinkage": 0.05, "miscount": 0.5}
    return change(
        volatile, assortment=assortment, horizon=40, records=records,
        transshipment={"lead_time": 1}, **changes,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["before", "naive", *FAMILIES])
def test_rules__order_nothing_that_is_not_carried(name: str) -> None:
    scenario = make_hard()
    env = BatchedEnv(scenario, 2)
    env.reset(SEEDS[:2])
    if name in FAMILIES:
        setting = Setting.from_scenario(scenario)
        rule: Any = TunedRule(
            family=name, parameters=get_family(name).make_space(setting).initial
        ).make(scenario)
    else:
        rule = make_policy(name, scenario)
    carried = env.network.carried
    assert carried is not None
    trucks = 0
    for _ in range(40):
        flows = rule.run_period(env).flows
        for units in (flows.requested, flows.shipped, flows.returned, flows.shrunk):
            assert not units[:, ~carried[1:]].any()
        assert not flows.on_hand[:, ~carried].any()
        assert not env.view.on_hand[:, ~carried].any()  # no count errs about what is not there
        trucks += int((flows.requested[:, [0, 4, 7]].sum(axis=-1) == 120).sum())
    if "full_truck" in name:
        assert trucks > 3  # of the goods that the store has
    metrics = env.compute_metrics()
    assert (metrics["on_time"] > 0.3).all()


def test_agents__order_nothing_that_is_not_carried() -> None:
    env = BatchedEnv(make_hard(), 4)
    env.reset(SEEDS)
    carried, rng = env.network.carried, np.random.default_rng(0)
    assert carried is not None
    for _ in range(40):
        options = {
            m: rng.integers(module.num_options, size=(4, module.num_agents, env.layout.num_skus))
            for m, module in env.layout.modules.items()
        }
        step = env.step(options)
        assert not step.flows.shipped[:, ~carried[1:]].any()
        assert not step.costs.by_term[:, :, ~carried].any()
        assert np.isfinite(env.observe()).all()
        assert np.isfinite(step.rewards).all()


def test_cycle_service_and_record_accuracy__are_of_pairs_that_exist(ragged: Scenario) -> None:
    """Nothing on hand and nothing ordered: three pairs of four exist and all of them sell out."""
    records = {"accuracy": 0.0, "shrinkage": 0.0, "miscount": 0.0, "counting_cycle": 365}
    scenario = change(ragged, start={"on_hand": {}}, records=records, horizon=3)
    env = BatchedEnv(scenario, 4)
    env.reset(SEEDS)
    for _ in range(3):
        nothing = {
            m: np.full((4, module.num_agents, 2), 0) for m, module in env.layout.modules.items()
        }
        step = env.step(nothing)
        assert (step.flows.demand.sum(axis=-1)[:, [0, 0, 1], [0, 1, 0]] > 0).all()
    metrics = env.compute_metrics()
    assert (metrics["cycle_service"] == 0).all()
    errors = known(env.state.record_error)  # which nothing changed since the start
    assert errors.any()
    assert not errors[:, 1, 1].any()
    wrong = np.count_nonzero(errors, axis=(1, 2))
    assert metrics["record_accuracy"] == pytest.approx(1 - wrong / 3)


def test_pool__draws_no_transition_of_a_pair_that_does_not_exist(ragged: Scenario) -> None:
    layout = Layout.from_scenario(ragged)
    carried = layout.carried
    assert carried is not None
    assert carried.tolist() == [[True, True], [True, True], [True, False]]  # DC, stores
    base = make_shape()
    shape = PoolShape(replace(base.layout, carried=carried))
    for separate in (False, True):
        pool = ExperiencePool(
            shape, PoolSize(20, 1.0), n_step=2, gamma=0.5, seed=0, separate=separate
        )
        pool.add(make_fragment(0, 2))
        batch = pool.sample(4, 64)
        # Every number of an observation is 1000 e + 100 t + 10 row + k.
        codes = batch.obs_tm1[..., 0].astype(int) % 100
        assert not (codes == 21).any()  # row 2 is store_1, SKU 1 the lamp
        assert {0, 1, 10, 11, 20, 30, 31} == set(np.unique(codes).tolist())


def test_pool__by_priority_gives_them_no_weight(ragged: Scenario) -> None:
    shape = PoolShape(
        replace(make_shape().layout, carried=Layout.from_scenario(ragged).carried), prioritized=True
    )
    pool = ExperiencePool(
        shape, PoolSize(20, 1.0), n_step=2, gamma=0.5, seed=0, prioritized=Prioritized()
    )
    pool.add(make_fragment(0, 2))
    batch = pool.sample(4, 64)
    codes = batch.obs_tm1[..., 0].astype(int) % 100
    assert batch.weight is not None
    assert (codes == 21).any()
    assert (batch.weight[codes == 21] == 0).all()
    assert (batch.weight[codes != 21] > 0).all()


def test_parallel_env__of_a_ragged_scenario_passes_the_conformance_suite(ragged: Scenario) -> None:
    parallel_api_test(parallel_env(ragged), num_cycles=40)


def test_recommend__has_no_rows_of_what_is_not_carried(ragged: Scenario, tmp_path: Path) -> None:
    rule = TunedRule(
        family="order_up_to",
        parameters=get_family("order_up_to").make_space(Setting.from_scenario(ragged)).initial,
    )
    metadata = RuleMetadata(
        scenario=ragged.name, scenario_hash=ragged.hash(), rule=rule, classical=[]
    )
    planner = Planner(RulePolicy(metadata), ragged, num_futures=5)
    template = planner.schema.make_template()
    assert [line.split(",")[1:3] for line in template.splitlines()[1:]] == [
        ["dc_0", "shirt"], ["dc_0", "lamp"], ["store_0", "shirt"], ["store_0", "lamp"],
        ["store_1", "shirt"],
    ]  # fmt: skip
    path = tmp_path / "stock.csv"
    path.write_text(template, encoding="utf-8")
    found = planner.recommend(read_stock_count(path, planner.schema))
    places = {(row.node, row.sku) for row in found.outlook}
    assert places == {(row.node, row.sku) for row in found.decisions}
    assert len(places) == 5
    assert ("store_1", "lamp") not in places
    path.write_text(template.rpartition("0,store_1")[0], encoding="utf-8")
    with pytest.raises(InputError, match="'store_1' and sku 'shirt' is missing; 5 rows are needed"):
        read_stock_count(path, planner.schema)


def test_decide__leaves_out_what_a_rule_asks_for(ragged: Scenario) -> None:
    """A rule of anyone's own may aim at ten units everywhere; the lamp's DC has another store."""
    env = BatchedEnv(ragged, 1)
    env.reset(SEEDS[:1])
    targets = Targets(
        supplier_gap=np.full((1, 1, 2), 10.0),
        shipment_gap=np.array([[[10.0, -4.0], [10.0, 10.0]]]),
        online_share=np.zeros((1, 2, 2)),
        disposition=np.full((1, 2, 2, 3), 1 / 3),
    )
    decisions = env.decide(targets, env.view)
    assert decisions.shipment.tolist() == [[[10, 0], [10, 0]]]
    assert decisions.supplier_order.tolist() == [[[10, 10]]]


def test_pack__fills_no_truck_with_what_is_not_carried(ragged: Scenario) -> None:
    """A load of 12 units for slow sellers: both SKUs share it, but where only one is carried."""
    env = BatchedEnv(ragged, 1)
    env.reset(SEEDS[:1])
    plan = Plan.start(env.view, Setting.from_scenario(ragged))
    plan.store_rate = np.zeros((1, 2, 2))  # below the floor, which is the same for all
    plan.shipment_gap = np.zeros((1, 2, 2))
    plan.load = np.full((1, 2), 12.0)
    assert plan.pack()[0] == pytest.approx(np.array([[6.0, 6.0], [12.0, 0.0]]))
