"""The algorithm around any method: rounds of sampling and learning, on RLlib."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQN
from ray.rllib.callbacks.utils import make_callback
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
)

from marl.errors import CutError
from marl.learning.feedback import Adjustment
from marl.learning.methods import Method
from marl.learning.policy_arrays import COORDINATION, Weights
from marl.learning.pool.base import Sampled
from marl.learning.rllib.base_config import BaseConfig, resolve_config
from marl.learning.rllib.checkpointing import PlainCheckpoints, explain_misfit, read_counters
from marl.learning.rllib.crew import RunnerCrew
from marl.learning.rllib.evaluation import Evaluator
from marl.learning.rllib.learner import MethodLearner
from marl.learning.rllib.pool_actors import ShardedPool
from marl.learning.weight_search import make_weight_search
from marl.runs.checkpoints import Part, read_part

_ROUND = "round"  # part of a checkpoint: the weights that a round which was cut is sampled with
_COUNTERS = ("env_steps", "episodes", "updates", "rounds")  # of a checkpoint
UPDATES_PER_STRETCH = 128  # between looks at whether to stop
UPDATES_PER_CALL = 16  # bounds the memory of a batch; more gains nothing in the driver


class MethodAlgorithm(PlainCheckpoints):
    """A method's rounds: its runners fill its pool, and its updates draw from it.

    An iteration learns on the pool (as many updates as the episodes sampled so far allow) while
    every runner samples one episode per copy, collects these, and asks for the next ones under the
    new weights before it stores them in the runners' order: so runners also work while the driver
    stores, logs and validates. Weights are one iteration old at most, the replay ratio is exact,
    and the result does not depend on who finishes first.
    """

    config: BaseConfig

    @classmethod
    @override(DQN)
    def get_default_config(cls) -> AlgorithmConfig:
        return BaseConfig(cls)

    @classmethod
    @override(DQN)
    def default_resource_request(cls, config: Any) -> Any:
        """The cores that Tune sets aside: one for the driver, and each runner's."""
        return super().default_resource_request(resolve_config(config, cls).to_dict())

    @override(DQN)
    def _create_local_replay_buffer_if_necessary(self, config: Any) -> None:
        """The pool takes the place of RLlib's replay buffer."""

    @override(DQN)
    def setup(self, config: Any) -> None:
        asked = self.config
        self.config = asked.make_engine()
        super().setup(config)
        self.config = asked
        runners = self.method.config.env_runners
        # Spinning OpenMP threads that share a core with a runner slow both down tenfold.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(max(1, (cores or 1) - runners.num_env_runners))
        method = self.method
        shards = method.config.pool.num_shards
        is_actor = method.config.pool.placement == "actor"
        self.pool: Any = ShardedPool(method, shards) if is_actor else method.make_pool()
        self.is_cut = False  # whether the round to come was begun before and cut
        self.crew = RunnerCrew(self.env_runner_group, runners.sample_timeout_s)
        self.crew.start(runners.num_env_runners, runners.start_timeout_s)
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
        self.evaluator = Evaluator(method, self.config.evaluation_config or {})
        self.weight_search = make_weight_search(
            method.scenario, method.config.coordination, method.config.seed
        )

    @classmethod
    @override(DQN)
    def _should_create_evaluation_env_runners(cls, eval_config: Any) -> bool:
        return False  # the driver evaluates

    @override(DQN)
    def evaluate(self, parallel_train_future: Any = None) -> dict[str, Any]:
        """Returns the results of the averaged policy without exploration, on validation seeds."""
        self._call_hook("on_evaluate_start")
        results = self.evaluator.run(self.get_averaged_weights())
        self._call_hook("on_evaluate_end", evaluation_metrics=results)
        return results

    def _call_hook(self, name: str, **about: Any) -> None:
        about |= {"algorithm": self, "metrics_logger": self.metrics}
        make_callback(name, self.callbacks, self.config[f"callbacks_{name}"], kwargs=about)

    @property
    def method(self) -> Method:
        """The way to learn that is run."""
        method = self.config.method
        assert method  # or nothing would have been built
        return method

    @override(DQN)
    def cleanup(self) -> None:
        self.crew.end()
        super().cleanup()
        with suppress(OSError):  # Ray's folder in the home; it holds something if Tune runs this
            Path(self.logdir).rmdir()

    @override(DQN)
    def training_step(self) -> None:
        """A round; if it is cut, its episodes are dropped and what was learnt in it is kept.

        The next round is then this one, with the same weights, to the last bit.
        """
        if not self.crew.is_sampling:
            self._restart_round()
        self.is_cut = False
        try:
            with self.crew.heed_stop():
                self._learn()
                self.crew.set_weights(self.learner_group)
                ahead = self._ask_ahead()
                round_ = self.crew.collect_round()
        except CutError:
            self.is_cut = True
            self.crew.cut_round()
            return
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
        """Runs the updates that the env steps sampled so far allow.

        Batches are drawn ahead within a stretch only, so that what comes after one follows from
        the state that it leaves.

        Raises:
            CutError: if it is time to stop; the state is that of a stretch's end.
        """
        config = self.method.config
        if self.pool.num_env_steps < config.pool.min_env_steps:
            return
        self._seen_env_steps = self.env_steps
        due = math.floor(self.env_steps / config.learner.env_steps_per_update) - self.updates
        for done in range(0, due, UPDATES_PER_STRETCH):
            if self.crew.should_stop():
                raise CutError
            self._update(min(UPDATES_PER_STRETCH, due - done))

    def _update(self, due: int) -> None:
        """Runs so many updates."""
        counts = [min(UPDATES_PER_CALL, due - i) for i in range(0, due, UPDATES_PER_CALL)]
        batches = self.pool.draw(counts, self.method.batch_size)
        for count, batch in zip(counts, batches, strict=True):
            results = self.learner_group.update(
                batch=batch, timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps}
            )
            self.learn_metrics = {
                module_id: {key: float(stat.peek()) for key, stat in values.items()}
                for module_id, values in results[0].items()
            }
            self.metrics.aggregate(results, key=LEARNER_RESULTS)
            self.pool.update_priorities(batch, self.local_learner.get_td_errors())
            self.updates += count

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
        weights = self.local_learner.get_averaged_weights()
        if self.weight_search:
            weights[COORDINATION] = self.weight_search.weights
        return weights

    @property
    def local_learner(self) -> MethodLearner:
        """The learner, which is in this process."""
        return self.learner_group._learner

    def adjust(self, adjustment: Adjustment) -> None:
        """Takes over what the feedback found; a round that knows nothing of it is sampled anew."""
        self.local_learner.scale_lr(adjustment.learning_rate)
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
            **({_ROUND: Part.freeze(self.crew.weights)} if self.is_cut else {}),
            "counters": Part.freeze(counters),
            "learner": Part.freeze(self.local_learner.get_training_state()),
            **{
                _name_pool(shard): Part.freeze(state)
                for shard, state in enumerate(self.pool.get_states())
            },
        }

    def restore_parts(self, folder: Path) -> None:
        """Restores what `make_snapshot` copied, from a checkpoint that is verified already."""
        with explain_misfit(folder):
            self.local_learner.set_training_state(read_part(folder, "learner"))
            names = [_name_pool(shard) for shard in range(self.method.config.pool.num_shards)]
            self.pool.set_states([read_part(folder, name) for name in names])
            if self.weight_search:
                self.weight_search.set_state(read_part(folder, COORDINATION))
            self.crew.set_weights(self.learner_group)
            self.is_cut = (folder / f"{_ROUND}.json").is_file()
            if self.is_cut:
                self.crew.weights = read_part(folder, _ROUND)
        for name, value in read_counters(folder, _COUNTERS).items():
            setattr(self, name, value)
        self.crew.drop_rounds()


def _name_pool(shard: int) -> str:
    """The name of a shard's part of a checkpoint."""
    return f"pool_{shard}" if shard else "pool"


def build_algorithm(method: Method, *, wait: bool = True) -> MethodAlgorithm:
    """Starts learner and runners, and waits for these, or samples by itself until one has started.

    Raises:
        RunError: if it waits and none starts in time.
    """
    algorithm: MethodAlgorithm = BaseConfig.from_method(method, MethodAlgorithm).build_algo()
    if wait:
        algorithm.crew.await_start()
    return algorithm
