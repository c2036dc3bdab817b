"""The learnt ordering policy: every agent takes the order to which a network gives most value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.types import Float32Array, FloatArray
from marl.learning.branched.order_network import OrderNetwork
from marl.policies.order_groups import Group, make_targets
from marl.policies.order_rule import OrderRule


class OrderPolicy(OrderRule):
    """Acts greedily on the networks' values; args as of `OrderRule`, with the networks by group."""

    def __init__(
        self,
        groups: Mapping[str, Group],
        networks: Mapping[str, OrderNetwork],
        name: str = "learned",
    ) -> None:
        valuers = {group: partial(_value, network) for group, network in networks.items()}
        super().__init__(groups, valuers, name)
        self.networks = networks


def _value(network: OrderNetwork, units: Float32Array) -> Float32Array:
    with torch.inference_mode():
        values: Float32Array = network.rank_actions(torch.from_numpy(units)).numpy()
        return values


class ExploringOrders:
    """A policy whose agents order at random with each copy's probability epsilon, (B,)."""

    def __init__(self, policy: OrderPolicy, epsilon: FloatArray, rng: np.random.Generator) -> None:
        self.policy, self.epsilon, self.rng = policy, epsilon, rng

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies."""
        taken = {}
        for name, best in self.policy.choose(env.view).items():
            random = self.rng.random(best.shape) < self.epsilon[:, None]
            options = self.policy.groups[name].num_options
            taken[name] = np.where(random, self.rng.integers(options, size=best.shape), best)
        return env.apply(make_targets(taken))
