"""The EnvRunner: B copies as arrays, one forward pass per module and period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray
import torch
from gymnasium.spaces import Box, Discrete
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import (
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MEAN,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    WEIGHTS_SEQ_NO,
)

from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.layout import Layout
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Bytes, FloatArray, IntArray, SeedArray
from envs.omnichannel.world.draws import make_seeds
from marl.config import Exploration
from marl.learning.coordination import compute_weights, draw_noise_of_weights
from marl.learning.experience_pool import Fragment, Sampled, find_shard
from marl.learning.kernels import fill_explored, mark_explored
from marl.learning.learned_policy import select_greedy
from marl.learning.network import QNetwork

Spaces = dict[str, tuple[Box, Discrete[np.int64]]]


class BatchedEnvRunner(EnvRunner, Checkpointable):
    """Samples whole episodes of B copies.

    A runner keeps no state of its own between fragments: seeds and exploration are functions of
    the run's seed, the worker's index and the counters that the algorithm passes in. So a
    restarted runner continues exactly, and a checkpoint needs nothing from runners.

    `config.env_config` holds the values of `scenario` and of `exploration`.
    """

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        # The learner has the other cores; two runners on two cores must not fight over them.
        if self.worker_index:
            torch.set_num_threads(1)
        self.scenario = Scenario.model_validate(config.env_config["scenario"])
        self.exploration = Exploration.model_validate(config.env_config["exploration"])
        self.make_env()
        self.make_module()
        self._weights_seq_no = 0

    @override(EnvRunner)
    def make_env(self) -> None:
        self.env = BatchedEnv(self.scenario, self.config.num_envs_per_env_runner)

    @override(EnvRunner)
    def make_module(self) -> None:
        spec = self.config.get_multi_rl_module_spec(spaces=self.get_spaces(), inference_only=True)
        self.module = spec.build()

    def get_spaces(self) -> Spaces:
        """Spaces of a row by module."""
        return make_spaces(self.env.layout)

    @override(EnvRunner)
    def sample(
        self,
        *,
        iteration: int = 0,
        env_steps: int = 0,
        episodes: int = 0,
        worker: int | None = None,
        epsilon_scale: float = 1.0,
        service_weight: float = 1.0,
        coordination: Mapping[str, Any] | None = None,
        explore: bool = True,
        **_: Any,
    ) -> list[Any]:
        """Runs one episode in every copy.

        Args:
            iteration: of the algorithm, which selects the exploration's draws.
            env_steps: sampled so far by all runners, which anneals epsilon.
            episodes: sampled so far by all runners, which selects the episodes' seeds.
            worker: whose share of the round to sample, from 1; None: this runner's own.
            epsilon_scale: multiplies epsilon (feedback).
            service_weight: multiplies the agents' cost of lost and late units (feedback).
            coordination: what `WeightSearch` asks for; None: the scenario's weights.
            explore: whether to act at random at times.

        Returns:
            One fragment.
        """
        env, copies = self.env, self.env.num_copies
        share = max((worker or self.worker_index) - 1, 0)
        first = episodes + share * copies
        seeds = make_seeds("train", self.config.run_seed, copies, skip=first)
        rng = np.random.default_rng([self.config.run_seed, share, iteration])
        env.service_weight = service_weight
        if coordination is not None:
            scale = coordination["sigma"] if explore else 0.0
            noise = draw_noise_of_weights(self.config.run_seed, share, iteration, copies)
            env.coordinator.weigh(compute_weights(coordination["logits"] + scale * noise))
        epsilon = np.zeros(copies)
        if explore:
            epsilon = epsilon_scale * self._compute_epsilon(env_steps, share)
        fragment = self._run_episodes(seeds, epsilon, rng)
        self._log(fragment, float(epsilon.mean()))
        return [fragment]

    def sample_async(
        self, *, weights: Any = None, shards: Sequence[Any] = (), **request: Any
    ) -> Sampled:
        """One remote call for a share of a round.

        Args:
            weights: of all modules; None: those that it has.
            shards: actors of the pool, to one of which the episodes go; none: they are returned.
            request: what `sample` takes, with `iteration` and `worker`.
        """
        if weights is not None:
            self.set_state(weights)
        fragment = self.sample(**request)[0]
        if shards:
            share = (request["iteration"], request["worker"])
            shard = shards[find_shard(request["worker"], len(shards))]
            ray.get(shard.hand_over.remote(*share, fragment))
        return Sampled(
            iteration=request["iteration"],
            num_episodes=fragment.num_episodes,
            num_env_steps=fragment.env_steps(),
            node=ray.util.get_node_ip_address(),
            metrics=fragment.metrics,
            report=self.get_metrics(),
            fragment=None if shards else fragment,
        )

    @override(EnvRunner)
    def get_metrics(self) -> Any:
        return self.metrics.reduce()

    @override(Checkpointable)
    def get_state(
        self, components: Any = None, *, not_components: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        state: dict[str, Any] = {WEIGHTS_SEQ_NO: self._weights_seq_no}
        if self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state(**kwargs)
        return state

    @override(Checkpointable)
    def set_state(self, state: dict[str, Any]) -> None:
        weights = state.get(COMPONENT_RL_MODULE)
        if weights is not None:
            if isinstance(weights, ray.ObjectRef):
                weights = ray.get(weights)
            self.module.set_state(weights)
            self._weights_seq_no = state.get(WEIGHTS_SEQ_NO, 0)

    @override(Checkpointable)
    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        return [(COMPONENT_RL_MODULE, self.module)]

    @override(Checkpointable)
    def get_ctor_args_and_kwargs(self) -> tuple[tuple[()], dict[str, Any]]:
        return (), {"config": self.config}

    @override(EnvRunner)
    def assert_healthy(self) -> None:
        if self.module is None:
            raise AssertionError("the EnvRunner has no module")

    @override(EnvRunner)
    def stop(self) -> None:
        """Nothing is held open."""

    def _run_episodes(self, seeds: SeedArray, epsilon: FloatArray, rng: np.random.Generator) -> Any:
        """Runs the episodes of the seeds, (B,), exploring with each copy's epsilon, (B,)."""
        self.env.reset(seeds)
        return sample_episodes(self.env, self._networks(), epsilon, rng)

    def _networks(self) -> dict[str, QNetwork]:
        return {m: self.module[m].unwrapped().network for m in MODULES}

    def _compute_epsilon(self, env_steps: int, share: int) -> FloatArray:
        """Epsilon by copy over all runners (Ape-X), annealed linearly, (B,)."""
        copies = self.env.num_copies
        workers = max(self.config.num_runners, 1)
        index = share * copies + np.arange(copies)
        ladder = 1 + 7 * index / max(workers * copies - 1, 1)
        # Equal to annealing each copy's own epsilon by the same factor.
        scale = self.exploration.compute_epsilon(env_steps) / self.exploration.epsilon
        epsilon: FloatArray = scale * self.exploration.epsilon**ladder
        return epsilon

    def _log(self, fragment: Any, epsilon: float) -> None:
        """Counts a fragment of whole episodes, of whatever kind."""
        steps, length = fragment.env_steps(), self.scenario.horizon
        log = self.metrics.log_value
        log(NUM_ENV_STEPS_SAMPLED, steps, reduce="sum")
        log(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum")
        log(NUM_EPISODES, fragment.num_episodes, reduce="sum")
        log(EPISODE_LEN_MEAN, length, window=1)
        returns = fragment.metrics["reward"].mean() * length
        log(EPISODE_RETURN_MEAN, float(returns), window=1)
        log("epsilon", epsilon, window=1)


def make_spaces(layout: Layout) -> Spaces:
    """Observation and action space of one row by module."""
    box = Box(-5.0, 5.0, (layout.num_features,), np.float32)
    return {name: (box, Discrete(m.num_options)) for name, m in layout.modules.items()}


def sample_episodes(
    env: BatchedEnv,
    networks: dict[str, QNetwork],
    epsilon: FloatArray,
    rng: np.random.Generator,
) -> Fragment:
    """Runs the episodes of a freshly reset environment to their end.

    Args:
        env: B copies.
        networks: by module.
        epsilon: of each copy, (B,).
        rng: of the exploration.
    """
    shape, horizon = (env.num_copies, env.network.num_skus), env.scenario.horizon
    rows, features = env.layout.num_rows, env.layout.num_features
    observations = np.empty((shape[0], horizon + 1, rows, shape[1], features), np.float16)
    rewards = np.empty((shape[0], horizon, rows, shape[1]), np.float32)
    chosen: dict[str, list[Bytes]] = {m: [] for m in MODULES}

    def explore(module_id: str, levels: IntArray) -> None:
        explore_options(levels, env.layout.modules[module_id].num_options, epsilon, rng)
        chosen[module_id].append(levels.astype(np.uint8))

    for period in range(horizon):
        actions = select_greedy(env, networks, env.observe(observations, period), explore)
        rewards[:, period] = env.step(actions).rewards
    env.observe(observations, horizon)
    return Fragment(
        observations=observations,
        actions={m: np.stack(a, axis=1) for m, a in chosen.items()},
        rewards=rewards,
        metrics=env.compute_metrics(),
    )


def explore_options(
    levels: IntArray, num_options: int, epsilon: FloatArray, rng: np.random.Generator
) -> None:
    """Replaces levels (B, A, K), in place, by uniform ones with each copy's epsilon (B,)."""
    marked = mark_explored(levels, rng.random(levels.shape, np.float32), epsilon)
    fill_explored(levels, rng.integers(num_options, size=marked))
