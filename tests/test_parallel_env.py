from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from envs.omnichannel import BatchedEnv, InputError, Scenario, parallel_env
from envs.omnichannel.agents.roster import HIGH_MODULES, MODULES
from envs.omnichannel.flows import Flows
from envs.omnichannel.layout import Agent
from envs.omnichannel.pettingzoo_env import OmnichannelEnv
from envs.omnichannel.types import IntArray, State
from envs.omnichannel.world.draws import make_seeds

Options = dict[str, IntArray]


def sample_levels(env: BatchedEnv, rng: np.random.Generator) -> Options:
    return {
        m: rng.integers(
            0, module.num_options, (env.num_copies, module.num_agents, env.network.num_skus)
        )
        for m, module in env.layout.modules.items()
    }


def sample_actions(env: OmnichannelEnv, names: list[str]) -> Options:
    return {name: env.action_space(name).sample().astype(np.int64) for name in names}


def make_rng() -> np.random.Generator:
    return np.random.default_rng(0)


def assert_same(left: State | Flows, right: State | Flows) -> None:
    """Fields of what the scenario has off are None."""
    for field in fields(left):
        own, other = getattr(left, field.name), getattr(right, field.name)
        assert (own is None) == (other is None), field.name
        if own is not None:
            np.testing.assert_array_equal(own, other, field.name)


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
                assert infos[agent.name]["team_reward"] == float(step.team_reward[copy])
                assert infos[agent.name]["is_review"] == batched.is_review
                assert truncations[agent.name] == step.done
            assert_same(single.batched_env.state, batched.state.select(slice(copy, copy + 1)))


def test_batched_env__flows_do_not_depend_on_the_batch(tiny: Scenario) -> None:
    seeds = make_seeds("test", 5, 4)
    together, alone, rng = BatchedEnv(tiny, 4), BatchedEnv(tiny, 1), make_rng()
    together.reset(seeds)
    alone.reset(seeds[2:3])
    for _ in range(tiny.horizon):
        levels = sample_levels(together, rng)
        flows = together.step(levels).flows
        own = alone.step({m: array[2:3] for m, array in levels.items()}).flows
        assert_same(own, flows.select(slice(2, 3)))
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


WRONG_ACTIONS = [
    (0, "0 is not allowed; 2 whole numbers from 0 to 3 are needed"),
    ([0], "[0] is not allowed; 2 whole numbers from 0 to 3 are needed"),
    ([[0], [0, 1]], "[[0], [0, 1]] is not allowed; 2 whole numbers from 0 to 3 are needed"),
    (
        np.array([0.7, 0]),
        "array([0.7, 0. ]) is not allowed; 2 whole numbers from 0 to 3 are needed",
    ),
    (["0", "1"], "['0', '1'] is not allowed; 2 whole numbers from 0 to 3 are needed"),
    (None, "None is not allowed; 2 whole numbers from 0 to 3 are needed"),
    ([0, 4], "[0, 4] is not allowed; 2 whole numbers from 0 to 3 are needed"),
    ([-1, 0], "[-1, 0] is not allowed; 2 whole numbers from 0 to 3 are needed"),
]


@pytest.mark.parametrize(("action", "problem"), WRONG_ACTIONS)
def test_parallel_env__refuses_a_wrong_action(tiny: Scenario, action: Any, problem: str) -> None:
    env = parallel_env(tiny)
    env.reset(seed=1)
    actions: dict[str, Any] = {**sample_actions(env, env.agents), "return_high": action}
    with pytest.raises(InputError) as caught:
        env.step(actions)
    assert str(caught.value) == f"actions['return_high']: {problem}"
    assert env.batched_env.period == 0


def test_parallel_env__takes_whole_numbers_of_any_type(tiny: Scenario) -> None:
    rewards = []
    for make in (np.array, list, lambda a: np.array(a, np.uint8), lambda a: np.array(a, np.uint64)):
        env = parallel_env(tiny)
        env.reset(seed=1)
        options = {name: [1, 2] for name in env.agents}
        actions: dict[str, Any] = {name: make(o) for name, o in options.items()}
        actions["return_high"] = [1, 2]  # types may differ between agents
        rewards.append(env.step(actions)[1])
    assert all(r == rewards[0] for r in rewards)


