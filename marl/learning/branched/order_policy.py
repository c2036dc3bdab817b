"""The learnt ordering policy: every agent takes the order of the highest value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.types import FloatArray, IntArray, Stocks, Targets, View
from marl.learning.branched.order_groups import Group, make_targets
from marl.learning.branched.order_network import OrderNetwork


class OrderPolicy:
    """Acts greedily on the networks' values.

    Args:
        groups: who orders.
        networks: by group.
        name: what tables call it.
    """

    def __init__(
        self,
        groups: Mapping[str, Group],
        networks: Mapping[str, OrderNetwork],
        name: str = "learned",
    ) -> None:
        self.groups, self.networks, self.name = groups, networks, name

    def choose(self, stocks: Stocks) -> dict[str, IntArray]:
        """Returns the best orders, units by group, (B, G)."""
        with torch.inference_mode():
            return {
                name: self.networks[name]
                .select_greedy(torch.from_numpy(group.observe(stocks)).float())
                .numpy()
                for name, group in self.groups.items()
            }

    def compute_targets(self, view: View) -> Targets:
        """Returns the orders as gaps, units."""
        return make_targets(self.choose(view))

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies."""
        return env.apply(self.compute_targets(env.view))


class ExploringOrders:
    """A policy whose agents order at random with each copy's probability epsilon, (B,)."""

    def __init__(self, policy: OrderPolicy, epsilon: FloatArray, rng: np.random.Generator) -> None:
        self.policy, self.epsilon, self.rng = policy, epsilon, rng

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies."""
        taken = {}
        for name, best in self.policy.choose(env.view).items():
            random = self.rng.random(best.shape) < self.epsilon[:, None]
            levels = self.policy.groups[name].num_options
            taken[name] = np.where(random, self.rng.integers(levels, size=best.shape), best)
        return env.apply(make_targets(taken))
