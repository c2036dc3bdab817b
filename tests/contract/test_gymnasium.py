"""Gymnasium and Stable-Baselines3 accept the single-agent view."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from envs.omnichannel import InputError, joint_env, joint_vector_env, list_scenarios, parallel_env
from envs.omnichannel.gymnasium_env import JointEnv

ENV_ID = "omnichannel/Joint-v0"


@pytest.mark.parametrize("name", list_scenarios())
def test_joint_env__passes_gymnasiums_check(name: str) -> None:
    check_env(gymnasium.make(ENV_ID, scenario=name).unwrapped)


def test_make__knows_the_environment_after_the_import_or_by_module() -> None:
    code = (
        "import gymnasium\n"
        f"env = gymnasium.make('envs.omnichannel:{ENV_ID}', scenario='tiny')\n"
        "print(env.reset(seed=1)[0].shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    env = gymnasium.make(ENV_ID, scenario="tiny")
    assert done.stdout.strip() == str(env.observation_space.shape)


def test_make__refuses_an_unknown_scenario() -> None:
    with pytest.raises(InputError, match=r"^scenario: 'tinny' is not known; allowed: "):
        gymnasium.make(ENV_ID, scenario="tinny")


def test_joint_env__decides_what_the_many_agents_decide() -> None:
    joint, many = joint_env("two_dcs"), parallel_env("two_dcs")
    observation, _ = joint.reset(seed=4)
    many.reset(seed=4)
    joint.action_space.seed(0)
    num_skus = many.batched_env.network.num_skus
    for _ in range(15):
        np.testing.assert_array_equal(observation, many.state().ravel())
        action = joint.action_space.sample()
        by_agent = action.astype(np.int64).reshape(-1, num_skus)
        actions = dict(zip(many.possible_agents, by_agent, strict=True))
        for name, levels in actions.items():
            assert many.action_space(name).contains(levels), name
        observation, reward, terminated, _, _ = joint.step(action)
        *_, infos = many.step(actions)
        assert reward == infos["ordering_high"]["team_reward"]
        assert not terminated


def test_joint_env__next_episodes_follow_from_the_first_seed() -> None:
    starts = []
    for _ in range(2):
        env = joint_env("tiny")
        env.reset(seed=3)
        env.reset()
        starts.append(int(env.batched_env.state.seed[0]))
    assert starts[0] == starts[1] != 3


def test_joint_env__truncates_at_the_horizon() -> None:
    env = joint_env("tiny")
    env.reset(seed=0)
    ends = [env.step(env.action_space.sample())[3] for _ in range(14)]
    assert ends == [False] * 13 + [True]


def test_joint_vector_env__equals_gymnasiums_loop_over_copies() -> None:
    ours = gymnasium.make_vec(
        ENV_ID, num_envs=3, scenario="tiny", vectorization_mode="vector_entry_point"
    )
    looped = gymnasium.make_vec(ENV_ID, num_envs=3, scenario="tiny", vectorization_mode="sync")
    assert ours.metadata["autoreset_mode"] == looped.metadata["autoreset_mode"]
    assert ours.action_space == looped.action_space
    assert ours.observation_space == looped.observation_space
    assert data_equivalence(ours.reset(seed=5), looped.reset(seed=5))
    ours.action_space.seed(0)
    for _ in range(14):
        actions = ours.action_space.sample()
        assert data_equivalence(ours.step(actions), looped.step(actions))
    # The step after the end begins the next episodes, by seeds of each one's own.
    ours_first, looped_first = ours.step(actions), looped.step(actions)
    assert data_equivalence(ours_first[1:], looped_first[1:])
    assert not ours_first[3].any()
    assert (ours_first[1] == 0).all()


def test_joint_vector_env__same_seed_gives_the_same_episodes() -> None:
    seeds = []
    for _ in range(2):
        env = joint_vector_env(2, "tiny")
        env.reset(seed=7)
        env.reset()
        seeds.append(env.batched_env.state.seed.tolist())
    assert seeds[0] == seeds[1]
    assert len({*seeds[0]}) == 2


def test_joint_env__passes_the_check_of_stable_baselines3() -> None:
    from stable_baselines3.common.env_checker import check_env as check_env_of_sb3

    check_env_of_sb3(JointEnv("tiny"))


def test_joint_env__is_trained_by_stable_baselines3() -> None:
    from stable_baselines3 import PPO

    model = PPO("MlpPolicy", joint_env("tiny"), n_steps=64, batch_size=32, n_epochs=1, seed=0)
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(192)
    assert model.num_timesteps == 192
    assert any((p != q).any() for p, q in zip(model.policy.parameters(), before, strict=True))
