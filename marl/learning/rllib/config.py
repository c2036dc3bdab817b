"""RLlib's configuration of a run, filled from a method."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.utils.annotations import override

from marl.learning.methods import Method
from marl.learning.rllib.learner import MethodLearner
from marl.learning.rllib.module import make_module_spec
from marl.learning.rllib.runner import MethodRunner


class MethodConfig(DQNConfig):
    """RLlib's configuration of a method; all of our settings are `method.config`."""

    def __init__(self, algo_class: Any = None) -> None:
        if algo_class is None:
            from marl.learning.rllib.algorithm import MethodAlgorithm

            algo_class = MethodAlgorithm
        super().__init__(algo_class=algo_class)
        self.method: Method | None = None

    @classmethod
    def from_method(cls, method: Method) -> MethodConfig:
        """Translates ours into RLlib's groups of settings."""
        learner, runners = method.config.learner, method.config.env_runners
        self = cls()
        self.method = method
        self.environment(env=None)
        self.env_runners(
            env_runner_cls=MethodRunner,
            num_env_runners=0,  # RLlib would wait for all of them; the crew adds them
            num_envs_per_env_runner=runners.num_envs_per_env_runner,
            rollout_fragment_length=max(method.scenario.horizon, learner.n_step),
            sample_timeout_s=runners.sample_timeout_s,
        )
        self.training(
            n_step=learner.n_step,
            train_batch_size_per_learner=method.batch_size,
            lr=learner.lr,
        )
        self.learners(num_learners=0)
        # A dict in a fixed order: a set would change the module order from process to process.
        self.multi_agent(
            policies={name: PolicySpec() for name in method.module_ids},
            policy_mapping_fn=lambda agent_id, *_, **__: agent_id,
        )
        self.rl_module(rl_module_spec=make_module_spec(method))
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
        # Not RLlib's `seed`, with which it loads torch's compiler into every process (2 s each).
        self.debugging(log_level="ERROR")
        return self

    @override(DQNConfig)
    def get_default_learner_class(self) -> type[MethodLearner]:
        return MethodLearner
