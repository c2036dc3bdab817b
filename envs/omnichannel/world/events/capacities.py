"""Event 3: what DCs can order and dispatch in a period, where that is limited."""

from __future__ import annotations

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import IntArray, Network, sum_axis
from envs.omnichannel.world.allocation.largest_remainder import split_proportionally
from envs.omnichannel.world.period import Event, Period

_UNLIMITED = np.iinfo(np.int64).max


class LimitOrders(Event):
    """Suppliers confirm what a DC's order capacity leaves, shared among SKUs in proportion."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._capacity = _limits([dc.order_capacity for dc in scenario.network.dcs])

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where a DC has a limit."""
        return any(dc.order_capacity is not None for dc in scenario.network.dcs)

    def apply(self, period: Period) -> None:
        """Limits the supplier orders."""
        orders = period.flows["supplied"]
        total = np.minimum(sum_axis(orders, 2), self._capacity)
        period.flows["supplied"] = split_proportionally(orders, total)


class LimitShipments(Event):
    """A DC that cannot dispatch all of its shipments cuts every line in proportion."""

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        self._capacity = _limits([dc.shipment_capacity for dc in scenario.network.dcs])

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where a DC has a limit."""
        return any(dc.shipment_capacity is not None for dc in scenario.network.dcs)

    def apply(self, period: Period) -> None:
        """Limits the shipments to stores."""
        shipped = period.flows["shipped"]
        limited = shipped.copy()
        for w, stores in enumerate(self.network.members):
            lines = shipped[:, stores].reshape(len(shipped), -1)
            total = np.minimum(lines.sum(axis=1), self._capacity[w])
            limited[:, stores] = split_proportionally(lines, total).reshape(
                len(shipped), len(stores), -1
            )
        period.flows["shipped"] = limited


def _limits(capacities: list[int | None]) -> IntArray:
    """Capacities by DC, (W,)."""
    return np.array([_UNLIMITED if c is None else c for c in capacities], dtype=np.int64)
