"""The EnvRunner of residual agents: records episodes, then branches them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override

from envs.omnichannel.branching import record_episodes
from envs.omnichannel.world.draws import make_seeds
from marl.config import Residual
from marl.learning.counterfactual.labels import Exploring, LabelMaker, Labels
from marl.learning.counterfactual.policy import (
    ResidualPolicy,
    make_network_arguments,
    make_reference,
)
from marl.learning.counterfactual.pool import LabelFragment
from marl.learning.env_runner import BatchedEnvRunner, Spaces


class CounterfactualEnvRunner(BatchedEnvRunner):
    """Runs whole episodes of B copies and labels situations of them.

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
        explore: bool = True,
        **_: Any,
    ) -> list[LabelFragment]:
        """Runs one episode in every copy and labels situations of all choices.

        Args:
            iteration: of the algorithm, which seeds the exploration.
            env_steps: sampled so far by all runners, which anneals epsilon.
            episodes: sampled so far by all runners, which selects the seeds.
            worker: whose share of the round to sample, from 1; None: this runner's own.
            epsilon_scale: multiplies epsilon (feedback).
            service_weight: multiplies the cost of lost and late units in labels (feedback).
            explore: whether agents take random options at times.

        Returns:
            One fragment.
        """
        env, settings = self.env, self.residual
        copies, share = env.num_copies, max((worker or self.worker_index) - 1, 0)
        rng = np.random.default_rng([self.config.seed, share, iteration])
        policy = ResidualPolicy(
            self.scenario,
            make_reference(self.scenario, settings),
            {name: self.module[name].unwrapped().network for name in settings.choices},
            settings.margin,
        )
        env.service_weight = service_weight
        epsilon = epsilon_scale * self.exploration.compute_epsilon(env_steps) if explore else 0.0
        seeds = make_seeds("train", self.config.seed, copies, skip=episodes + share * copies)
        recording = record_episodes(env, Exploring(policy, epsilon, rng), seeds)
        maker = LabelMaker(env, policy, continues_learnt=settings.continuation == "learned")
        labels: dict[str, Labels] = {
            name: maker.make_labels(
                recording, name, settings.situations, settings.get_horizon(name), rng
            )
            for name in settings.choices
        }
        fragment = LabelFragment(
            labels=labels,
            num_episodes=copies,
            num_env_steps=copies * self.scenario.horizon,
            metrics=env.compute_metrics(),
        )
        self._log(fragment, epsilon)
        return [fragment]


def make_choice_spaces(arguments: dict[str, dict[str, Any]]) -> Spaces:
    """Observation and action space of one row by choice."""
    return {
        name: (
            Box(-5.0, 5.0, (values["num_features"],), np.float32),
            Discrete(values["num_options"]),
        )
        for name, values in arguments.items()
    }
