from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from envs.omnichannel import InputError, Scenario, cell_env, module_of, parallel_env
from envs.omnichannel.agents.roster import HIGH_MODULES


def test_cell_env__agents_are_every_agent_and_sku(tiny: Scenario) -> None:
    env, many = cell_env(tiny), parallel_env(tiny)
    names = [f"{agent}_sku_{k}" for agent in many.possible_agents for k in range(2)]
    assert env.possible_agents == names
    assert names[:3] == ["ordering_high_sku_0", "ordering_high_sku_1", "ordering_dc_0_sku_0"]


@pytest.mark.parametrize("name", ["tiny", "two_dcs", "pickup"])
def test_cell_env__is_the_parallel_environment_sku_by_sku(name: str) -> None:
    cells, many = cell_env(name, pad=False), parallel_env(name)
    observed, _ = cells.reset(seed=4)
    rows, _ = many.reset(seed=4)
    skus = many.batched_env.layout.num_skus
    for agent in many.possible_agents:
        many.action_space(agent).seed(1)
    for _ in range(9):
        for agent in many.possible_agents:
            for k in range(skus):
                np.testing.assert_array_equal(observed[f"{agent}_sku_{k}"], rows[agent][k])
        np.testing.assert_array_equal(cells.state(), many.state().ravel())
        actions = {agent: many.action_space(agent).sample() for agent in many.agents}
        rows, rewards, _, _, infos = many.step(actions)
        observed, by_cell, _, ends, told = cells.step(
            {
                f"{agent}_sku_{k}": options[k]
                for agent, options in actions.items()
                for k in range(skus)
            }
        )
        assert set(ends.values()) == {False}
        for agent in many.possible_agents:
            own = [f"{agent}_sku_{k}" for k in range(skus)]
            assert np.mean([by_cell[cell] for cell in own]) == pytest.approx(rewards[agent])
            assert sum(told[cell]["served"] for cell in own) == infos[agent]["served"]
            assert sum(told[cell]["on_time"] for cell in own) == infos[agent]["on_time"]
            for k, cell in enumerate(own):
                terms = ("service", "inventory", "returns", "transport")
                assert sum(told[cell][t] for t in terms) == pytest.approx(by_cell[cell], abs=1e-6)
                np.testing.assert_array_equal(
                    told[cell]["action_mask"], infos[agent]["action_mask"][k]
                )
                assert told[cell]["team_reward"] == infos[agent]["team_reward"]
                assert told[cell]["is_review"] == infos[agent]["is_review"]


def test_cell_env__pads_action_spaces_and_masks_what_is_added(tiny: Scenario) -> None:
    sizes = {"ordering": 11, "shipping": 12, "return": 4}
    own, padded = cell_env(tiny, pad=False), cell_env(tiny)
    _, infos = padded.reset(seed=1)
    features = padded.batched_env.layout.num_features
    for agent in padded.possible_agents:
        size = sizes[agent.partition("_")[0]]
        assert own.action_space(agent) == Discrete(size)
        assert padded.action_space(agent) == Discrete(12)
        assert padded.observation_space(agent) == Box(-5, 5, (features,), np.float32)
        assert infos[agent]["action_mask"].tolist() == [1] * size + [0] * (12 - size)
        assert infos[agent]["action_mask"].dtype == np.int8


def test_cell_env__options_beyond_the_own_begin_again(tiny: Scenario) -> None:
    env, same = cell_env(tiny), cell_env(tiny)
    env.reset(seed=1)
    same.reset(seed=1)
    beyond = dict.fromkeys(env.possible_agents, 11)
    within = {agent: {"o": 0, "s": 11, "r": 3}[agent[0]] for agent in env.possible_agents}
    for _ in range(3):
        assert env.step(beyond)[1] == same.step(within)[1]


def test_cell_env__observation_holds_the_mask_when_asked(tiny: Scenario) -> None:
    plain, beside = cell_env(tiny), cell_env(tiny, action_mask=True)
    appended = cell_env(tiny, action_mask=True, flatten=True)
    assert cell_env(tiny, flatten=True).observation_spaces == plain.observation_spaces
    seen: dict[str, Any] = dict(plain.reset(seed=1)[0])
    agent = "return_store_1_sku_1"
    size = plain.batched_env.layout.num_features
    assert beside.observation_space(agent) == Dict(
        observation=Box(-5, 5, (size,), np.float32), action_mask=Box(0, 1, (12,), np.int8)
    )
    assert appended.observation_space(agent) == Box(-5, 5, (size + 12,), np.float32)
    both: Any = beside.reset(seed=1)[0][agent]
    one: Any = appended.reset(seed=1)[0][agent]
    np.testing.assert_array_equal(both["observation"], seen[agent])
    assert both["action_mask"].tolist() == [1] * 4 + [0] * 8
    assert one.dtype == np.float32
    assert one.tolist() == [*seen[agent].tolist(), *[1] * 4, *[0] * 8]


