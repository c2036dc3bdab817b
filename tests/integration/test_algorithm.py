"""The learning core on a real Ray, in the tiny scenario."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.scenario.coordination import Coordination
from marl.config import load_config
from marl.learning.dqn.network import QNetwork, SeparateQNetwork
from marl.learning.feedback import Adjustment
from marl.learning.methods import make_method
from marl.learning.pool.experience_pool import Batch
from marl.learning.rllib.algorithm import MethodAlgorithm, build_algorithm
from marl.learning.rllib.config import MethodConfig

pytestmark = pytest.mark.usefixtures("ray_session")

SETTINGS = [
    "env_runners.num_envs_per_env_runner=8",
    "pool.min_env_steps=100",
    "pool.capacity_env_steps=600",
    "learner.batch_size=32",
    "learner.env_steps_per_update=16",
    "learner.hidden=[16,16]",
]


@contextmanager
def build(scenario: Scenario, *overrides: str) -> Iterator[MethodAlgorithm]:
    config = load_config("default", [*SETTINGS, *overrides])
    algorithm = build_algorithm(make_method(scenario, config))
    try:
        yield algorithm
    finally:
        algorithm.stop()


def get_networks(algorithm: MethodAlgorithm) -> list[QNetwork]:
    module = algorithm.learner_group._learner.module
    return [module[m].unwrapped().network for m in MODULES]


def get_slow_networks(algorithm: MethodAlgorithm) -> list[QNetwork]:
    """Copies of the modules' networks with the values that are bootstrapped from."""
    trainee = algorithm.local_learner.trainees["modules"]
    found: list[QNetwork] = []
    for module_id, place in trainee.places.items():
        network: Any = algorithm.method.make_network(module_id)
        values = dict(zip(trainee.online.parameters, trainee.slow_parameters, strict=True))
        network.load_state_dict({name: stacked[place] for name, stacked in values.items()})
        found.append(network)
    return found


def get_weights(algorithm: MethodAlgorithm) -> dict[str, np.ndarray[Any, Any]]:
    weights = {f"averaged/{k}/{n}": v for k, w in algorithm.get_averaged_weights().items()
               for n, v in w.items()}  # fmt: skip
    for m, network in zip(MODULES, get_networks(algorithm), strict=True):
        weights |= {f"{m}/{n}": p.numpy().copy() for n, p in network.state_dict().items()}
    return weights


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values, err_msg=name)


def test_training_step__learns_at_the_asked_replay_ratio(tiny: Scenario) -> None:
    with build(tiny, "env_runners.num_env_runners=1") as algorithm:
        before = get_weights(algorithm)
        for _ in range(5):
            algorithm.train()

        # 8 copies x 14 periods a round; updates follow the rounds before the last one.
        assert algorithm.env_steps == 5 * 8 * 14
        assert algorithm.episodes == 40
        assert algorithm.updates == 4 * 8 * 14 // 16
        after = get_weights(algorithm)
        assert any((after[name] != before[name]).any() for name in after)


def test_settings_of_rllib__are_those_that_train(tiny: Scenario) -> None:
    """A grid over `lr` has different trials; RLlib's own names and ours mean the same run."""
    method = make_method(tiny, load_config("default", [*SETTINGS, "env_runners.num_env_runners=0"]))

    def train(algorithm: MethodAlgorithm) -> dict[str, Any]:
        for _ in range(3):
            algorithm.train()
        weights = get_weights(algorithm)
        algorithm.stop()
        return weights

    config = MethodConfig.from_method(method).training(lr=0.25).debugging(seed=7)
    asked = train(config.build_algo())
    with build(tiny, "env_runners.num_env_runners=0", "learner.lr=0.25", "seed=7") as algorithm:
        assert_same(train(algorithm), asked)
    other = train(config.copy(copy_frozen=False).training(lr=0.5).build_algo())
    assert any((other[name] != asked[name]).any() for name in asked)


