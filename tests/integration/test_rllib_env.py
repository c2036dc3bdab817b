import numpy as np
import pytest
from gymnasium.spaces import Box, MultiDiscrete

from envs.errors import InputError
from envs.omnichannel import parallel_env
from marl.learning.rllib.env import RLlibEnv, get_module_id, register_omnichannel


def test_rllib_env__is_the_parallel_environment() -> None:
    ours, env = RLlibEnv({"scenario": "tiny"}), parallel_env("tiny")
    flat, _ = ours.reset(seed=3)
    rows, _ = env.reset(seed=3)
    for _ in range(14):
        assert list(flat) == env.possible_agents
        for agent, observation in flat.items():
            np.testing.assert_array_equal(observation, rows[agent].ravel())
            assert ours.observation_spaces[agent].contains(observation)
        actions = {agent: ours.action_spaces[agent].sample() for agent in ours.agents}
        flat, rewards, terminations, truncations, _ = ours.step(actions)
        rows, expected, _, _, _ = env.step(actions)
        assert rewards == expected
        assert not any(terminations.values())
    assert set(truncations.values()) == {True}
    assert truncations["__all__"]


def test_get_module_id__shares_parameters_by_role_and_level() -> None:
    env = parallel_env("two_dcs")
    found = {agent.name: get_module_id(agent.name, None) for agent in env.batched_env.layout.agents}
    assert found == {agent.name: agent.module_id for agent in env.batched_env.layout.agents}


def test_rllib_env__refuses_an_unknown_scenario() -> None:
    with pytest.raises(InputError, match=r"^scenario: 'tinny' is not known"):
        RLlibEnv({"scenario": "tinny"})


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_rllib_env__is_trained_by_stock_ppo() -> None:
    from ray.rllib.algorithms.ppo import PPOConfig

    from envs.omnichannel.agents.roster import MODULES

    config = (
        PPOConfig()
        .environment(register_omnichannel(), env_config={"scenario": "tiny"})
        .multi_agent(policies=list(MODULES), policy_mapping_fn=get_module_id)
        .env_runners(num_env_runners=1, rollout_fragment_length=14)
        .training(train_batch_size_per_learner=28, minibatch_size=28, num_epochs=1)
    )
    algorithm = config.build_algo()
    try:
        before = algorithm.get_weights()
        result = algorithm.train()
        after = algorithm.get_weights()
    finally:
        algorithm.stop()
    assert result["num_env_steps_sampled_lifetime"] >= 28
    for module_id in MODULES:
        space = algorithm.get_module(module_id).action_space
        assert isinstance(space, MultiDiscrete)
        assert isinstance(algorithm.get_module(module_id).observation_space, Box)
        assert any(
            (after[module_id][name] != value).any() for name, value in before[module_id].items()
        ), module_id