def test_cell_env__high_level_holds_its_option_between_reviews(tiny: Scenario) -> None:
    env = cell_env(tiny, action_mask=True)
    seen: Any
    seen, infos = env.reset(seed=1)
    high = [agent for agent in env.possible_agents if module_of(agent) in HIGH_MODULES]
    for period in range(13):
        for agent in high:
            mask = infos[agent]["action_mask"]
            np.testing.assert_array_equal(seen[agent]["action_mask"], mask)
            assert infos[agent]["is_review"] == (period in {0, 7})
            own = {"o": 11, "s": 12, "r": 4}[agent[0]]
            held = [2] if period < 7 else [3]
            expected = list(range(own)) if period in {0, 7} else held
            assert np.flatnonzero(mask).tolist() == expected
        # On the days of a review 2, then 3; in between 1, which has no effect.
        option = {0: 2, 7: 3}.get(period, 1)
        seen, _, _, _, infos = env.step(dict.fromkeys(env.agents, option))


WRONG_ACTIONS = [
    (12, "12 is not allowed; a whole number from 0 to 11 is needed"),
    (-1, "-1 is not allowed; a whole number from 0 to 11 is needed"),
    (1.0, "1.0 is not allowed; a whole number from 0 to 11 is needed"),
    ([1], "[1] is not allowed; a whole number from 0 to 11 is needed"),
    (None, "None is not allowed; a whole number from 0 to 11 is needed"),
]


@pytest.mark.parametrize(("action", "problem"), WRONG_ACTIONS)
def test_cell_env__refuses_a_wrong_action(tiny: Scenario, action: Any, problem: str) -> None:
    env = cell_env(tiny)
    env.reset(seed=1)
    actions = {**dict.fromkeys(env.agents, 0), "return_high_sku_1": action}
    with pytest.raises(InputError) as caught:
        env.step(actions)
    assert str(caught.value) == f"actions['return_high_sku_1']: {problem}"


def test_cell_env__refuses_missing_and_unknown_agents_and_calls_before_reset(
    tiny: Scenario,
) -> None:
    env = cell_env(tiny)
    with pytest.raises(InputError, match=r"^state: no episode has begun"):
        env.state()
    with pytest.raises(InputError, match=r"^step: no episode has begun"):
        env.step({})
    env.reset(seed=1)
    every = dict.fromkeys(env.agents, 0)
    with pytest.raises(InputError, match=r"^actions: 'ordering_high_sku_0' is missing"):
        env.step(dict.fromkeys(env.agents[1:], 0))
    with pytest.raises(InputError, match=r"^actions: 'ghost' is not an agent that acts"):
        env.step({**every, "ghost": 0})


def test_cell_env__takes_whole_numbers_of_any_type(tiny: Scenario) -> None:
    rewards = []
    for make in (int, np.int64, np.uint8, np.array):
        env = cell_env(tiny)
        env.reset(seed=1)
        rewards.append(env.step({agent: make(2) for agent in env.agents})[1])  # type: ignore[misc]
    assert all(r == rewards[0] for r in rewards)


MODULES_OF_AGENTS = {
    "ordering_high": "ordering_high",
    "ordering_dc_0": "ordering_low",
    "ordering_store_3": "ordering_low",
    "shipping_store_12": "shipping_low",
    "return_high_sku_4": "return_high",
    "return_store_0_sku_11": "return_low",
    "ordering_dc_1_sku_0": "ordering_low",
}


@pytest.mark.parametrize("agent", MODULES_OF_AGENTS)
def test_module_of__names_whose_parameters_an_agent_shares(agent: str) -> None:
    assert module_of(agent) == MODULES_OF_AGENTS[agent]


def test_module_of__agrees_with_the_layout(tiny: Scenario) -> None:
    for agent in parallel_env(tiny).batched_env.layout.agents:
        assert module_of(agent.name) == agent.module_id
        assert module_of(f"{agent.name}_sku_1") == agent.module_id


@pytest.mark.parametrize(
    "agent", ["ghost", "", "ordering", "shipping_dc_0", "ordering_store_", "ordering_high_0"]
)
def test_module_of__refuses_unknown_names(agent: str) -> None:
    with pytest.raises(InputError) as caught:
        module_of(agent)
    assert str(caught.value) == (
        f"agent: {agent!r} is not known; allowed: a name of `possible_agents`, such as "
        "'ordering_store_3', 'return_high' or 'ordering_dc_0_sku_1'"
    )