def test_training_step__runners_act_with_the_learners_weights(tiny: Scenario) -> None:
    with build(tiny, "env_runners.num_env_runners=1") as algorithm:
        for _ in range(4):
            algorithm.train()

        def read(runner: Any) -> dict[str, Any]:
            return {
                f"{m}/{n}": p.numpy()
                for m in MODULES
                for n, p in runner.module[m].unwrapped().network.state_dict().items()
            }

        found = algorithm.env_runner_group.foreach_env_runner(read, local_env_runner=False)[0]
        learner = get_weights(algorithm)
        assert_same({k: learner[k] for k in found}, found)


@pytest.mark.parametrize("runners", [0, 1])
def test_algorithm__resumes_bit_for_bit(tiny: Scenario, tmp_path: Path, runners: int) -> None:
    overrides = [f"env_runners.num_env_runners={runners}"]
    with build(tiny, *overrides) as algorithm:
        for _ in range(4):
            algorithm.train()
        algorithm.save_to_path(str(tmp_path))
        for _ in range(4):
            algorithm.train()
        expected, errors = get_weights(algorithm), algorithm.learn_metrics

    with build(tiny, *overrides) as algorithm:
        algorithm.restore_from_path(str(tmp_path))
        for _ in range(4):
            algorithm.train()

        assert_same(expected, get_weights(algorithm))
        assert algorithm.learn_metrics == errors


def test_restore__a_checkpoint_that_does_not_fit_is_one_line(
    tiny: Scenario, tmp_path: Path
) -> None:
    with build(tiny) as algorithm:
        parts = algorithm.make_snapshot()
    learner = parts["learner"]
    averages = [name for name in learner.arrays if "averaged" in name]
    learner.arrays[averages[0]] = np.zeros((6, 3, 3), np.float32)
    for name, part in parts.items():
        part.write(tmp_path, name)

    with build(tiny) as algorithm, pytest.raises(InputError) as raised:
        algorithm.restore_parts(tmp_path)

    message = str(raised.value)
    assert message.startswith(f"checkpoint: '{tmp_path}' does not fit this run (")
    assert "\n" not in message


def describe_search(algorithm: MethodAlgorithm) -> dict[str, float]:
    assert algorithm.weight_search
    return algorithm.weight_search.describe()


def test_algorithm__learns_the_coordinators_weights_and_resumes_them(
    tiny: Scenario, tmp_path: Path
) -> None:
    rules = Coordination(strategy="learned")
    learned = tiny.model_copy(update={"coordination": rules})
    with build(learned, "env_runners.num_env_runners=2") as algorithm:
        for _ in range(3):
            algorithm.train()
        algorithm.save_to_path(str(tmp_path))
        before = describe_search(algorithm)
        for _ in range(3):
            algorithm.train()
        expected, weights = describe_search(algorithm), get_weights(algorithm)
    assert before["coordination/disposition/return_low"] != 0.5
    assert expected != before

    # Whoever samples: the copies' weights are functions of the share and the round.
    with build(learned, "env_runners.num_env_runners=2") as algorithm:
        algorithm.restore_from_path(str(tmp_path))
        assert describe_search(algorithm) == before
        for _ in range(3):
            algorithm.train()

        assert describe_search(algorithm) == expected
        assert_same(weights, get_weights(algorithm))

    with build(tiny) as algorithm:
        assert "coordination" not in algorithm.get_averaged_weights()


@pytest.mark.parametrize("num_runners", [0, 2])
def test_adjust__counts_from_the_next_round_whether_it_runs_ahead_or_not(
    tiny: Scenario, tmp_path: Path, num_runners: int
) -> None:
    """Resumed runs have no round under way when they learn of the adjustment."""
    settings = (f"env_runners.num_env_runners={num_runners}", "exploration.epsilon=0.4")
    adjustment = Adjustment(epsilon=0.1, service=3.0)
    with build(tiny, *settings) as algorithm:
        algorithm.train()
        assert algorithm.crew.is_sampling
        algorithm.save_to_path(str(tmp_path))
        algorithm.adjust(adjustment)
        for _ in range(2):
            algorithm.train()
        expected, rewards = get_weights(algorithm), algorithm.sample_metrics["reward"]

    with build(tiny, *settings) as algorithm:
        algorithm.restore_from_path(str(tmp_path))
        assert not algorithm.crew.is_sampling
        algorithm.adjust(adjustment)
        for _ in range(2):
            algorithm.train()

        np.testing.assert_array_equal(algorithm.sample_metrics["reward"], rewards)
        assert_same(expected, get_weights(algorithm))


