from collections.abc import Callable
from functools import partial

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.world.draws import make_seeds
from marl.config import load_config
from marl.learning.env_runner import explore_options, sample_episodes
from marl.learning.experience_pool import Fragment
from marl.learning.kernels import choose_options, uphold_goals
from marl.learning.learned_policy import make_network_arguments, make_untrained
from marl.policies import make_policy


def test_choose_levels__takes_the_first_of_the_best() -> None:
    values = np.random.default_rng(0).integers(5, size=(3, 4, 2, 6)).astype(np.float32)
    levels = np.empty((4, 3, 2), np.int64)

    choose_options(values, levels)

    np.testing.assert_array_equal(levels, values.argmax(axis=-1).swapaxes(0, 1))


def test_uphold_goals__leaves_the_goal_for_more_than_the_margin() -> None:
    """Two agents of a copy and its one SKU; the goal is level 1."""
    values = np.array([[0.0, 1.0, 1.25, 0.5], [0.0, 1.0, 1.5, 0.5]], np.float32)
    levels = np.array([[[2], [2]]])

    uphold_goals(values[:, None, None], np.array([[[1]]]), 0.25, levels)

    assert levels.tolist() == [[[1], [2]]]


def test_sample_episodes__counts_rewards_from_the_control_variates(tiny: Scenario) -> None:
    networks = make_untrained(make_network_arguments(tiny, load_config().learner)).networks
    seeds, rule = make_seeds("train", 0, 4), make_policy("before", tiny)

    def sample(env: BatchedEnv, run_reference: Callable[[], Step] | None = None) -> Fragment:
        env.reset(seeds)
        epsilon, rng = np.full(4, 0.3), np.random.default_rng(0)
        return sample_episodes(env, dict(networks), epsilon, rng, run_reference=run_reference)

    plain = sample(BatchedEnv(tiny, 4))
    beside = BatchedEnv(tiny, 4)
    beside.reset(seeds)
    counted = sample(BatchedEnv(tiny, 4), partial(rule.run_period, beside))

    alone = BatchedEnv(tiny, 4)
    alone.reset(seeds)
    rewards = np.stack([rule.run_period(alone).rewards for _ in range(tiny.horizon)], axis=1)
    np.testing.assert_array_equal(counted.rewards, plain.rewards - rewards)
    np.testing.assert_array_equal(counted.observations, plain.observations)
    for module_id, actions in plain.actions.items():
        np.testing.assert_array_equal(counted.actions[module_id], actions)
    np.testing.assert_array_equal(counted.metrics["reward"], plain.metrics["reward"])


def test_explore_levels__replaces_each_copys_share_by_uniform_levels() -> None:
    epsilon, num_options = np.array([0.0, 0.3, 1.0]), 4
    levels = np.full((3, 50, 40), 9)

    explore_options(levels, num_options, epsilon, np.random.default_rng(0))

    replaced = levels != 9
    np.testing.assert_allclose(replaced.mean(axis=(1, 2)), epsilon, atol=0.03)
    shares = np.bincount(levels[replaced], minlength=num_options) / np.count_nonzero(replaced)
    np.testing.assert_allclose(shares, 1 / num_options, atol=0.03)
