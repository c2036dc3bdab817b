"""PettingZoo's own suites, on both of its APIs and all built-in scenarios.

Warnings are errors in this project, so what the suites only warn of fails too.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from pettingzoo.test import (
    api_test,
    max_cycles_test,
    parallel_api_test,
    parallel_seed_test,
    seed_test,
    state_test,
)
from pettingzoo.utils import aec_to_parallel

from envs.omnichannel import Scenario, aec_env, list_scenarios, load_scenario, parallel_env
from envs.omnichannel.pettingzoo_env import OmnichannelEnv

NAMES = list_scenarios()

# The AEC API takes ten times as long for a period: one scenario of many DCs in the default run.
AEC_NAMES = [
    name if name in {"tiny", "two_dcs"} else pytest.param(name, marks=pytest.mark.slow)
    for name in NAMES
]

# What the suites advise is not for us: they take every array of two axes for a picture, which ours
# (K, F) is not, know no MultiDiscrete, and want a number at the end of every name.
not_ours = pytest.mark.filterwarnings(
    "ignore:The (observation|state) contains negative",
    "ignore:Action space for each agent probably should be",
    "ignore:We recommend agents to be named",
)


@pytest.mark.parametrize("name", NAMES)
def test_parallel_env__passes_the_conformance_suite(name: str) -> None:
    parallel_api_test(parallel_env(name), num_cycles=120)


@pytest.mark.parametrize("name", NAMES)
def test_parallel_env__same_seed_gives_same_episode(name: str) -> None:
    parallel_seed_test(lambda: parallel_env(name), num_cycles=30)


@not_ours
@pytest.mark.parametrize("name", AEC_NAMES)
def test_state__fits_its_space(name: str) -> None:
    state_test(aec_env(name), parallel_env(name), num_cycles=3)


def test_state__holds_the_row_of_every_agent() -> None:
    env = parallel_env("two_dcs")
    observations, _ = env.reset(seed=0)
    for agent in env.batched_env.layout.agents:
        np.testing.assert_array_equal(env.state()[agent.row], observations[agent.name])


@not_ours
@pytest.mark.parametrize("name", AEC_NAMES)
def test_aec_env__passes_the_conformance_suite(name: str) -> None:
    api_test(aec_env(name), num_cycles=3 * len(parallel_env(name).possible_agents))


@pytest.mark.parametrize("name", AEC_NAMES)
def test_aec_env__same_seed_gives_same_episode(name: str) -> None:
    seed_test(lambda: aec_env(name), num_cycles=40)


def test_aec_env__is_the_parallel_environment() -> None:
    wrapped = aec_to_parallel(aec_env("tiny"))
    assert isinstance(wrapped, OmnichannelEnv)


def test_aec_env__moves_on_when_the_last_agent_has_acted() -> None:
    single, turns = parallel_env("tiny"), aec_env("tiny")
    single.reset(seed=2)
    turns.reset(seed=2)
    rng = np.random.default_rng(0)
    for _ in range(14):
        actions = {name: rng.integers(0, 4, 2) for name in single.agents}
        for name in single.possible_agents:
            assert turns.agent_selection == name
            turns.step(actions[name])
        observations, rewards, _, truncations, _ = single.step(actions)
        assert turns.rewards == rewards
        assert turns.truncations == truncations
        for name, rows in observations.items():
            np.testing.assert_array_equal(turns.observe(name), rows)


def test_episodes__last_as_long_as_the_horizon() -> None:
    def set_horizon(periods: int) -> Scenario:
        return load_scenario("tiny").model_copy(update={"horizon": periods})

    max_cycles_test(
        SimpleNamespace(
            parallel_env=lambda max_cycles: parallel_env(set_horizon(max_cycles)),
            env=lambda max_cycles: aec_env(set_horizon(max_cycles)),
        )
    )