OPTIONS = [
    ["learner.target_update=3"],
    ["learner.share_parameters=false", "learner.double=false"],
]


@pytest.mark.parametrize("overrides", OPTIONS, ids=lambda overrides: overrides[0])
def test_options__learn_and_resume_bit_for_bit(
    tiny: Scenario, tmp_path: Path, overrides: list[str]
) -> None:
    overrides = ["env_runners.num_env_runners=0", *overrides]
    with build(tiny, *overrides) as algorithm:
        before = get_weights(algorithm)
        for _ in range(3):
            algorithm.train()
        algorithm.save_to_path(str(tmp_path))
        algorithm.train()
        expected = get_weights(algorithm)
        assert all((expected[name] != before[name]).any() for name in before)

    with build(tiny, *overrides) as algorithm:
        algorithm.restore_from_path(str(tmp_path))
        algorithm.train()

        assert_same(expected, get_weights(algorithm))


def test_target_update__copies_every_so_often(tiny: Scenario) -> None:
    with build(tiny, "env_runners.num_env_runners=0", "learner.target_update=3") as algorithm:
        for _ in range(2):
            algorithm.train()
        trainee = algorithm.local_learner.trainees["modules"]

        def measure_lag(updates: int) -> float:
            batch = algorithm.pool.sample(updates, 32)
            algorithm.learner_group.update(batch=batch, timesteps={})
            pairs = zip(trainee.parameters, trainee.slow_parameters, strict=True)
            return sum(float((p.detach() - q).abs().sum()) for p, q in pairs)

        done = algorithm.updates
        assert measure_lag(3 - done % 3) == 0
        assert measure_lag(2) > 0
        assert measure_lag(1) == 0


@pytest.mark.parametrize("option", ["share_parameters=true", "share_parameters=false"])
def test_learner__updates_as_separate_learners_would(tiny: Scenario, option: str) -> None:
    overrides = ["env_runners.num_env_runners=0", "learner.grad_clip=0.5", f"learner.{option}"]
    with build(tiny, *overrides) as algorithm:
        for _ in range(2):
            algorithm.train()
        trainee = algorithm.local_learner.trainees["modules"]
        torch.manual_seed(0)
        with torch.no_grad():
            # Random values make the best action differ between observations and networks.
            for p in (*trainee.parameters, *trainee.slow_parameters):
                p.normal_(0, 0.5)
        trainee.optimizer.state.clear()
        online = [own for network in get_networks(algorithm) for own in clone(network)]
        target = [own for network in get_slow_networks(algorithm) for own in clone(network)]
        batch = algorithm.pool.sample(4, algorithm.method.batch_size)
        assert len(online) == (10 if "false" in option else 6)
        assert batch.r_t.shape[1:] == (10, 19) if "false" in option else (6, 32)
        timesteps = {"num_env_steps_sampled_lifetime": algorithm.env_steps}

        algorithm.learner_group.update(batch=batch, timesteps=timesteps)
        lr = trainee.optimizer.param_groups[0]["lr"]
        for m, (network, copy) in enumerate(zip(online, target, strict=True)):
            update_alone(network, copy, batch, m, lr=lr, grad_clip=0.5)

        updated = [own for network in get_networks(algorithm) for own in clone(network)]
        for network, alone in zip(updated, online, strict=True):
            for (name, p), q in zip(network.named_parameters(), alone.parameters(), strict=True):
                torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6, msg=name)