def test_parallel_env__refuses_missing_and_unknown_agents(tiny: Scenario) -> None:
    env = parallel_env(tiny)
    env.reset(seed=1)
    every = sample_actions(env, env.agents)
    without = {name: action for name, action in every.items() if name != "ordering_high"}
    with pytest.raises(InputError, match=r"^actions: 'ordering_high' is missing; each of `agents`"):
        env.step(without)
    with pytest.raises(InputError, match=r"^actions: 'ordering_high' is missing"):
        env.step({})
    ghost = {**every, "ghost": np.array([0, 0])}
    with pytest.raises(
        InputError, match=r"^actions: 'ghost' is not an agent that acts; allowed: ordering_high, "
    ):
        env.step(ghost)
    with pytest.raises(InputError, match=r"^actions: a list is not allowed; a dict from the name"):
        env.step([0, 0])  # type: ignore[arg-type]
    while env.agents:
        env.step(every)
    with pytest.raises(
        InputError,
        match=r"^actions: 'ordering_high' is not an agent .* none, because the episode has ended$",
    ):
        env.step(every)


@pytest.mark.parametrize("call", ["step", "state", "render"])
def test_parallel_env__refuses_calls_before_reset(tiny: Scenario, call: str) -> None:
    env = parallel_env(tiny, render_mode="ansi")
    arguments: tuple[Any, ...] = ({},) if call == "step" else ()
    with pytest.raises(
        InputError, match=rf"^{call}: no episode has begun; `reset` must be called first$"
    ):
        getattr(env, call)(*arguments)


@pytest.mark.parametrize("seed", [-1, 0.5, 2**64, "7", True, np.float64(1)])
def test_parallel_env__refuses_a_wrong_seed(tiny: Scenario, seed: Any) -> None:
    with pytest.raises(InputError) as caught:
        parallel_env(tiny).reset(seed=seed)
    assert str(caught.value) == (
        f"seed: {seed!r} is not allowed; a whole number from 0 to 18446744073709551615 is needed"
    )


def test_parallel_env__takes_numpys_and_the_largest_seeds(tiny: Scenario) -> None:
    env = parallel_env(tiny)
    for seed in (np.int64(5), np.uint64(5), 2**64 - 1):
        env.reset(seed=seed)  # type: ignore[arg-type]
        assert int(env.batched_env.state.seed[0]) == int(seed)


def test_parallel_env__ends_after_max_cycles_or_a_horizon_of_ones_own(tiny: Scenario) -> None:
    for env in (parallel_env(tiny, max_cycles=3), parallel_env(tiny, horizon=3)):
        env.reset(seed=1)
        ends = []
        while env.agents:
            ends.append(env.step(sample_actions(env, env.agents))[3]["return_high"])
        assert ends == [False, False, True]
    assert parallel_env(tiny, horizon=200).batched_env.scenario.horizon == 200
    assert parallel_env(tiny, horizon=200).batched_env.layout.horizon == 200


WRONG_ARGUMENTS = [
    ({"max_cycles": 0}, "max_cycles: 0 is not allowed; a whole number from 1 to 14 is needed"),
    ({"max_cycles": 15}, "max_cycles: 15 is not allowed; a whole number from 1 to 14 is needed"),
    ({"max_cycles": 2.0}, "max_cycles: 2.0 is not allowed; a whole number from 1 to 14 is needed"),
    ({"horizon": 0}, "horizon: 0 is not allowed; a whole number of at least 1 is needed"),
    ({"horizon": "9"}, "horizon: '9' is not allowed; a whole number of at least 1 is needed"),
    ({"horizon": 9999}, "tiny: horizon: 9999 is not allowed; must be less than or equal to 3650"),
    ({"render_mode": "human"}, "render_mode: 'human' is not known; allowed: None, ansi"),
]


@pytest.mark.parametrize(("arguments", "problem"), WRONG_ARGUMENTS)
def test_parallel_env__refuses_wrong_arguments(
    tiny: Scenario, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError) as caught:
        parallel_env(tiny, **arguments)
    assert str(caught.value) == problem


@pytest.mark.parametrize("name", ["two_dcs", "pickup", "scarce"])
def test_infos__tell_each_agents_terms_and_units(name: str) -> None:
    env = parallel_env(name)
    _, infos = env.reset(seed=3)
    assert {info["served"] for info in infos.values()} == {0}
    layout, parent = env.batched_env.layout, env.batched_env.network.parent
    locations = {row: [row - layout.num_dcs] for row in range(layout.num_dcs, layout.num_nodes)}
    locations |= {dc: np.flatnonzero(parent == dc).tolist() for dc in range(layout.num_dcs)}
    locations[layout.num_nodes] = list(range(layout.num_stores))
    single, rng = BatchedEnv(env.batched_env.scenario, 1), make_rng()
    single.reset(np.array([3], np.uint64))
    late = 0
    for _ in range(9):
        levels = sample_levels(single, rng)
        flows = single.step(levels).flows
        actions = {a.name: levels[a.module_id][0, a.index] for a in layout.agents}
        _, rewards, _, _, infos = env.step(actions)
        for agent in layout.agents:
            info, stores = infos[agent.name], locations[agent.row]
            terms = [info[term] for term in ("service", "inventory", "returns", "transport")]
            assert sum(terms) == pytest.approx(rewards[agent.name], abs=1e-6)
            assert max(terms) <= 0
            for unit in ("demand", "on_time", "served"):
                assert info[unit] == getattr(flows, unit)[0, stores].sum(), unit
                assert type(info[unit]) is int
            late += info["served"] - info["on_time"]
    assert late > 0 or name != "scarce", "where stock is scarce, some orders are served late"


