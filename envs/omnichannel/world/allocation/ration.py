"""Rationing: what each store gets when its DC cannot serve all requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from importlib import import_module
from typing import ClassVar

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import FloatArray, IntArray, Network


class RationingRule(ABC):
    """A way to share what a short DC has, exactly and in whole units.

    Ties go to the store that comes first.

    Attributes:
        is_random: whether `split` reads the period's draw.
    """

    is_random: ClassVar[bool] = False

    @abstractmethod
    def split(
        self, requests: IntArray, total: IntArray, priority: FloatArray | None = None
    ) -> IntArray:
        """Returns integers that sum to `total`.

        Args:
            requests: of the stores of a DC, (..., G), >= 0.
            total: units to hand out, (...), at most the sum of the requests.
            priority: uniform in (0, 1), (..., G), where the rule is random.

        Returns:
            Units, (..., G), each at most its request.
        """

    def share_out(
        self,
        requests: IntArray,
        available: IntArray,
        network: Network,
        priority: FloatArray | None = None,
    ) -> IntArray:
        """Returns what each store gets; args and result as of `ration`."""
        granted = requests.copy()
        short = network.sum_by_dc(requests) > available
        for w, stores in enumerate(network.members):
            copies, skus = np.nonzero(short[:, w])
            cells = (copies[:, None], stores, skus[:, None])  # a row for each short copy and SKU
            order = None if priority is None else priority[copies[:, None], stores]
            granted[cells] = self.split(requests[cells], available[copies, w, skus], order)
        return granted


@cache
def get_rule(name: str) -> RationingRule:
    """Returns the rule of a name, which is that of its file in `rules`."""
    rule: RationingRule = import_module(f"envs.omnichannel.world.allocation.rules.{name}").Rule()
    return rule


def ration(
    requests: IntArray,
    available: IntArray,
    network: Network,
    rule: str = "proportional",
    priority: FloatArray | None = None,
) -> IntArray:
    """Returns what each store gets when its DC cannot serve all requests.

    A short DC hands out exactly what it has, by the rule; `rules` describes each.

    Args:
        requests: units asked of the parent DC, (B, S, K), >= 0.
        available: units the DCs can give, (B, W, K), >= 0.
        network: for the stores of each DC.
        rule: of the scenario.
        priority: of each store, (B, S), uniform in (0, 1); random rules alone read it.

    Returns:
        Units given, (B, S, K), each at most the request.
    """
    starts, stores = network.groups
    if not _is_short(
        np.ascontiguousarray(requests), np.ascontiguousarray(available), starts, stores
    ):
        return requests
    return get_rule(rule).share_out(requests, available, network, priority)


@compiled
def _is_short(requests: IntArray, available: IntArray, starts: IntArray, stores: IntArray) -> bool:
    """Whether any DC is asked for more than it has; stores are grouped as in `Network.groups`."""
    copies, _, skus = requests.shape
    for b in range(copies):
        for w in range(len(starts) - 1):
            for k in range(skus):
                left = available[b, w, k]
                for s in stores[starts[w] : starts[w + 1]]:
                    left -= requests[b, s, k]
                if left < 0:
                    return True
    return False
