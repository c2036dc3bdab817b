"""Event 3: what DCs can order and dispatch in a period, where that is limited."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import Network, sum_axis
from envs.omnichannel.world.allocation.largest_remainder import split_proportionally
from envs.omnichannel.world.period import Event, Period

_UNLIMITED = np.iinfo(np.int64).max


class Limit(Event):
    """A DC's capacity, shared in proportion where it does not suffice."""

    setting: ClassVar[str]  # of the scenario's DCs: units a period

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        given = [getattr(dc, self.setting) for dc in scenario.network.dcs]
        self._capacity = np.array([_UNLIMITED if c is None else c for c in given], np.int64)  # (W,)

    @classmethod
    def is_on(cls, scenario: Scenario) -> bool:
        """Where a DC has a limit."""
        return any(getattr(dc, cls.setting) is not None for dc in scenario.network.dcs)


class LimitOrders(Limit):
    """Suppliers confirm what a DC's order capacity leaves, shared among SKUs in proportion."""

    setting = "order_capacity"

    def apply(self, period: Period) -> None:
        """Limits the supplier orders."""
        orders = period.flows["supplied"]
        total = np.minimum(sum_axis(orders, 2), self._capacity)
        period.flows["supplied"] = split_proportionally(orders, total)


class LimitShipments(Limit):
    """A DC that cannot dispatch all of its shipments cuts every line in proportion."""

    setting = "shipment_capacity"

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
