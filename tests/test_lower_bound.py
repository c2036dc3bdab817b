from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from envs.omnichannel.scenario import Scenario, list_scenarios, load_scenario
from envs.omnichannel.world.demand import ParametricDemand
from envs.omnichannel.world.draws import make_seeds
from envs.omnichannel.world.simulator import Simulator
from marl.evaluation.bounds.expected_loss import make_tangents
from marl.evaluation.bounds.linear_program import LinearProgram
from marl.evaluation.bounds.lower_bound import compute_reward_bounds
from marl.evaluation.evaluate import EpisodeRunner
from marl.policies import make_policy


def make_one_store(**changes: object) -> Scenario:
    """One store, one SKU, 10 walk-ins a day for 6 days, supplied over 1 + 1 days."""
    data = {
        "name": "one_store",
        "horizon": 6,
        "network": {
            "dcs": [{"name": "dc", "supplier_lead_time": 1}],
            "stores": [{"name": "store", "parent": "dc", "distance": 1, "lead_time": 1}],
        },
        "skus": [{"name": "sku", "category": "all", "store_demand": 10, "online_demand": 0}],
        "categories": {"all": {"return_rate": 0.0}},
        "returns": {"store_spread": 0.0},
        "demand": {
            "process": "seasonal_normal", "season_period": 6, "season_amplitude": 0, "noise": 0,
        },
        "initial_store_cover": 1.0,
        "initial_dc_cover": 0.0,
        "costs": {"holding_store": 0.02, "holding_dc": 0.0, "transport": 0.03},
        "reward": {"delta": 1.0},
        **changes,
    }  # fmt: skip
    return Scenario.model_validate(data)


def test_linear_program__by_hand() -> None:
    program = LinearProgram()
    x = program.add_variables((2,), np.array([1.0, 2.0]))
    rows = program.add_rows((2,), np.array([3.0, -np.inf]), np.array([np.inf, 2.0]))
    program.put(rows[0], x)  # x0 + x1 >= 3
    program.put(rows[1], x[0])  # x0 <= 2
    assert program.solve() == pytest.approx(4.0)


def test_linear_program__unsolvable() -> None:
    program = LinearProgram()
    x = program.add_variables((1,))
    program.put(program.add_rows((1,), -2.0, -1.0), x)
    with pytest.raises(RuntimeError, match="not solved"):
        program.solve()


def test_compute_reward_bounds__by_hand() -> None:
    # Day 0 is served from the shelf; day 1 cannot be: an order needs a day to the DC and one to the
    # store. So 10 of 60 units are lost, and 40 travel at 0.03 x 2 x 0.7 each, never held overnight.
    bounds = compute_reward_bounds(make_one_store(), make_seeds("test", 0, 1), "train")
    cost = 10 * 1.0 + 40 * 0.042
    assert bounds[0] == pytest.approx(1 - cost / 60)


def test_compute_reward_bounds__knows_returns() -> None:
    # Half of what is sold comes back on the next day and is on the shelf one day later: day 0's
    # 10 units give 5 for day 2, those 10 give 5 for day 4; day 1 stays lost. From day 3 on what
    # day 1 would have returned is missing, so more is shipped: days 2 to 5 need 40 - 15 units
    # (5 from each of the days 0, 2 and 3). Restocking costs 0.06 for the 20 units of the sales of
    # days 0, 2, 3 and 4 that come back within the episode.
    scenario = make_one_store(
        categories={"all": {"return_rate": 0.5}},
        returns={"store_spread": 0.0, "delay": {"kind": "uniform", "low": 1, "high": 1}},
    )
    bounds = compute_reward_bounds(scenario, make_seeds("test", 0, 1), "train")
    travel = 25 * 0.042
    cheapest_return = 20 * 0.05  # consolidated ones are as good at the end, and cheaper
    dearest_return = 20 * 0.06
    low = 1 - (10 + travel + dearest_return) / 60
    high = 1 - (10 + travel + cheapest_return) / 60
    assert low <= bounds[0] <= high


# There is no bound where orders wait for their days, as those of `grocer` do.
@pytest.mark.parametrize("name", sorted({*list_scenarios()} - {"grocer"}))
def test_compute_reward_bounds__no_policy_beats_them(name: str) -> None:
    data = load_scenario(name).model_dump(mode="json")
    horizon = min(data["horizon"], 40)
    if data["supply_cuts"]:
        data["supply_cuts"]["length"] = 10
    scenario = Scenario.model_validate({**data, "horizon": horizon})
    seeds = make_seeds("test", 0, 1)
    bounds = compute_reward_bounds(scenario, seeds, "evaluate")
    for policy in ("before", "order_up_to", "stock_dependent"):
        reward = EpisodeRunner(scenario, seeds, "evaluate").run(make_policy(policy, scenario))[
            "reward"
        ]
        assert (reward < bounds).all()
    assert (bounds <= 1).all()


