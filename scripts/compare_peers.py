"""Measures this project beside stock RLlib DQN, and its simulator beside or-gym's and stockpyl's.

How to run, from the repository root:

    .venv/bin/python scripts/compare_peers.py [--seconds N] [--json FILE]

Stock RLlib learns the same environment through `ParallelPettingZooEnv` and its own multi-agent
replay buffer, one runner in the process: first with the same network, batch and env steps per
update, then with those that it has by default, as this project has its own. Its DQN knows one
discrete action only, so both sides play scenario `paper` with one SKU.

The other two are simulators of other, smaller networks (one product, serial stages), so their rows
say how fast a period is, not who is better. They are left out where they cannot be imported, which
is the rule: or-gym needs gym 0.19, whose package does not build with a current setuptools, and
stockpyl pins an old Sphinx.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from gymnasium.spaces import Box, Discrete
from pettingzoo import ParallelEnv
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.rllib.policy.policy import PolicySpec
from ray.tune.registry import register_env
from rich.console import Console
from rich.table import Table

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.pettingzoo_env import OmnichannelEnv
from envs.omnichannel.scenario import Scenario, load_scenario
from envs.omnichannel.world.draws import make_seeds
from marl.config import TrainConfig, load_config
from marl.learning.methods import make_method
from marl.learning.rllib.algorithm import build_algorithm
from marl.training.ray_start import start_ray

Dict = dict[str, Any]

_STOCK, _OURS = "stock RLlib DQN", "this project"
_BY_DEFAULT = f"{_STOCK}, its defaults"
_COPIES = 256  # at which our environment is measured alone


@dataclass(frozen=True)
class Speed:
    """One row: who, how fast, and how many times as fast we are."""

    name: str
    unit: str
    value: float
    ratio: float | None = None


class SingleSkuEnv(ParallelEnv):  # type: ignore[misc]  # PettingZoo ships no types
    """One SKU's environment with `Discrete` actions and flat observations, for stock DQN."""

    metadata: dict[str, Any] = {"name": "omnichannel_single_sku_v0"}  # noqa: RUF012

    def __init__(self, scenario: Scenario) -> None:
        self.env = OmnichannelEnv(scenario)
        self.possible_agents = self.env.possible_agents
        self.agents = self.possible_agents[:]
        self.observation_spaces = {
            name: Box(-5.0, 5.0, (space.shape[-1],), np.float32)
            for name, space in self.env.observation_spaces.items()
        }
        self.action_spaces: dict[str, Discrete[np.int64]] = {
            name: Discrete(int(space.nvec[0])) for name, space in self.env.action_spaces.items()
        }

    def observation_space(self, agent: str) -> Box:
        """One row of features."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Discrete[np.int64]:
        """One option."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: Dict | None = None) -> tuple[Dict, Dict]:
        """Begins an episode."""
        observations, infos = self.env.reset(seed, options)
        self.agents = self.env.agents
        return _flatten(observations), infos

    def step(self, actions: Dict) -> tuple[Dict, Dict, Dict, Dict, Dict]:
        """Runs a period."""
        options = {name: np.array([option]) for name, option in actions.items()}
        observations, rewards, terminations, truncations, infos = self.env.step(options)
        self.agents = self.env.agents
        return _flatten(observations), rewards, terminations, truncations, infos


def _flatten(observations: Dict) -> Dict:
    return {name: values[0] for name, values in observations.items()}


def build_stock(scenario: Scenario, config: TrainConfig | None) -> Any:
    """RLlib's DQN with our network sizes, batch, and env steps per update; None: with its own."""
    env = SingleSkuEnv(scenario)
    module_of = {agent.name: agent.module_id for agent in env.env.batched_env.layout.agents}
    of_module = {module_id: name for name, module_id in module_of.items()}
    register_env("omnichannel", lambda _: ParallelPettingZooEnv(SingleSkuEnv(scenario)))
    model = DefaultModelConfig()
    if config is not None:
        hidden = list(config.learner.hidden)
        model = DefaultModelConfig(fcnet_hiddens=hidden, fcnet_activation="relu")
    stock = (
        DQNConfig()
        .environment("omnichannel")
        .env_runners(num_env_runners=0)
        .multi_agent(
            policies={m: PolicySpec() for m in MODULES},
            policy_mapping_fn=lambda agent, *_, **__: module_of[agent],
        )
        .rl_module(
            rl_module_spec=MultiRLModuleSpec(
                rl_module_specs={
                    m: RLModuleSpec(
                        observation_space=env.observation_spaces[of_module[m]],
                        action_space=env.action_spaces[of_module[m]],
                        model_config=model,
                    )
                    for m in MODULES
                }
            )
        )
        .training(replay_buffer_config={"type": "MultiAgentEpisodeReplayBuffer"})
        .reporting(min_sample_timesteps_per_iteration=0, min_time_s_per_iteration=0)
        .debugging(log_level="ERROR")
    )
    if config is not None:
        _equalize(stock, config)
    return stock.build_algo()


def _equalize(stock: DQNConfig, config: TrainConfig) -> None:
    """Gives RLlib's DQN our batch, options and env steps per update."""
    learner = config.learner
    stock.env_runners(rollout_fragment_length=int(learner.env_steps_per_update))
    stock.training(
        lr=learner.lr,
        gamma=learner.gamma,
        n_step=learner.n_step,
        double_q=learner.double,
        dueling=learner.dueling,
        grad_clip=learner.grad_clip,
        train_batch_size_per_learner=learner.batch_size,
        num_steps_sampled_before_learning_starts=int(2 * learner.env_steps_per_update),
        replay_buffer_config={
            "type": "MultiAgentEpisodeReplayBuffer",
            "capacity": config.pool.capacity_env_steps,
        },
    )


