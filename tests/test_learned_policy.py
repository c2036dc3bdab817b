from pathlib import Path

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.omnichannel.agents.roster import HIGH_MODULES, MODULES, PROPOSERS
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.scenario.coordination import Coordination
from envs.omnichannel.world.draws import make_seeds
from marl.config import load_config
from marl.evaluation.evaluate import EpisodeRunner
from marl.learning.dqn.policy import (
    LearnedPolicy,
    make_network_arguments,
    make_untrained,
    select_greedy,
)
from marl.learning.methods import load_policy
from marl.learning.policy_arrays import Weights, save_policy
from marl.policies import make_policy


def make_random_weights(scenario: Scenario) -> Weights:
    torch.manual_seed(0)
    networks = make_untrained(make_network_arguments(scenario, load_config().learner)).networks
    return {
        m: {name: torch.randn(p.shape).numpy() for name, p in network.named_parameters()}
        for m, network in networks.items()
    }


def test_learned_policy__acts_the_same_after_a_round_trip(tmp_path: Path, tiny: Scenario) -> None:
    arguments = make_network_arguments(tiny, load_config().learner)
    weights = make_random_weights(tiny)
    save_policy(tmp_path / "policy.npz", {"method": "agents", "networks": arguments}, weights)

    loaded = load_policy(tmp_path / "policy.npz", tiny)

    seeds = make_seeds("test", 0, 5)
    expected = EpisodeRunner(tiny, seeds, "evaluate").run(
        LearnedPolicy.from_weights(arguments, weights)
    )
    found = EpisodeRunner(tiny, seeds, "evaluate").run(loaded)
    for metric, values in expected.items():
        np.testing.assert_array_equal(found[metric], values, err_msg=metric)


def test_learned_policy__runs_a_network_of_another_size(tiny: Scenario) -> None:
    arguments = make_network_arguments(tiny, load_config().learner)
    policy = LearnedPolicy.from_weights(arguments, make_random_weights(tiny))
    paper = load_scenario("paper")

    policy.check_fits(paper, "mine")
    metrics = EpisodeRunner(paper, make_seeds("test", 0, 2), "evaluate").run(policy)

    assert np.isfinite(metrics["reward"]).all()


def test_learned_policy__refuses_other_action_grids(tiny: Scenario) -> None:
    policy = make_untrained(make_network_arguments(tiny, load_config().learner))
    changed = tiny.model_copy(
        update={"actions": tiny.actions.model_copy(update={"push_cover": [1.0]})}
    )

    with pytest.raises(InputError, match=r"'mine' has 12 actions .* scenario tiny needs 3"):
        policy.check_fits(changed, "mine")


def test_learned_policy__without_sharing_keeps_to_its_agents(
    tiny: Scenario, tmp_path: Path
) -> None:
    learner = load_config("default", ["learner.share_parameters=false"]).learner
    arguments = make_network_arguments(tiny, learner)
    torch.manual_seed(0)
    weights = {
        m: {name: torch.randn(p.shape).numpy() for name, p in network.named_parameters()}
        for m, network in make_untrained(arguments).networks.items()
    }
    save_policy(tmp_path / "policy.npz", {"method": "agents", "networks": arguments}, weights)
    policy = load_policy(tmp_path / "policy.npz", tiny, "mine")
    assert isinstance(policy, LearnedPolicy)

    policy.check_fits(tiny, "mine")
    with pytest.raises(InputError, match=r" 3 agents of ordering_low; .* paper has 11"):
        policy.check_fits(load_scenario("paper"), "mine")

    env = BatchedEnv(tiny, 20)
    env.reset(make_seeds("test", 0, 20))
    observations = env.observe()
    # The same observation in all rows: agents of a module differ by their parameters alone.
    observations[:] = observations[:, :1]
    options = select_greedy(env, policy.networks, observations)["ordering_low"]
    assert (options[:, 0] != options[:, 1]).any()


def test_untrained__is_close_to_the_policy_before(tiny: Scenario) -> None:
    untrained = make_untrained(make_network_arguments(tiny, load_config().learner))
    seeds = make_seeds("test", 0, 16)

    learnt = EpisodeRunner(tiny, seeds, "evaluate").run(untrained)["on_time"].mean()
    before = (
        EpisodeRunner(tiny, seeds, "evaluate").run(make_policy("before", tiny))["on_time"].mean()
    )

    # They differ by the forecast alone, which knows the season.
    assert learnt == pytest.approx(before, abs=0.03)


def test_select_greedy__valued_agents_leave_the_goals_for_more_than_the_margin(
    tiny: Scenario,
) -> None:
    policy = LearnedPolicy.from_weights(
        make_network_arguments(tiny, load_config().learner), make_random_weights(tiny)
    )

    def select(**rules: object) -> dict[str, np.ndarray]:
        scenario = tiny.model_copy(update={"coordination": Coordination.model_validate(rules)})
        env = BatchedEnv(scenario, 50)
        env.reset(make_seeds("test", 0, 50))
        env.step(select_greedy(env, policy.networks, env.observe()))
        return {**env.goals, **select_greedy(env, policy.networks, env.observe())}

    never, always = (select(strategy="valued", margin=margin) for margin in (1e9, 0))
    for role in ("ordering", "shipping", "return"):
        assert (never[f"{role}_low"] == never[f"{role}_high"]).all()
        assert (always[f"{role}_low"] != always[f"{role}_high"]).any()


def test_select_greedy__others_see_what_was_explored(tiny: Scenario) -> None:
    rules = Coordination(strategy="valued", margin=1e9)
    env = BatchedEnv(tiny.model_copy(update={"coordination": rules}), 3)
    env.reset(make_seeds("test", 0, 3))
    networks = make_untrained(make_network_arguments(tiny, load_config().learner)).networks

    def explore(module_id: str, options: np.ndarray) -> None:
        if module_id == "shipping_high":
            options[1] = 5

    actions = select_greedy(env, networks, env.observe(), explore=explore)

    initial = env.layout.modules["shipping_low"].initial_option
    assert (actions["shipping_low"][1] == 5).all()
    assert (actions["shipping_low"][[0, 2]] == initial).all()


def test_run_period__brings_the_learnt_weights_and_leaves_none_behind(tiny: Scenario) -> None:
    arguments = make_network_arguments(tiny, load_config().learner)
    weights = make_random_weights(tiny)
    learnt = {d: np.eye(len(p))[-1] for d, p in PROPOSERS.items()}
    env = BatchedEnv(tiny, 4)
    rewards = []
    for own in (weights, {**weights, "coordination": learnt}, weights):
        env.reset(make_seeds("test", 0, 4))
        LearnedPolicy.from_weights(arguments, own).run_period(env)
        rewards.append(env.coordinator.weights["shipment_gap"].tolist())

    assert rewards == [[0.25] * 4, [0, 0, 0, 1], [0.25] * 4]


def test_select_greedy__asks_the_high_level_on_review_periods_only(tiny: Scenario) -> None:
    env = BatchedEnv(tiny, 3)
    env.reset(make_seeds("test", 0, 3))
    networks = make_untrained(make_network_arguments(tiny, load_config().learner)).networks

    asked = []
    for _ in range(tiny.review_period + 1):
        actions = select_greedy(env, networks, env.observe())
        asked.append(set(actions))
        env.step(actions)

    assert asked[0] == asked[-1] == set(MODULES)
    assert all(modules == set(MODULES) - set(HIGH_MODULES) for modules in asked[1:-1])