def make_uncertain(**changes: object) -> Scenario:
    """`make_one_store` with Poisson demand of 10 a day."""
    demand = {"process": "poisson", "season_period": 6, "season_amplitude": 0}
    return make_one_store(demand=demand, **changes)


def test_make_tangents__touch_the_expected_loss_from_below() -> None:
    simulator = Simulator(make_uncertain())
    assert isinstance(simulator.demand, ParametricDemand)
    state = simulator.make_state(make_seeds("test", 0, 1))
    slopes, values = (part[:, 0, 0] for part in make_tangents(simulator.demand, state))
    units = np.arange(200)
    chance = poisson.pmf(units, 10)
    stocks = np.arange(0, 40)
    exact = np.array([(np.maximum(units - y, 0) * chance).sum() for y in stocks])
    found = (values[:, None] + slopes[:, None] * stocks).max(axis=0)
    assert (found <= exact + 1e-9).all()
    assert found[0] == pytest.approx(10, rel=0.01)
    np.testing.assert_allclose(found[[8, 10, 12, 14]], exact[[8, 10, 12, 14]], rtol=0.1)
    assert np.abs(found - exact).max() < 0.15


def test_compute_reward_bounds__penalties_by_hand() -> None:
    # One day, 10 units on the shelf, nothing can come: what a stock of 10 is expected to lose costs
    # 0.9 less a unit's way, 0.042; the rest is charged as it comes, as are units left over.
    scenario = make_uncertain(horizon=1)
    seeds = make_seeds("test", 0, 400)
    demand = np.array([run_demand(scenario, seed) for seed in seeds])
    tangents = make_tangents_of(scenario)
    expected = (tangents[1] + tangents[0] * 10).max()
    penalty = 0.9 - 0.042
    cost = penalty * expected + (1 - penalty) * np.maximum(demand - 10, 0)
    cost += 0.02 * np.maximum(10 - demand, 0)
    bounds = compute_reward_bounds(scenario, seeds, "train", penalised=True)
    np.testing.assert_allclose(bounds, 1 - cost / 10, atol=1e-9)
    plain = compute_reward_bounds(scenario, seeds, "train")
    assert bounds.mean() == pytest.approx(plain.mean(), abs=0.01)  # nothing to decide: the same
    assert bounds.std() < 0.5 * plain.std()


def test_compute_reward_bounds__penalised_ones_lie_above_the_optimum_and_below_plain_ones() -> None:
    scenario = load_scenario("lost_sales")
    seeds = make_seeds("test", 0, 10)
    penalised = compute_reward_bounds(scenario, seeds, "train", penalised=True).mean()
    plain = compute_reward_bounds(scenario, seeds, "train").mean()
    optimum = 1 - 4.3953 / (4 * 5)  # Zipkin 2008; cost scale 4, mean demand 5
    assert optimum + 0.02 < penalised < plain - 0.1


@pytest.mark.parametrize("name", ["volatile", "scarce", "pickup", "perishable"])
def test_compute_reward_bounds__penalised_ones_are_above_policies_on_average(name: str) -> None:
    data = load_scenario(name).model_dump(mode="json")
    if data["supply_cuts"]:
        data["supply_cuts"]["length"] = 10
    scenario = Scenario.model_validate({**data, "horizon": 20})
    seeds = make_seeds("test", 0, 3)
    bounds = compute_reward_bounds(scenario, seeds, "evaluate", penalised=True)
    for policy in ("order_up_to", "stock_dependent"):
        reward = EpisodeRunner(scenario, seeds, "evaluate").run(make_policy(policy, scenario))[
            "reward"
        ]
        assert reward.mean() < bounds.mean()
    assert bounds.mean() < compute_reward_bounds(scenario, seeds, "evaluate").mean()


@pytest.mark.parametrize("name", ["owmr", "retail"])
def test_compute_reward_bounds__no_penalties_where_none_are_known(name: str) -> None:
    """Walk-ins that the DC may serve later, and recorded demand."""
    data = load_scenario(name).model_dump(mode="json")
    scenario = Scenario.model_validate({**data, "horizon": 10})
    seeds = make_seeds("test", 0, 1)
    plain, penalised = (
        compute_reward_bounds(scenario, seeds, "evaluate", penalised=p) for p in (False, True)
    )
    assert plain == penalised


def make_tangents_of(scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    simulator = Simulator(scenario)
    assert isinstance(simulator.demand, ParametricDemand)
    return make_tangents(simulator.demand, simulator.make_state(make_seeds("test", 0, 1)))


def run_demand(scenario: Scenario, seed: np.uint64) -> int:
    simulator = Simulator(scenario)
    state = simulator.make_state(np.array([seed]))
    return int(simulator.sample_demand(state).units.sum())
