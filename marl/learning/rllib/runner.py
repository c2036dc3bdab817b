"""The EnvRunner of any method: B copies as arrays, sampled as the method says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import ray
import torch
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

from envs.omnichannel.batched_env import BatchedEnv
from envs.omnichannel.flows import Decisions, Targets
from envs.omnichannel.types import View
from envs.omnichannel.world.draws import make_seeds
from marl.errors import CutError
from marl.learning.methods import Method
from marl.learning.pool.base import Sampled, find_shard
from marl.learning.rllib.module import SPACES
from marl.learning.weight_search import compute_weights, draw_noise_of_weights


class StoppableEnv(BatchedEnv):
    """An environment of which every period, that of a branch too, may be the last.

    Nobody waits for the rest of a round that is not wanted any more.
    """

    should_stop: Callable[[], bool] = staticmethod(lambda: False)

    def decide(self, targets: Targets, view: View | None = None) -> Decisions:
        """Returns what is done about the targets.

        Raises:
            CutError: if it is time to stop.
        """
        if self.should_stop():
            raise CutError
        return super().decide(targets, view)


class MethodRunner(EnvRunner, Checkpointable):
    """Samples whole episodes of B copies.

    A runner keeps no state of its own between fragments: seeds and exploration are functions of
    the run's seed, the worker's index and the counters that the algorithm passes in. So a
    restarted runner continues exactly, and a checkpoint needs nothing from runners.

    `config.method` is the method.
    """

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        # The learner has the other cores; two runners on two cores must not fight over them.
        if self.worker_index:
            torch.set_num_threads(1)
        self.method: Method = config.method
        self.seed = self.method.config.seed
        self.make_env()
        self.make_module()
        self._weights_seq_no = 0

    @override(EnvRunner)
    def make_env(self) -> None:
        self.env = StoppableEnv(self.method.scenario, self.config.num_envs_per_env_runner)

    @override(EnvRunner)
    def make_module(self) -> None:
        self.module = self.config.get_multi_rl_module_spec(
            spaces=self.get_spaces(), inference_only=True
        ).build()

    @override(EnvRunner)
    def get_spaces(self) -> dict[str, tuple[Any, Any]]:
        return dict.fromkeys(self.method.module_ids, SPACES)

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
        seeds = make_seeds("train", self.seed, copies, skip=first)
        rng = np.random.default_rng([self.seed, share, iteration])
        env.service_weight = service_weight
        if coordination is not None:
            scale = coordination["sigma"] if explore else 0.0
            noise = draw_noise_of_weights(self.seed, share, iteration, copies)
            env.coordinator.weigh(compute_weights(coordination["logits"] + scale * noise))
        epsilon = np.zeros(copies)
        if explore:
            annealed = self.method.config.exploration.compute_epsilon(env_steps)
            epsilon = epsilon_scale * self.method.spread_epsilon(annealed, share * copies, copies)
        networks = {m: self.module[m].unwrapped().network for m in self.method.module_ids}
        fragment = self.method.sample(env, networks, seeds, epsilon, rng)
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

    def _log(self, fragment: Any, epsilon: float) -> None:
        """Counts a fragment of whole episodes, of whatever kind."""
        steps, length = fragment.env_steps(), self.env.layout.horizon
        log = self.metrics.log_value
        log(NUM_ENV_STEPS_SAMPLED, steps, reduce="sum")
        log(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum")
        log(NUM_EPISODES, fragment.num_episodes, reduce="sum")
        log(EPISODE_LEN_MEAN, length, window=1)
        returns = fragment.metrics["reward"].mean() * length
        log(EPISODE_RETURN_MEAN, float(returns), window=1)
        log("epsilon", epsilon, window=1)