def clone(network: QNetwork) -> list[QNetwork]:
    """Networks of their own memory, one for each agent without shared parameters.

    A deep copy would keep the views.
    """
    shape = {name: p.shape for name, p in network.named_parameters()}
    hidden = [shape[f"layers.{i}.bias"][-1] for i in range(len(network.layers))]
    num_options, max_options = int(network.mask.sum()), len(network.mask)
    states = [network.state_dict()]
    if isinstance(network, SeparateQNetwork):
        states = [{n: p[a] for n, p in states[0].items()} for a in range(network.num_agents)]
    copies = [
        QNetwork(shape["layers.0.weight"][-1], num_options, max_options, hidden) for _ in states
    ]
    for copy, state in zip(copies, states, strict=True):
        copy.load_state_dict(state)
    return copies


def update_alone(
    online: QNetwork,
    target: QNetwork,
    batch: Batch,
    m: int,
    *,
    lr: float,
    grad_clip: float,
) -> None:
    """A plain double-DQN loop for one module, written without the learner's code."""
    optimizer = torch.optim.Adam(online.parameters(), lr=lr)
    for u in range(len(batch.r_t)):
        obs_tm1 = torch.from_numpy(batch.obs_tm1[u, m]).float()
        obs_t = torch.from_numpy(batch.obs_t[u, m]).float()
        with torch.no_grad():
            best = online(obs_t).argmax(dim=1)
            bootstrap = target(obs_t)[torch.arange(len(best)), best]
            goal = (
                torch.from_numpy(batch.r_t[u, m])
                + torch.from_numpy(batch.discount_t[u, m]) * bootstrap
            )
        values = online(obs_tm1)[torch.arange(len(best)), torch.from_numpy(batch.a_tm1[u, m])]
        loss = torch.nn.functional.huber_loss(values, goal, delta=10.0, reduction="sum")
        loss /= len(best)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(online.parameters(), grad_clip)
        optimizer.step()
        with torch.no_grad():
            for p, q in zip(target.parameters(), online.parameters(), strict=True):
                p.lerp_(q, 0.01)


def test_runner__episodes_follow_from_seed_and_round_alone(tiny: Scenario) -> None:
    with build(tiny, "env_runners.num_env_runners=0") as algorithm:
        first = algorithm.env_runner.sample(iteration=3, env_steps=500)[0]
        algorithm.env_runner.sample(iteration=4, env_steps=600)
        again = algorithm.env_runner.sample(iteration=3, env_steps=500)[0]

        np.testing.assert_array_equal(first.observations, again.observations)
        assert_same(first.actions, again.actions)


def test_runner__epsilon_falls_along_the_copies_and_with_time(tiny: Scenario) -> None:
    with build(tiny, "env_runners.num_env_runners=0") as algorithm:
        runner = algorithm.env_runner

        method, rules = algorithm.method, algorithm.method.config.exploration
        start, end = (
            method.spread_epsilon(rules.compute_epsilon(steps), 0, 8) for steps in (0, 10**9)
        )

        assert start[0] == pytest.approx(0.15)
        assert start[-1] == pytest.approx(0.15**8)
        np.testing.assert_allclose(end, 0.25 * start)
        greedy = runner.sample(iteration=0, explore=False)[0]
        modules = runner.env.layout.modules
        assert all((greedy.actions[m] == modules[m].initial_option).all() for m in MODULES)


@pytest.mark.distributed
def test_two_runners__sample_other_episodes_in_processes_of_their_own(tiny: Scenario) -> None:
    with build(tiny, "env_runners.num_env_runners=2") as algorithm:
        algorithm.train()
        group = algorithm.env_runner_group

        pids = group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)
        seeds = group.foreach_env_runner(
            lambda runner: runner.env.state.seed.tolist(), local_env_runner=False
        )

        assert len({*pids, os.getpid()}) == 3
        assert len({*seeds[0], *seeds[1]}) == 16
        assert algorithm.env_steps == 2 * 8 * 14
