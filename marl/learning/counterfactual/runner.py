"""The EnvRunner of residual agents: records episodes, then branches them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override

from envs.omnichannel.branches.branching import record_episodes
from envs.omnichannel.types import FloatArray, SeedArray
from marl.config import Residual
from marl.learning.counterfactual.labels import Exploring, LabelMaker, Labels
from marl.learning.counterfactual.policy import ResidualPolicy, make_network_arguments
from marl.learning.counterfactual.pool import LabelFragment
from marl.learning.env_runner import BatchedEnvRunner, Spaces
from marl.policies.residual import make_reference


class BranchingEnvRunner(BatchedEnvRunner):
    """Runs whole episodes of B copies and labels situations of them."""

    def make_fragment(self, labels: dict[str, Labels]) -> LabelFragment:
        """What a round taught, with the metrics of its episodes."""
        return LabelFragment(
            labels=labels,
            num_episodes=self.env.num_copies,
            num_env_steps=self.env.num_copies * self.scenario.horizon,
            metrics=self.env.compute_metrics(),
        )

    @override(BatchedEnvRunner)
    def _compute_epsilon(self, env_steps: int, share: int) -> FloatArray:
        """The same for all copies: branches explore by themselves."""
        return np.full(self.env.num_copies, self.exploration.compute_epsilon(env_steps))


class CounterfactualEnvRunner(BranchingEnvRunner):
    """Labels situations by what every option of a choice would have saved.

    `config.env_config` holds the values of `residual` too.
    """

    @override(EnvRunner)
    def make_module(self) -> None:
        self.residual = Residual.model_validate(self.config.env_config["residual"])
        super().make_module()

    def get_spaces(self) -> Spaces:
        """Spaces of a row by choice."""
        residual = Residual.model_validate(self.config.env_config["residual"])
        arguments = make_network_arguments(self.scenario, residual, hidden=(1,))
        return make_choice_spaces(arguments)

    @override(BatchedEnvRunner)
    def _run_episodes(
        self, seeds: SeedArray, epsilon: FloatArray, rng: np.random.Generator
    ) -> LabelFragment:
        """Records the episodes of the seeds, then labels situations of all choices."""
        env, settings = self.env, self.residual
        policy = ResidualPolicy(
            self.scenario,
            make_reference(self.scenario, settings),
            {name: self.module[name].unwrapped().network for name in settings.choices},
            settings.margin,
        )
        recording = record_episodes(env, Exploring(policy, epsilon, rng), seeds)
        maker = LabelMaker(env, policy, settings.continuation)
        return self.make_fragment(
            {
                name: maker.make_labels(
                    recording, name, settings.situations, settings.get_horizon(name), rng
                )
                for name in settings.choices
            }
        )


def make_choice_spaces(arguments: dict[str, dict[str, Any]]) -> Spaces:
    """Observation and action space of one row by choice."""
    return {
        name: (
            Box(-5.0, 5.0, (values["num_features"],), np.float32),
            Discrete(values["num_options"]),
        )
        for name, values in arguments.items()
    }
