"""`recommend` in the loop: 60 mornings, orders carried out, sales learnt, against the simulator."""

from dataclasses import replace

import numpy as np

from envs.omnichannel.agents.observation_spread import SPREAD_FEATURES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions
from envs.omnichannel.forecast.learner import Rates
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.agents import Observation
from envs.omnichannel.types import FloatArray, State
from envs.omnichannel.world.account.costs import CostModel
from envs.omnichannel.world.draws import make_seeds
from marl.planning.daily.state import ForecastState
from marl.planning.planner import Planner
from marl.planning.policy_file import OnnxPolicy
from marl.planning.recommendation import Recommendation
from marl.planning.rule_file import RuleMetadata, RulePolicy
from marl.planning.stock_count import StockCount
from marl.policies.tuned import TunedRule
from tests.conftest import WritePolicy

DAYS = 60
RULE = TunedRule(
    family="safety_stock_by_stock",
    parameters={
        "online_share": 0.12, "split_threshold": 3.12, "split_slope": 0.0, "dc_out_threshold": 0.37,
        "store_z_0": 2.17, "store_z_1": 1.48, "store_z_2": 1.72, "dc_z_0": 2.69, "reorder_gap": 0.0,
        "restock_below": 1.52, "liquidate_above": 1.72, "dc_reserve": 1.68,
    },
)  # fmt: skip
KINDS = ("restock", "consolidate", "liquidate")


def cut_record(scenario: Scenario, day: int) -> Scenario:
    """The scenario as it was on a morning: later days are not recorded yet."""
    demand = scenario.demand.model_copy(update={"train_days": day - 7, "last_day": day})
    return scenario.model_copy(update={"demand": demand, "horizon": 7})


def count_stock(state: State, day: int) -> StockCount:
    units = {
        "on_hand": state.on_hand[0][None],
        "in_transit": state.in_transit[0],
        "in_inspection": state.in_inspection[0],
        "backorders": state.backorders[0],
        "returns_due": state.returns_due[0],
    }
    channels, stores, skus = 2, *state.on_hand[0, 1:].shape
    unknown = np.full((channels, stores, skus), np.nan)
    return StockCount(
        day=day, units=units, smoothed=unknown, last_demand=unknown, confirmed=np.ones((0, 1))
    )


def read_decisions(found: Recommendation, scenario: Scenario) -> Decisions:
    """What the planner enters: the requests, and the shares of online orders and returns."""
    stores = [store.name for store in scenario.network.stores]
    skus = [sku.name for sku in scenario.skus]
    shape = (1, len(stores), len(skus))
    order, shipment = np.zeros((1, 1, len(skus)), np.int64), np.zeros(shape, np.int64)
    online, disposition = np.zeros(shape), np.zeros((*shape, 3))
    for row in found.decisions:
        k = skus.index(row.sku)
        s = stores.index(row.node) if row.node in stores else 0
        match row.decision:
            case "order":
                order[0, 0, k] = row.requested or 0
            case "shipment":
                shipment[0, s, k] = row.requested or 0
            case "online":  # a line for who serves how much: the store, and its DC
                if row.source == row.node:
                    online[0, s, k] = row.share or 0.0
            case kind:
                disposition[0, s, k, KINDS.index(kind)] = row.share or 0.0
    return Decisions(
        supplier_order=order, shipment=shipment, online_share=online, disposition=disposition
    )


def run_loop(scenario: Scenario, state: State) -> tuple[FloatArray, FloatArray]:
    """Costs of each day when a planner asks `recommend` every morning, and what agents then see."""
    env = BatchedEnv(scenario, 1, "evaluate")
    first = int(state.day[0])
    known = ForecastState.from_record(cut_record(scenario, first))
    policy = RulePolicy(
        RuleMetadata(scenario=scenario.name, scenario_hash=scenario.hash(), rule=RULE, classical=[])
    )
    planner = Planner(policy, scenario, num_futures=2, forecast=known)
    costs, seen, rates = [], [], Rates.from_settings(scenario.forecast)
    for _ in range(DAYS):
        planner.today.follow(known.make_forecast())
        found = planner.recommend(count_stock(state, int(state.day[0])))
        seen.append(observe_spread(planner.today))
        demand = env.simulator.sample_demand(state)
        state, flows = env.simulator.simulate_period(state, read_decisions(found, scenario), demand)
        costs.append(float(CostModel(scenario, env.network).compute_costs(flows).by_term.sum()))
        known.learner.learn(demand.units[0].astype(float), rates)
    return np.array(costs), np.concatenate(seen)


def observe_spread(env: BatchedEnv) -> FloatArray:
    """What agents see of how demand scatters."""
    columns = [env.layout.features.index(name) for name in SPREAD_FEATURES]
    return env.observe()[..., columns].astype(np.float64)


def test_recommend__in_the_loop_costs_what_the_simulator_says() -> None:
    changes = {"horizon": DAYS, "observation": Observation(spread=True)}
    scenario = load_scenario("retail").model_copy(update=changes)
    env = BatchedEnv(scenario, 1, "evaluate")
    seeds = make_seeds("loop", 0, 1)
    env.reset(seeds)
    start = replace(env.state)
    costs, seen, rule = [], [], RULE.make(scenario)
    for _ in range(DAYS):
        seen.append(observe_spread(env))
        step = rule.run_period(env)
        costs.append(float(step.costs.by_term.sum()))
    looped, told = run_loop(scenario, start)
    assert abs(looped.sum() / np.sum(costs) - 1) < 0.005, (looped.sum(), np.sum(costs))
    missed = np.abs(told - np.concatenate(seen))
    counted = [SPREAD_FEATURES.index(name) for name in ("zero_share", "silent")]
    assert missed[0].max() == 0  # of all features: both begin with the same record
    # Later on `recommend` draws spreads and weekdays anew each morning, which an episode does not.
    assert missed[..., counted].max() < 1e-6
    assert missed.mean() < 0.05


def test_recommend__counts_days_of_sale_for_a_policy_that_sees_them(
    write_policy: WritePolicy,
) -> None:
    """The planner's own scenario does not ask for them, the policy's file does."""
    scenario = load_scenario("retail")
    env = BatchedEnv(scenario, 1, "evaluate")
    env.reset(make_seeds("loop", 0, 1))
    day = int(env.state.day[0])
    known = ForecastState.from_record(cut_record(scenario, day))
    seeing = scenario.model_copy(update={"observation": Observation(spread=True)})
    options = {"ordering_high": 4, "ordering_low": 4, "shipping_high": 0, "shipping_low": 0}
    policy = OnnxPolicy.load(write_policy(seeing, options))
    planner = Planner(policy, scenario, num_futures=2, forecast=known)
    planner.recommend(count_stock(env.state, day))
    np.testing.assert_array_equal(planner.today.view.silent, known.learner.silent[None])
