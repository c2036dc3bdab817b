"""`SharedPoolDQN`: RLlib's DQN with batched runners, a shared pool and a fused learner."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)

from envs.errors import InputError
from envs.omnichannel.agents.roster import MODULES
from envs.omnichannel.scenario import Scenario
from marl.config import Learner, Pool, TrainConfig, WeightSearchRules
from marl.errors import RunError
from marl.learning.coordination import make_weight_search
from marl.learning.env_runner import BatchedEnvRunner
from marl.learning.experience_pool import Sampled
from marl.learning.feedback import Adjustment
from marl.learning.learner import FusedDQNLearner
from marl.learning.policy_arrays import COORDINATION, Weights
from marl.learning.pool_shape import count_agents
from marl.learning.pool_shards import make_experience_pool
from marl.learning.rl_module import make_module_spec
from marl.learning.runner_crew import RunnerCrew
from marl.runs.checkpoints import Part, read_part, verify_checkpoint, write_manifest

_COUNTERS = ("env_steps", "episodes", "updates", "rounds")  # of a checkpoint
UPDATES_PER_CALL = 16  # bounds the memory of a batch; more gains nothing in the driver


class SharedPoolDQNConfig(DQNConfig):
    """RLlib's DQN configuration, filled from a scenario and a `TrainConfig`."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SharedPoolDQN)
        self.run_seed = 0
        self.num_runners = 0
        self.start_timeout_s = 300.0
        self.pool_config: dict[str, Any] = {}
        self.env_steps_per_update = 32.0
        self.weight_search = WeightSearchRules()

    @classmethod
    def from_config(cls, scenario: Scenario, config: TrainConfig) -> SharedPoolDQNConfig:
        """Translates ours into RLlib's groups of settings."""
        learner, runners = config.learner, config.env_runners
        self = cls()
        self.num_runners = runners.num_env_runners
        self.start_timeout_s = runners.start_timeout_s
        self.environment(
            env=None,
            env_config={
                "scenario": scenario.model_dump(mode="json"),
                "exploration": config.exploration.model_dump(),
            },
        )
        self.env_runners(
            env_runner_cls=BatchedEnvRunner,
            num_env_runners=0,  # RLlib would wait for all of them; the crew adds them
            num_envs_per_env_runner=runners.num_envs_per_env_runner,
            rollout_fragment_length=max(scenario.horizon, learner.n_step),
            sample_timeout_s=runners.sample_timeout_s,
        )
        self.training(
            gamma=learner.gamma,
            n_step=learner.n_step,
            double_q=learner.double,
            dueling=learner.dueling,
            tau=learner.tau,
            grad_clip=learner.grad_clip,
            train_batch_size_per_learner=_size_batch(scenario, learner),
            lr=learner.lr,
        )
        self.learners(num_learners=0)
        self.learner_config_dict = {
            "lr": learner.lr,
            "lr_final_fraction": learner.lr_final_fraction,
            "anneal_env_steps": learner.anneal_env_steps,
            "average_rate": learner.average_rate,
            "huber_threshold": learner.huber_threshold,
            "target_update": learner.target_update,
            "share_parameters": learner.share_parameters,
        }
        # A dict in a fixed order: a set would change the module order from process to process.
        self.multi_agent(
            policies={m: PolicySpec() for m in MODULES},
            policy_mapping_fn=lambda agent_id, *_, **__: agent_id,
        )
        self.rl_module(rl_module_spec=make_module_spec(scenario, config))
        self.reporting(
            min_time_s_per_iteration=0,
            min_sample_timesteps_per_iteration=0,
            min_train_timesteps_per_iteration=0,
        )
        self._dont_auto_sync_env_runner_states = True  # they keep none
        self.fault_tolerance(
            restart_failed_env_runners=True,
            delay_between_env_runner_restarts_s=1.0,
        )
        self.debugging(log_level="ERROR")
        # Not RLlib's `seed`, with which it loads torch's compiler into every process (2 s each).
        self.run_seed = config.seed
        self.pool_config = config.pool.model_dump()
        self.env_steps_per_update = learner.env_steps_per_update
        self.weight_search = config.coordination
        return self

    @override(DQNConfig)
    def get_default_learner_class(self) -> type[FusedDQNLearner]:
        return FusedDQNLearner


