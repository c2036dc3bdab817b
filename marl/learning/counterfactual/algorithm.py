"""`CounterfactualDQN`: the algorithm's rounds, with labelled situations in the place of TD."""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.policy.policy import PolicySpec
from ray.rllib.utils.annotations import override

from envs.omnichannel.scenario import Scenario
from marl.config import Residual, TrainConfig
from marl.learning.algorithm import SharedPoolDQN, SharedPoolDQNConfig
from marl.learning.counterfactual.learner import CounterfactualLearner
from marl.learning.counterfactual.module import ChoiceModule
from marl.learning.counterfactual.policy import make_network_arguments
from marl.learning.counterfactual.pool import LabelPool, LabelShape
from marl.learning.counterfactual.runner import CounterfactualEnvRunner, make_choice_spaces
from marl.learning.rl_module import specify_modules


class CounterfactualDQNConfig(SharedPoolDQNConfig):
    """The algorithm's configuration for residual agents."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or CounterfactualDQN)
        self.pool_situations = 0

    @classmethod
    def from_config(cls, scenario: Scenario, config: TrainConfig) -> SharedPoolDQNConfig:
        """Translates ours into RLlib's groups of settings."""
        self = super().from_config(scenario, config)
        residual = config.residual
        self.environment(
            env=None,
            env_config={**self.env_config, "residual": residual.model_dump()},
        )
        self.env_runners(env_runner_cls=CounterfactualEnvRunner)
        self.learner_config_dict = {**self.learner_config_dict, "choices": residual.choices}
        self.policies = {}
        self.multi_agent(policies={name: PolicySpec() for name in residual.choices})
        arguments = make_network_arguments(scenario, residual, config.learner.hidden)
        spaces = make_choice_spaces(arguments)
        self.rl_module(rl_module_spec=specify_modules(ChoiceModule, spaces, arguments))
        self.pool_situations = residual.pool_situations
        return self

    @override(DQNConfig)
    def get_default_learner_class(self) -> type[CounterfactualLearner]:
        return CounterfactualLearner


class CounterfactualDQN(SharedPoolDQN):
    """Residual agents, taught by branches instead of temporal differences.

    Rounds, replay ratio, weights and checkpoints are those of `SharedPoolDQN`.
    """

    @classmethod
    @override(DQN)
    def get_default_config(cls) -> AlgorithmConfig:
        return CounterfactualDQNConfig()

    @override(SharedPoolDQN)
    def make_pool(self, scenario: Scenario) -> Any:
        residual = Residual.model_validate(self.config.env_config["residual"])
        shapes = {
            name: LabelShape(
                features=(len(scenario.skus),) * values["is_joint"] + (values["num_features"],),
                num_options=values["num_options"],
            )
            for name, values in make_network_arguments(scenario, residual, hidden=()).items()
        }
        return LabelPool(self.config.pool_situations, shapes, self.config.run_seed)

    @override(SharedPoolDQN)
    def update_priorities(self, batch: Any) -> None:
        """Situations are drawn uniformly."""