def measure_stock(
    scenario: Scenario, config: TrainConfig | None, seconds: float
) -> tuple[float, float]:
    """Returns env steps/s and transitions learnt/s of stock RLlib DQN, once it learns."""
    algorithm = build_stock(scenario, config)
    try:
        while not algorithm.train().get("learners", {}).get(MODULES[0]):
            pass
        started, env_steps, learnt = time.perf_counter(), 0.0, 0.0
        while time.perf_counter() - started < seconds:
            result = algorithm.train()
            env_steps += result["env_runners"]["num_env_steps_sampled"]
            learnt += sum(result["learners"][m]["num_module_steps_trained"] for m in MODULES)
        taken = time.perf_counter() - started
    finally:
        algorithm.stop()
    return env_steps / taken, learnt / taken


def measure_ours(scenario: Scenario, config: TrainConfig, seconds: float) -> tuple[float, float]:
    """Returns env steps/s and transitions learnt/s of this project, one runner beside it."""
    algorithm = build_algorithm(make_method(scenario, config))
    try:
        while not algorithm.updates:
            algorithm.train()
        algorithm.train()
        env_steps, updates = algorithm.env_steps, algorithm.updates
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            algorithm.train()
        taken = time.perf_counter() - started
        learnt = (algorithm.updates - updates) * len(MODULES) * config.learner.batch_size
        return (algorithm.env_steps - env_steps) / taken, learnt / taken
    finally:
        algorithm.stop()


def measure_env(scenario: Scenario, seconds: float) -> float:
    """Returns env steps/s of our environment alone, random options, whole scenario."""
    env, rng = BatchedEnv(scenario, _COPIES), np.random.default_rng(0)
    options = {
        m: rng.integers(
            env.layout.modules[m].num_options,
            size=(_COPIES, env.layout.modules[m].num_agents, len(scenario.skus)),
        )
        for m in MODULES
    }
    env.reset(make_seeds("train", 0, _COPIES))

    def step() -> int:
        if env.period == scenario.horizon:
            env.reset(make_seeds("train", 0, _COPIES))
        env.observe()
        env.step(options)
        return _COPIES

    return _measure_steps(step, seconds)


def measure_or_gym(seconds: float) -> float:
    """Returns steps/s of or-gym's `InvManagement-v1`: four stages in series, lost sales."""
    module = importlib.import_module("or_gym.envs.supply_chain.inventory_management")
    env = module.InvManagementLostSalesEnv()
    env.reset()
    action = np.full(3, 20)

    def step() -> int:
        if env.step(action)[2]:
            env.reset()
        return 1

    return _measure_steps(step, seconds)


def measure_stockpyl(seconds: float) -> float:
    """Returns periods/s of stockpyl's simulation of three stages in series (example 6.1)."""
    instances = importlib.import_module("stockpyl.instances")
    simulate = importlib.import_module("stockpyl.sim").simulation
    network = instances.load_instance("example_6_1")
    periods = 200

    def step() -> int:
        simulate(network, periods, rand_seed=0, progress_bar=False)
        return periods

    return _measure_steps(step, seconds)


def _measure_steps(step: Callable[[], int], seconds: float) -> float:
    step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        steps += step()
    return steps / (time.perf_counter() - started)


def compare(seconds: float, say: Callable[[str], None]) -> list[Speed]:
    """Measures all that is installed; `say` gets a line a step, and for each peer that is not."""
    paper = load_scenario("paper")
    single = paper.model_copy(update={"skus": paper.skus[:1]})
    config = load_config("default")
    start_ray(None, config.env_runners.num_env_runners)
    try:
        say("stock RLlib DQN ...")
        stock = measure_stock(single, config, seconds)
        say(f"{_BY_DEFAULT} ...")
        by_default = measure_stock(single, None, seconds)
        say("this project ...")
        ours = measure_ours(single, config, seconds)
    finally:
        ray.shutdown()
    rows = []
    for name, theirs in ((_STOCK, stock), (_BY_DEFAULT, by_default)):
        rows += [
            Speed(name, unit, value, own / value)
            for unit, value, own in zip(("env steps/s", "transitions/s"), theirs, ours, strict=True)
        ]
    rows += [Speed(_OURS, "env steps/s", ours[0]), Speed(_OURS, "transitions/s", ours[1])]
    alone = measure_env(paper, min(seconds, 10))
    for name, measure in (("or-gym", measure_or_gym), ("stockpyl", measure_stockpyl)):
        try:
            value = measure(min(seconds, 10))
        except Exception as error:
            say(f"{name} does not run here: {type(error).__name__}: {error}".splitlines()[0])
            continue
        rows.append(Speed(name, "periods/s, simulator", value, alone / value))
    return [*rows, Speed(f"{_OURS} x{_COPIES}", "periods/s, simulator", alone)]


def make_table(rows: list[Speed]) -> Table:
    """One line a row; the ratio is ours to theirs."""
    table = Table(title="speed beside others, one run")
    for name in ("who", "value", "unit", "ours / theirs"):
        table.add_column(name, justify="left" if name in {"who", "unit"} else "right")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
        table.add_row(row.name, f"{row.value:,.0f}", row.unit, ratio)
    return table


def main() -> None:
    """Reads the options, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=40, help="of each measurement")
    parser.add_argument("--json", type=Path, help="also write the rows there")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    console = Console()
    rows = compare(arguments.seconds, console.print)
    console.print(make_table(rows))
    if arguments.json:
        data = {"rows": [vars(row) for row in rows]}
        arguments.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
