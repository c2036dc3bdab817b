from dataclasses import fields

import numpy as np
import pytest

from envs.omnichannel import BatchedEnv, InputError, Scenario, parallel_env
from envs.omnichannel.agents.roster import HIGH_MODULES, MODULES
from envs.omnichannel.pettingzoo_env import OmnichannelEnv
from envs.omnichannel.types import IntArray
from envs.omnichannel.world.draws import make_seeds

Options = dict[str, IntArray]


def sample_levels(env: BatchedEnv, rng: np.random.Generator) -> Options:
    return {
        m: rng.integers(
            0, levels, (env.num_copies, env.layout.modules[m].num_agents, env.network.num_skus)
        )
        for m, levels in env.decoder.num_options.items()
    }


def sample_actions(env: OmnichannelEnv, names: list[str]) -> Options:
    return {name: env.action_space(name).sample().astype(np.int64) for name in names}


def make_rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_batched_env__equals_single_environments(name: str) -> None:
    copies, periods = 3, 14
    seeds = make_seeds("test", 5, copies)
    batched, rng = BatchedEnv(parallel_env(name).batched_env.scenario, copies), make_rng()
    batched.reset(seeds)
    singles = [parallel_env(name) for _ in range(copies)]
    for single, seed in zip(singles, seeds, strict=True):
        single.reset(seed=int(seed))
    for _ in range(periods):
        levels = sample_levels(batched, rng)
        step = batched.step(levels)
        observations = batched.observe()
        for copy, single in enumerate(singles):
            agents = batched.layout.agents
            actions = {a.name: levels[a.module_id][copy, a.index] for a in agents}
            observed, rewards, _, truncations, infos = single.step(actions)
            for agent in agents:
                np.testing.assert_array_equal(observed[agent.name], observations[copy, agent.row])
                by_sku = step.rewards[copy, agent.row]
                assert rewards[agent.name] == float(by_sku.mean())
                assert infos[agent.name] == {"team_reward": float(step.team_reward[copy])}
                assert truncations[agent.name] == step.done
            state = single.batched_env.state
            for field in fields(state):
                np.testing.assert_array_equal(
                    getattr(state, field.name)[0],
                    getattr(batched.state, field.name)[copy],
                    field.name,
                )


def test_batched_env__flows_do_not_depend_on_the_batch(tiny: Scenario) -> None:
    seeds = make_seeds("test", 5, 4)
    together, alone, rng = BatchedEnv(tiny, 4), BatchedEnv(tiny, 1), make_rng()
    together.reset(seeds)
    alone.reset(seeds[2:3])
    for _ in range(tiny.horizon):
        levels = sample_levels(together, rng)
        flows = together.step(levels).flows
        own = alone.step({m: array[2:3] for m, array in levels.items()}).flows
        for field in fields(flows):
            np.testing.assert_array_equal(
                getattr(own, field.name)[0], getattr(flows, field.name)[2], field.name
            )
    for metric, value in alone.compute_metrics().items():
        assert value[0] == pytest.approx(together.compute_metrics()[metric][2]), metric


def test_batched_env__holds_high_level_actions_between_reviews(tiny: Scenario) -> None:
    """Reviews are at periods 0 and 7; what the high level says in between has no effect."""
    obedient, chatty, rng = BatchedEnv(tiny, 2), BatchedEnv(tiny, 2), make_rng()
    for env in (obedient, chatty):
        env.reset(make_seeds("test", 0, 2))
    held: Options = {}
    for period in range(14):
        assert obedient.is_review == (period in {0, 7})
        levels = sample_levels(obedient, rng)
        if obedient.is_review:
            held = {m: levels[m].copy() for m in HIGH_MODULES}
        left, right = obedient.step({**levels, **held}), chatty.step(levels)
        np.testing.assert_array_equal(left.rewards, right.rewards)
        np.testing.assert_array_equal(obedient.observe(), chatty.observe())
        for module_id in HIGH_MODULES:
            # A caller that reuses its arrays must not change the goals behind the reviews.
            levels[module_id][:] = 0
            np.testing.assert_array_equal(chatty.goals[module_id], held[module_id])


def test_batched_env__reset_begins_the_same_episode_again(tiny: Scenario) -> None:
    env = BatchedEnv(tiny, 2)
    returns = []
    for _ in range(2):
        env.reset(make_seeds("test", 0, 2))
        rng = make_rng()
        rewards = [env.step(sample_levels(env, rng)).team_reward for _ in range(5)]
        returns.append(np.sum(rewards, axis=0))
    np.testing.assert_array_equal(returns[0], returns[1])


def test_batched_env__refuses_another_number_of_seeds(tiny: Scenario) -> None:
    with pytest.raises(ValueError, match=r"seeds has shape \(2,\); \(3,\) is needed"):
        BatchedEnv(tiny, 3).reset(make_seeds("test", 0, 2))


def test_parallel_env__truncates_all_agents_at_the_horizon(tiny: Scenario) -> None:
    env = parallel_env(tiny)
    env.reset(seed=1)
    for period in range(1, 15):
        assert env.agents == env.possible_agents
        _, _, terminations, truncations, _ = env.step(sample_actions(env, env.agents))
        assert not any(terminations.values())
        assert set(truncations.values()) == {period == 14}
    assert env.agents == []
    assert env.step({}) == ({}, {}, {}, {}, {})


def test_parallel_env__next_episodes_follow_from_the_first_seed(tiny: Scenario) -> None:
    left, right = parallel_env(tiny), parallel_env(tiny)
    seeds = []
    for env in (left, right):
        env.reset(seed=3)
        env.reset()
        seeds.append(int(env.batched_env.state.seed[0]))
    assert seeds[0] == seeds[1] != 3


def test_parallel_env__names_the_agent_without_an_action(tiny: Scenario) -> None:
    env = parallel_env(tiny)
    env.reset(seed=1)
    with pytest.raises(KeyError, match="ordering_high"):
        env.step(sample_actions(env, env.agents[1:]))


def test_parallel_env__spaces_follow_the_scenario(tiny: Scenario) -> None:
    env = parallel_env(tiny)
    assert env.action_space("ordering_dc_0").nvec.tolist() == [11, 11]
    assert env.action_space("shipping_store_1").nvec.tolist() == [12, 12]
    assert env.action_space("return_high").nvec.tolist() == [4, 4]
    assert env.observation_space("return_high").shape == (2, env.batched_env.layout.num_features)
    assert {agent.module_id for agent in env.batched_env.layout.agents} == set(MODULES)


def test_parallel_env__refuses_an_unknown_scenario() -> None:
    with pytest.raises(InputError, match=r"^scenario: 'papre' is not known; allowed: "):
        parallel_env("papre")
