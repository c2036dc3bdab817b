"""A policy whose agents order what is worth most; what orders are worth comes from outside.

So nothing here needs torch: the values are those of networks in torch while training, of a policy
file where orders are placed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from envs.omnichannel.batched_env import BatchedEnv, Step
from envs.omnichannel.flows import Targets
from envs.omnichannel.types import Float32Array, FloatArray, IntArray, Stocks, View
from marl.policies.order_groups import Group, make_targets

# From the units that agents see, (B, G, D), to what orders of 0, 1, ... units are worth, (B, G, L).
OrderValuer = Callable[[Float32Array], FloatArray | Float32Array]


class OrderRule:
    """Orders what is worth most to every agent.

    Args:
        groups: who orders.
        valuers: by group.
        name: what tables call it.
    """

    def __init__(
        self, groups: Mapping[str, Group], valuers: Mapping[str, OrderValuer], name: str = "learned"
    ) -> None:
        self.groups, self.valuers, self.name = groups, valuers, name

    def choose(self, stocks: Stocks) -> dict[str, IntArray]:
        """Returns the best orders, the first of equals, units by group, (B, G)."""
        return {
            name: self.valuers[name](group.observe(stocks).astype(np.float32)).argmax(axis=-1)
            for name, group in self.groups.items()
        }

    def compute_targets(self, view: View) -> Targets:
        """Returns the orders as gaps, units."""
        return make_targets(self.choose(view))

    def run_period(self, env: BatchedEnv) -> Step:
        """Runs one period of all copies."""
        return env.apply(self.compute_targets(env.view))