class SharedPoolDQN(DQN):
    """DQN whose agents share a pool of whole episodes.

    An iteration learns on the pool (as many updates as the episodes sampled so far allow) while
    every runner samples one episode per copy, collects these, and asks for the next ones under the
    new weights before it stores them in the runners' order: so runners also work while the driver
    stores, logs and validates. Weights are one iteration old at most, the replay ratio is exact,
    and the result does not depend on who finishes first.
    """

    @classmethod
    @override(DQN)
    def get_default_config(cls) -> AlgorithmConfig:
        return SharedPoolDQNConfig()

    @override(DQN)
    def _create_local_replay_buffer_if_necessary(self, config: Any) -> None:
        """The pool takes the place of RLlib's replay buffer."""

    @override(DQN)
    def setup(self, config: Any) -> None:
        super().setup(config)
        # Spinning OpenMP threads that share a core with a runner slow both down tenfold.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(max(1, (cores or 1) - self.config.num_runners))
        scenario = Scenario.model_validate(self.config.env_config["scenario"])
        self.pool: Any = self.make_pool(scenario)
        self.crew = RunnerCrew(self.env_runner_group, self.config.sample_timeout_s)
        self.crew.start(self.config.num_runners, self.config.start_timeout_s)
        self.crew.set_weights(self.learner_group)
        self.env_steps = 0
        self.episodes = 0
        self.updates = 0
        self.rounds = 0
        self._round_size: tuple[int, int] | None = None  # env steps and episodes of the last one
        self._seen_env_steps = 0
        self.adjustment = Adjustment()
        self.sample_metrics: dict[str, np.ndarray[Any, Any]] = {}
        self.env_steps_by_node: dict[str, int] = {}  # address -> of the last round
        self.learn_metrics: dict[str, dict[str, float]] = {}
        self.weight_search = make_weight_search(
            scenario, self.config.weight_search, self.config.run_seed
        )

    @override(DQN)
    def cleanup(self) -> None:
        self.crew.give_up_missing()  # RLlib would wait for them
        super().cleanup()

    def make_pool(self, scenario: Scenario) -> Any:
        """Returns the pool that runners fill and the learner draws from."""
        return make_experience_pool(
            scenario,
            Pool.model_validate(self.config.pool_config),
            n_step=self.config.n_step,
            gamma=self.config.gamma,
            seed=self.config.run_seed,
            separate=not self.config.learner_config_dict["share_parameters"],
        )

    @override(DQN)
    def training_step(self) -> None:
        if not self.crew.is_sampling:
            self._restart_round()
        self._learn()
        self.crew.set_weights(self.learner_group)
        ahead = self._ask_ahead()
        round_ = self.crew.collect_round()
        self._count(round_)
        if ahead is None or ahead != self._make_request():
            self._restart_round()
        self.pool.store(round_)

    def _ask_ahead(self) -> dict[str, Any] | None:
        """Asks for the next round before this one ends, so that no runner waits for the others.

        Returns:
            What was asked for. None: nothing, as nobody knows how large a round is, no runner has
            started yet, or the coordinator has to learn from this round first.
        """
        self.crew.revive()
        if not self._round_size or not self.crew.num_healthy or self.weight_search:
            return None
        request = self._make_request(*self._round_size)
        self.crew.start_round(request)
        return request

    def _restart_round(self) -> None:
        """Asks for the next round, in the place of what was asked for before."""
        self.crew.forget_rounds()
        self.crew.revive()
        self.crew.start_round(self._make_request())

    def _make_request(self, env_steps: int = 0, episodes: int = 0) -> dict[str, Any]:
        """Returns what runners are asked for, in this round or after one of that size."""
        return {
            "iteration": self.rounds + (episodes > 0),
            "env_steps": self.env_steps + env_steps,
            "episodes": self.episodes + episodes,
            "shards": self.pool.shards,
            "epsilon_scale": self.adjustment.epsilon,
            "service_weight": self.adjustment.service,
            "coordination": self.weight_search and self.weight_search.make_request(),
        }

    @override(DQN)
    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """The crew takes lost runners back, without waiting for them."""
        return []

    def _learn(self) -> None:
        """Runs the updates that the env steps sampled so far allow."""
        config = self.config
        if self.pool.num_env_steps < config.pool_config["min_env_steps"]:
            return
        self._seen_env_steps = self.env_steps
        due = math.floor(self.env_steps / config.env_steps_per_update) - self.updates
        counts = [min(UPDATES_PER_CALL, due - i) for i in range(0, due, UPDATES_PER_CALL)]
        batches = self.pool.draw(counts, config.train_batch_size_per_learner)
        for count, batch in zip(counts, batches, strict=True):
            results = self.learner_group.update(
                batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps}
            )
            self.learn_metrics = {
                module_id: {key: float(stat.peek()) for key, stat in values.items()}
                for module_id, values in results[0].items()
            }
            self.metrics.aggregate(results, key=LEARNER_RESULTS)
            self.update_priorities(batch)
            self.updates += count

    def update_priorities(self, batch: Any) -> None:
        """Tells the pool how wrong the networks were about what it drew."""
        self.pool.update_priorities(batch, self._local_learner.get_td_errors())

    @property
    def env_steps_per_update(self) -> float:
        """Env steps that the learner has seen per update so far; nan before it begins."""
        return (
            self._seen_env_steps / self.updates
            if self._seen_env_steps and self.updates
            else math.nan
        )

    def _count(self, round_: dict[int, Sampled]) -> None:
        """Counts the runners' episodes and learns from their rewards what the coordinator does."""
        shares = list(round_.values())
        if self.weight_search:
            rewards = [sampled.metrics["reward"] for sampled in shares]
            self.weight_search.learn(rewards, self.rounds)
        self.rounds += 1
        self._round_size = (
            sum(sampled.num_env_steps for sampled in shares),
            sum(sampled.num_episodes for sampled in shares),
        )
        self.env_steps += self._round_size[0]
        self.episodes += self._round_size[1]
        self.env_steps_by_node = dict.fromkeys((sampled.node for sampled in shares), 0)
        for sampled in shares:
            self.env_steps_by_node[sampled.node] += sampled.num_env_steps
        self.sample_metrics = {
            name: np.concatenate([sampled.metrics[name] for sampled in shares])
            for name in shares[0].metrics
        }
        self.metrics.aggregate([sampled.report for sampled in shares], key=ENV_RUNNER_RESULTS)

    def get_averaged_weights(self) -> Weights:
        """The slowly averaged parameters of all modules, and the coordinator's learnt weights."""
        weights = self._local_learner.get_averaged_weights()
        if self.weight_search:
            weights[COORDINATION] = self.weight_search.weights
        return weights

    @property
    def _local_learner(self) -> FusedDQNLearner:
        return self.learner_group._learner

    def adjust(self, adjustment: Adjustment) -> None:
        """Takes over what the feedback found; a round that knows nothing of it is sampled anew."""
        self._local_learner.scale_lr(adjustment.learning_rate)
        before, self.adjustment = self.adjustment, adjustment
        if self.crew.is_sampling and not adjustment.samples_like(before):
            self._restart_round()

    def make_snapshot(self) -> dict[str, Part]:
        """Copies all that a resumed run needs, by the checkpoint's part.

        Runners keep nothing between rounds, so they are not in it.
        """
        counters = {name: getattr(self, name) for name in _COUNTERS}
        search = self.weight_search
        return {
            **({COORDINATION: Part.freeze(search.get_state())} if search else {}),
            "counters": Part.freeze(counters),
            "learner": Part.freeze(self._local_learner.get_training_state()),
            **{
                _name_pool(shard): Part.freeze(state)
                for shard, state in enumerate(self.pool.get_states())
            },
        }

    @override(DQN)
    def save_to_path(self, path: Any = None, **_: Any) -> str:
        """Writes a checkpoint of plain arrays and JSON; RLlib's own holds pickles."""
        folder = Path(path or tempfile.mkdtemp())
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in self.make_snapshot().items():
            part.write(folder, name)
        write_manifest(folder)
        return str(folder)

    @override(DQN)
    def restore_from_path(self, path: Any, *_: Any, **__: Any) -> None:
        """Restores `save_to_path` exactly, and sends the weights to all runners.

        Raises:
            DamagedError: if the checkpoint is not whole.
            InputError: if it is of other networks or another pool.
        """
        verify_checkpoint(Path(path))
        self.restore_parts(Path(path))

    def restore_parts(self, folder: Path) -> None:
        """`restore_from_path` for a checkpoint that is verified already."""
        try:
            self._local_learner.set_training_state(read_part(folder, "learner"))
            names = [_name_pool(shard) for shard in range(self.config.pool_config["num_shards"])]
            self.pool.set_states([read_part(folder, name) for name in names])
        except (InputError, RunError):
            raise
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"checkpoint: '{folder}' does not fit this run ({reason})") from None
        if self.weight_search:
            self.weight_search.set_state(read_part(folder, COORDINATION))
        for name, value in read_part(folder, "counters").items():
            setattr(self, name, value)
        self.crew.set_weights(self.learner_group)
        self.crew.drop_rounds()


def _size_batch(scenario: Scenario, learner: Learner) -> int:
    """Transitions by network and update; as many in all, whoever shares parameters."""
    if learner.share_parameters:
        return learner.batch_size
    return max(1, learner.batch_size * len(MODULES) // sum(count_agents(scenario)))


def _name_pool(shard: int) -> str:
    """The name of a shard's part of a checkpoint."""
    return f"pool_{shard}" if shard else "pool"


def build_algorithm(
    scenario: Scenario,
    config: TrainConfig,
    config_class: type[SharedPoolDQNConfig] = SharedPoolDQNConfig,
    *,
    wait: bool = True,
) -> SharedPoolDQN:
    """Starts learner and runners, and waits for these, or samples by itself until one has started.

    Raises:
        RunError: if it waits and none starts in time.
    """
    algorithm: SharedPoolDQN = config_class.from_config(scenario, config).build_algo()
    if wait:
        algorithm.crew.await_start()
    return algorithm
