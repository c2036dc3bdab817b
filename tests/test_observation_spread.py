"""What agents see of how demand scatters: by hand, from the record, and nothing where it is off."""

from dataclasses import replace

import numpy as np
import pytest

from envs.omnichannel.agents.observation_spread import SPREAD_FEATURES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.forecast.learner import Learner, Rates
from envs.omnichannel.scenario import Scenario, list_scenarios, load_scenario
from envs.omnichannel.scenario.agents import Observation
from envs.omnichannel.types import FloatArray
from envs.omnichannel.world.demand.traces import TraceDemand
from envs.omnichannel.world.draws import make_seeds
from marl.policies import make_policy
from tests.conftest import known


def see(scenario: Scenario) -> Scenario:
    return scenario.model_copy(update={"observation": Observation(spread=True)})


def observe(tiny: Scenario) -> dict[str, FloatArray]:
    """Features by name, (N + 1,) of the first SKU, of a hand-made state."""
    env = BatchedEnv(see(tiny), 1)
    env.reset(make_seeds("test", 0, 1))
    shape = env.view.variance.shape
    smoothed, variance = np.ones((*shape, 2)), np.ones(shape)
    smoothed[0, :, 0] = [[6, 3], [2, 1]]
    variance[0, :, 0] = [12, 4]
    zero_share, silent = np.zeros(shape), np.zeros(shape)
    zero_share[0, :, 0], silent[0, :, 0] = [0.25, 0.75], [0, 6]
    # Days ahead of 1, 2, 2, 0, 1, ... times an average one, summed.
    ahead = np.cumsum([1.0, 2, 2, 0, 1, 1, 0])[None, :, None, None] * np.ones(2)
    env.view = replace(
        env.view,
        on_hand=np.array([[[45, 0], [20, 0], [11, 0]]]),
        in_transit=np.zeros_like(env.view.in_transit),
        backorders=np.zeros_like(env.view.backorders),
        smoothed=smoothed,
        variance=variance,
        ahead=ahead,
        zero_share=zero_share,
        silent=silent,
    )
    rows = env.observe()[0, :, 0].astype(np.float64)
    return {name: rows[:, env.layout.features.index(name)] for name in SPREAD_FEATURES}


# Store 0 waits 1 day and the day of the order: 3 days' worth; store 1 two: 5. The echelon waits 2,
# 2 on the way (1.5, rounded) and 1: 6. Means 27, 15 and 72; variances 36, 20 and 96.
EXPECTED = {
    "cv": np.log([96**0.5 / 72, 6 / 27, 20**0.5 / 15, 96**0.5 / 72]),
    "position_in_sigmas": np.arcsinh(
        [(76 - 72) / 96**0.5, (20 - 27) / 6, (11 - 15) / 20**0.5, (76 - 72) / 96**0.5]
    ),
    "zero_share": [0, -0.5, 0.5, 0],
    "silent": [0, 0, np.log(7) / 2, 0],
    "factor_ahead": [3 * (6 / 5 - 1), 3 * (3 / 2 - 1), 3 * (5 / 3 - 1), 3 * (6 / 5 - 1)],
}


@pytest.mark.parametrize("name", SPREAD_FEATURES)
def test_compute__feature_by_hand(tiny: Scenario, name: str) -> None:
    assert observe(tiny)[name] == pytest.approx(EXPECTED[name], abs=1e-6)


@pytest.mark.parametrize("name", list_scenarios())
def test_observe__where_it_is_off_nothing_else_changes(name: str) -> None:
    """The same episode with and without: all other columns are the same, and the stock as well."""
    scenario = load_scenario(name)
    off = scenario.model_copy(update={"observation": Observation()})
    env, other = BatchedEnv(off, 2), BatchedEnv(see(scenario), 2)
    assert set(other.layout.features) - set(env.layout.features) == set(SPREAD_FEATURES)
    kept = [other.layout.features.index(name) for name in env.layout.features]
    policy = make_policy("before", off)
    for one in (env, other):
        one.reset(make_seeds("test", 0, 2))
    for _ in range(4):
        seen = other.observe()
        np.testing.assert_array_equal(env.observe(), seen[..., kept])
        assert np.abs(seen).max() <= 5
        assert env.view.zero_share is env.view.silent is None
        for one in (env, other):
            policy.run_period(one)


def test_hash__is_that_of_a_scenario_which_never_heard_of_it(tiny: Scenario) -> None:
    off = tiny.model_copy(update={"observation": Observation(spread=False)})
    assert off.hash() == tiny.hash() == "e7792e03dc55"
    assert see(tiny).hash() != tiny.hash()


def test_update__counts_days_of_sale_of_drawn_demand(tiny: Scenario) -> None:
    demand = {"process": "poisson", "season_amplitude": 0.0}
    skus = [sku.model_dump() | {"store_demand": 0.5, "online_demand": 0.5} for sku in tiny.skus]
    raw = tiny.model_dump(mode="json") | {"demand": demand, "skus": skus}
    env = BatchedEnv(see(Scenario.model_validate(raw)), 3)
    env.reset(make_seeds("test", 0, 3))
    share, silent = known(env.view.zero_share), known(env.view.silent)
    # One unit a day at store 0, half a unit at store 1: no sale with chance exp(-1), exp(-0.5).
    expected = np.exp([-1.0, -0.5])[None, :, None] * np.ones((3, 1, 2))
    assert share == pytest.approx(expected)
    assert silent == pytest.approx(expected / (1 - expected))
    policy = make_policy("before", env.scenario)
    for _ in range(5):
        sold = policy.run_period(env).flows.demand.sum(axis=-1) > 0
        share = share + (~sold - share) / 365
        silent = np.where(sold, 0, silent + 1)
        assert env.view.zero_share == pytest.approx(share)
        assert env.view.silent == pytest.approx(silent)


def test_update__closed_days_do_not_count(tiny: Scenario) -> None:
    calendar = {"closed": [0, 1, 2, 3, 4, 5]}
    raw = tiny.model_dump(mode="json")
    raw["demand"] = {"process": "poisson", "calendar": calendar}
    env = BatchedEnv(see(Scenario.model_validate(raw)), 8)
    env.reset(make_seeds("test", 0, 8))
    policy = make_policy("before", env.scenario)
    for _ in range(9):
        before, day = env.view, env.state.day % 7
        policy.run_period(env)
        same = known(env.view.zero_share) == known(before.zero_share)
        np.testing.assert_array_equal(same.all(axis=(1, 2)), day < 6)


def test_begin__an_episode_of_a_record_knows_the_days_of_sale_before_it() -> None:
    scenario = see(load_scenario("retail"))
    env = BatchedEnv(scenario, 2, "evaluate")
    env.reset(make_seeds("test", 0, 2))
    demand, policy = env.simulator.demand, make_policy("before", scenario)
    assert isinstance(demand, TraceDemand)
    learner, first = Learner.start(*demand.recorded.shape[1:]), int(env.state.day[0])
    rates = Rates.from_settings(scenario.forecast)
    for day in range(first + 20):
        if day >= first:
            policy.run_period(env)
        learner.learn(demand.recorded[day], rates)
        if day >= first - 1:
            units = demand.units[: day + 1].sum(axis=-1) > 0
            days = np.maximum(learner.weight, 1)
            share = 1 - learner.sale_days / days
            assert known(env.view.zero_share)[0] == pytest.approx(share, abs=1e-6)
            np.testing.assert_array_equal(known(env.view.silent)[0], learner.silent)
            sold = units.any(axis=0)
            last = units[::-1].argmax(axis=0)
            np.testing.assert_array_equal(learner.silent[sold], last[sold])
