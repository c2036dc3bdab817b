"""The EnvRunner of ordering agents: records episodes, then branches them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override

from envs.omnichannel.branches.branching import record_episodes
from envs.omnichannel.types import FloatArray, SeedArray
from marl.config import Orders
from marl.learning.counterfactual.pool import LabelFragment
from marl.learning.counterfactual.runner import BranchingEnvRunner
from marl.learning.env_runner import BatchedEnvRunner, Spaces
from marl.learning.orders.agents import make_groups
from marl.learning.orders.branches import BranchMaker
from marl.learning.orders.policy import ExploringOrders, OrderPolicy


class OrdersEnvRunner(BranchingEnvRunner):
    """Runs whole episodes of B copies and branches situations of them.

    `config.env_config` holds the values of `orders` too.
    """

    @override(EnvRunner)
    def make_module(self) -> None:
        self.orders = Orders.model_validate(self.config.env_config["orders"])
        self.groups = make_groups(self.scenario, self.orders)
        super().make_module()

    @override(BatchedEnvRunner)
    def get_spaces(self) -> Spaces:
        """Spaces of an agent by group."""
        return {
            name: make_order_spaces(group.most, group.num_options)
            for name, group in self.groups.items()
        }

    @override(BatchedEnvRunner)
    def _run_episodes(
        self, seeds: SeedArray, epsilon: FloatArray, rng: np.random.Generator
    ) -> LabelFragment:
        """Records the episodes of the seeds, then branches situations for every group."""
        env = self.env
        networks = {name: self.module[name].unwrapped().network for name in self.groups}
        policy = OrderPolicy(self.groups, networks)
        recording = record_episodes(env, ExploringOrders(policy, epsilon, rng), seeds)
        maker = BranchMaker(env, policy, self.config.n_step, self.config.gamma, self.orders.futures)
        return self.make_fragment(
            {name: maker.make(recording, name, self.orders.situations, rng) for name in self.groups}
        )


def make_order_spaces(most: list[int], num_options: int) -> tuple[Box, Any]:
    """Observation and action space of one agent."""
    return Box(0.0, np.inf, (len(most),), np.float32), Discrete(num_options)
