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
        is_random: whether it shares by the period's draw.
        by_cover: whether it shares by what the stores have and sell.
    """

    is_random: ClassVar[bool] = False
    by_cover: ClassVar[bool] = False

    @abstractmethod
    def split(
        self, requests: IntArray, total: IntArray, shares_by: FloatArray | None = None
    ) -> IntArray:
        """Returns integers that sum to `total`.

        Args:
            requests: of the stores of a DC, (..., G), >= 0.
            total: units to hand out, (...), at most the sum of the requests.
            shares_by: what the rule shares by: uniform in (0, 1), (..., G), where it is random;
                positions and rates, (..., 2, G), where it goes by cover.

        Returns:
            Units, (..., G), each at most its request.
        """

    def share_out(
        self,
        requests: IntArray,
        available: IntArray,
        network: Network,
        shares_by: FloatArray | None = None,
    ) -> IntArray:
        """Returns what each store gets; args and result as of `ration`."""
        granted = requests.copy()
        short = network.sum_by_dc(requests) > available
        for w, stores in enumerate(network.members):
            copies, skus = np.nonzero(short[:, w])
            cells = (copies[:, None], stores, skus[:, None])  # a row for each short copy and SKU
            own = None if shares_by is None else self.pick(shares_by, copies, stores, skus)
            granted[cells] = self.split(requests[cells], available[copies, w, skus], own)
        return granted

    def pick(
        self, shares_by: FloatArray, copies: IntArray, stores: IntArray, skus: IntArray
    ) -> FloatArray:
        """Returns the part for `split` of a DC's stores, for M copies and SKUs."""
        if self.by_cover:
            rows = np.arange(2)[:, None]
            return shares_by[copies[:, None, None], rows, stores, skus[:, None, None]]
        return shares_by[copies[:, None], stores]


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
    shares_by: FloatArray | None = None,
) -> IntArray:
    """Returns what each store gets when its DC cannot serve all requests.

    A short DC hands out exactly what it has, by the rule; `rules` describes each.

    Args:
        requests: units asked of the parent DC, (B, S, K), >= 0.
        available: units the DCs can give, (B, W, K), >= 0.
        network: for the stores of each DC.
        rule: of the scenario.
        shares_by: what the rule shares by: uniform in (0, 1), (B, S), where it is random;
            the stores' positions and rates, (B, 2, S, K), where it goes by cover.

    Returns:
        Units given, (B, S, K), each at most the request.
    """
    starts, stores = network.groups
    if not _is_short(
        np.ascontiguousarray(requests), np.ascontiguousarray(available), starts, stores
    ):
        return requests
    return get_rule(rule).share_out(requests, available, network, shares_by)


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
