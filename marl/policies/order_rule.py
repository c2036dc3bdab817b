"""A policy whose agents order what is worth most; what orders are worth comes from outside.

So nothing here needs torch: the values are those of networks in torch while training, of a policy
file where orders are placed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.types import Float32Array, IntArray, Stocks, Targets, View
from marl.policies.order_groups import Group, make_targets

# From the units that agents see, (B, G, D), to their best orders, units (B, G).
Orderer = Callable[[Float32Array], IntArray]


class OrderRule:
    """Orders what is worth most to every agent.

    Args:
        groups: who orders.
        orderers: by group.
        name: what tables call it.
    """

    def __init__(
        self, groups: Mapping[str, Group], orderers: Mapping[str, Orderer], name: str = "learned"
    ) -> None:
        self.groups, self.orderers, self.name = groups, orderers, name

    def choose(self, stocks: Stocks) -> dict[str, IntArray]:
        """Returns the best orders, units by group, (B, G)."""
        return {
            name: self.orderers[name](group.observe(stocks).astype(np.float32))
            for name, group in self.groups.items()
        }

    def compute_targets(self, view: View) -> Targets:
        """Returns the orders as gaps, units."""
        return make_targets(self.choose(view))

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies."""
        return env.apply(self.compute_targets(env.view))
