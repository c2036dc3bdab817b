"""Gymnasium and Stable-Baselines3 accept the single-agent view."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import SyncVectorEnv

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
    # The step after the end begins the next episodes, by the next seed of each copy.
    for _ in range(3):
        assert data_equivalence(ours.step(actions), looped.step(actions))


def make_pair(mode: str, num_envs: int = 3) -> tuple[Any, Any]:
    """Our vector environment and Gymnasium's loop over copies, which says what must come."""
    looped = SyncVectorEnv([lambda: joint_env("tiny")] * num_envs, autoreset_mode=mode)
    return joint_vector_env(num_envs, "tiny", autoreset_mode=mode), looped


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("seed", [5, [7, 3, 11], [7, None, 11]])
def test_joint_vector_env__resets_as_gymnasiums_loop_does(mode: str, seed: Any) -> None:
    """Copies are reset on day 3, 5 and 8, so that they end on different days."""
    ours, looped = make_pair(mode)
    for env in (ours, looped):
        env.reset(seed=[1, 2, 3])  # where a seed is None the copy's own sequence goes on
    assert data_equivalence(ours.reset(seed=seed), looped.reset(seed=seed))
    ours.action_space.seed(0)
    masks = {3: [True, False, False], 5: [False, True, True], 8: [False, True, False]}
    ended = np.zeros(3, np.bool_)
    for day in range(50):
        if day in masks or (mode == "Disabled" and ended.any()):
            mask = np.array(masks.get(day, [False] * 3)) | (ended & (mode == "Disabled"))
            own, other = ({"reset_mask": mask.copy()} for _ in range(2))
            assert data_equivalence(ours.reset(options=own), looped.reset(options=other)), day
        actions = ours.action_space.sample()
        left, right = ours.step(actions), looped.step(actions)
        assert data_equivalence(left, right), day
        ended = left[3]
    # All begin together again.
    assert data_equivalence(ours.reset(seed=4), looped.reset(seed=4))
    assert data_equivalence(ours.step(actions), looped.step(actions))


def test_joint_vector_env__a_masked_reset_leaves_the_others_as_they_are() -> None:
    env = joint_vector_env(2, "tiny")
    env.reset(seed=1)
    observed = env.step(env.action_space.sample())[0]
    after, infos = env.reset(options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(after[1], observed[1])
    assert (after[0] != observed[0]).any()
    assert infos["_service"].tolist() == [True, False]


@pytest.mark.parametrize("name", ["tiny", "two_dcs"])
def test_joint_infos__terms_sum_to_the_reward(name: str) -> None:
    joint, many = joint_env(name), parallel_env(name)
    joint.reset(seed=4)
    many.reset(seed=4)
    joint.action_space.seed(0)
    skus = many.batched_env.layout.num_skus
    for period in range(10):
        action = joint.action_space.sample()
        _, reward, _, _, info = joint.step(action)
        by_agent = action.reshape(-1, skus)
        *_, infos = many.step(dict(zip(many.possible_agents, by_agent, strict=True)))
        terms = [info[term] for term in ("service", "inventory", "returns", "transport")]
        assert sum(terms) == pytest.approx(reward)
        assert max(terms[1:]) <= 0 < info["service"]
        for name_ in ("demand", "on_time", "served", "is_review"):
            assert info[name_] == infos["return_high"][name_], name_
            assert type(info[name_]) is type(infos["return_high"][name_])
        masks = [mask for agent in many.possible_agents for mask in infos[agent]["action_mask"]]
        np.testing.assert_array_equal(info["action_mask"], np.concatenate(masks))
        assert info["is_review"] == ((period + 1) % 7 == 0)


def test_joint_env__render_and_horizon_are_arguments() -> None:
    env = gymnasium.make(ENV_ID, scenario="tiny", horizon=3, render_mode="ansi")
    env.reset(seed=1)
    assert str(env.render()).startswith("Day 1 of 3, the high level decides today\n")
    assert [env.step(env.action_space.sample())[3] for _ in range(3)] == [False, False, True]
    vector = joint_vector_env(2, "tiny", render_mode="ansi")
    vector.reset(seed=1)
    vector.step(vector.action_space.sample())
    days = vector.render()
    assert days is not None
    assert [day.splitlines()[0][:11] for day in days] == ["Day 2 of 14", "Day 2 of 14"]
    assert days[0] != days[1]


def test_joint_envs__refuse_what_is_wrong() -> None:
    one, two = joint_env("tiny"), joint_vector_env(2, "tiny", autoreset_mode="Disabled")
    flat = one.action_space.sample()
    mistakes: list[tuple[Callable[[], Any], str]] = [
        (lambda: one.step(flat), "step: no episode has begun; `reset` must be called first"),
        (lambda: two.step(flat), "step: no episode has begun; `reset` must be called first"),
        (lambda: one.reset(seed=-1), "seed: -1 is not allowed; a whole number from 0 to 184467"),
        (
            lambda: one.reset(seed="1"),  # type: ignore[arg-type]
            "seed: '1' is not allowed; a whole number from 0 to 184467",
        ),
        (
            lambda: two.reset(seed=1.5),  # type: ignore[arg-type]
            "seed: 1.5 is not allowed; a whole number from 0 to 18446",
        ),
        (lambda: two.reset(seed=[1]), "seed: 1 seeds are not allowed; one for each of the 2 cop"),
        (lambda: two.reset(seed=[1, -2]), "seed[1]: -2 is not allowed; a whole number from 0"),
        (lambda: two.reset(seed=2**64 - 1), "seed: 18446744073709551615 is not allowed; a whole"),
        (lambda: two.reset(options={"reset_mask": [True, False]}), "reset_mask: [True, False] is"),
        (
            lambda: two.reset(options={"reset_mask": np.zeros(2, np.bool_)}),
            "reset_mask: array([False, False]) is not allowed; an array of 2 booleans, of which",
        ),
        (
            lambda: two.reset(options={"reset_mask": np.array([True, False])}),
            "reset_mask: no episode has begun in some of the copies that it leaves out; the first",
        ),
        (lambda: joint_vector_env(0, "tiny"), "num_envs: 0 is not allowed; a whole number of at"),
        (
            lambda: joint_vector_env(2, "tiny", autoreset_mode="never"),
            "autoreset_mode: 'never' is not known; allowed: 'NextStep', 'SameStep', 'Disabled'",
        ),
        (lambda: joint_env("tiny", render_mode="human"), "render_mode: 'human' is not known; all"),
        (lambda: joint_env("tiny", horizon=0), "horizon: 0 is not allowed; a whole number of at"),
    ]
    for call, problem in mistakes:
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value).startswith(problem)
    one.reset(seed=1)
    two.reset(seed=1)
    wrong: list[Any] = [0, flat[:-1], flat.astype(float), flat + 12, -flat - 1, None]
    for action in wrong:
        with pytest.raises(InputError, match=r"^action: .* is not allowed; 20 whole numbers below"):
            one.step(action)
        with pytest.raises(InputError, match=r"^actions: .* is not allowed; 2 x 20 whole numbers"):
            two.step(action)
    for _ in range(14):
        one.step(flat)
        two.step(np.stack([flat, flat]))
    with pytest.raises(InputError, match=r"^step: the episode has ended; `reset` must be called"):
        one.step(flat)
    with pytest.raises(
        InputError, match=r"^step: the episodes of copies \[0, 1\] have ended; they"
    ):
        two.step(np.stack([flat, flat]))


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