def test_infos__terms_are_those_of_equation_8(tiny: Scenario) -> None:
    """With the team's reward alone every agent has the network's terms, as worked out here."""
    credit = tiny.reward.credit.model_copy(update={"local": 0.0, "store": 0.0, "team": 1.0})
    weights = {"alpha": 2.0, "beta": 0.3, "gamma": 0.5, "delta": 0.7, "credit": credit}
    parts = {
        "reward": tiny.reward.model_copy(update=weights),
        "costs": tiny.costs.model_copy(update={"fixed_order": 5.0}),
    }
    scenario = tiny.model_copy(update=parts)
    env, single = parallel_env(scenario), BatchedEnv(scenario, 1)
    env.reset(seed=5)
    single.reset(np.array([5], np.uint64))
    levels = sample_levels(single, make_rng())
    money = {term: float(cost.sum()) for term, cost in single.step(levels).costs.items()}
    scale = single.reward_model.team_scale
    *_, infos = env.step({a.name: levels[a.module_id][0, a.index] for a in env_agents(env)})
    expected = {
        "service": -2.0 * (money["lost_sales"] + money["late"]) / scale,
        "inventory": -0.3 * (money["holding"] + money["overflow"]) / scale,
        "returns": -0.5 * money["returns"] / scale,
        "transport": -0.7 * (money["transport"] + money["ordering"]) / scale,
    }
    assert money["ordering"] > 0
    assert expected["inventory"] < 0
    assert expected["transport"] < 0
    for name in env.agents:
        told = {term: infos[name][term] for term in expected}
        assert told == pytest.approx(expected, abs=1e-7), name


def env_agents(env: OmnichannelEnv) -> tuple[Agent, ...]:
    return env.batched_env.layout.agents


def test_infos__masks_leave_the_high_level_its_goal_between_reviews(tiny: Scenario) -> None:
    env = parallel_env(tiny)
    _, infos = env.reset(seed=1)
    chosen = np.array([3, 1])
    for period in range(14):
        review = period in {0, 7}
        for name, info in infos.items():
            counts = env.action_space(name).nvec
            assert info["is_review"] == review
            sampled = env.action_space(name).sample(mask=info["action_mask"])
            if name.endswith("_high") and not review:
                np.testing.assert_array_equal(sampled, chosen)
                assert [int(mask.sum()) for mask in info["action_mask"]] == [1, 1]
            else:
                assert [int(mask.sum()) for mask in info["action_mask"]] == counts.tolist()
        if review:
            chosen = np.array([period % 4, 3])
        # What the high level says between reviews does not change what it holds.
        actions = sample_actions(env, env.agents)
        high = {m: chosen if review else np.array([0, 0]) for m in HIGH_MODULES}
        infos = env.step({**actions, **high})[4]


def test_render__tells_the_day_in_text(tiny: Scenario) -> None:
    env = parallel_env(tiny, render_mode="ansi")
    assert parallel_env(tiny).render() is None
    env.reset(seed=1)
    first = str(env.render()).splitlines()
    assert first[0] == "Day 1 of 14, the high level decides today"
    heads = "location SKU on hand in transit demand on time served lost waiting"
    assert first[1].split() == heads.split()
    state = env.batched_env.state
    assert first[2].split() == (
        ["dc_0", "shirt", str(state.on_hand[0, 0, 0]), str(state.in_transit[0, :, 0, 0].sum())]
        + ["-"] * 5
    )
    *_, infos = env.step(sample_actions(env, env.agents))
    second = str(env.render()).splitlines()
    team_reward = infos["return_high"]["team_reward"]
    assert second[0] == f"Day 2 of 14; reward of the day before {team_reward:.3f}"
    stores = [line.split() for line in second[4:]]
    assert [line[:2] for line in stores] == [
        ["store_0", "shirt"], ["store_0", "lamp"], ["store_1", "shirt"], ["store_1", "lamp"],
    ]  # fmt: skip
    for head, column in (("demand", 4), ("on_time", 5), ("served", 6)):
        told = sum(int(line[column]) for line in stores[:2])
        assert told == infos["return_store_0"][head]


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
