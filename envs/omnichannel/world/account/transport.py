"""The cost term of transport: lanes, trucks, transshipments and the last mile."""

from __future__ import annotations

from operator import attrgetter
from typing import NamedTuple

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.flows import Flows
from envs.omnichannel.scenario import Scenario
from envs.omnichannel.types import FloatArray, IntArray, Network
from envs.omnichannel.world.account.rates import price_lanes
from envs.omnichannel.world.account.term import Term


class _Lanes(NamedTuple):
    """Money per unit unless noted."""

    lane: FloatArray  # (S,) before the tier's factor
    breaks: FloatArray  # units of a shipment at which the next tier begins
    tiers: FloatArray  # factors, one more than breaks
    truck_capacity: int  # units; 0: no trucks are paid
    truck: FloatArray  # (S,) money per started truck
    transshipment: float
    last_mile_store: float
    last_mile_dc: FloatArray  # (S,)


class Transport(Term):
    """Lanes, trucks, transshipments and the last mile.

    A lane's rate rises with its distance and falls with the quantity of the whole shipment (tiers),
    and every started truck has a fixed cost that rises with the distance, shared among SKUs by
    their units. Transshipments cost their own rate per unit. The last mile is that of online
    orders from store or DC, and of walk-ins and pickups that the DC serves.
    """

    name, weight = "transport", "delta"

    def __init__(self, scenario: Scenario, network: Network) -> None:
        super().__init__(scenario, network)
        rates, lateral = self.rates, scenario.transshipment
        distance: FloatArray = network.distance.astype(np.float64)
        lane, truck = price_lanes(rates, network)
        self._lanes = _Lanes(
            lane=lane,
            breaks=np.array(rates.quantity_breaks, np.float64),
            tiers=np.array(rates.quantity_rates, np.float64),
            truck_capacity=rates.truck_capacity or 0,
            truck=truck,
            transshipment=lateral.cost if lateral else 0.0,
            last_mile_store=rates.last_mile_store,
            last_mile_dc=rates.last_mile_dc + rates.last_mile_dc_distance * distance,
        )

    def price(self, flows: Flows, money: FloatArray) -> None:
        """Charges what reaches each store and its customers."""
        _price_transport(_get_moved(flows.ledger), self._lanes, money)


# A call copies the description of every array that it is given, so of a ledger only what is read.
_get_moved = attrgetter(
    "shipped", "transshipped_in", "online_from_store", "online_from_dc", "store_from_dc",
    "pickup_from_dc",
)  # fmt: skip


@compiled
def _price_transport(moved: tuple[IntArray, ...], rates: _Lanes, costs: FloatArray) -> None:
    shipment, helped, by_store, online, walk_in, pickup = moved
    copies, stores, skus = shipment.shape
    first = costs.shape[1] - stores
    for b in range(copies):
        for s in range(stores):
            load, tier, trucks = 0, 0, 0
            for k in range(skus):
                load += shipment[b, s, k]
            while tier < len(rates.breaks) and rates.breaks[tier] <= load:
                tier += 1
            if rates.truck_capacity:
                trucks = (load + rates.truck_capacity - 1) // rates.truck_capacity
            for k in range(skus):
                shipped = shipment[b, s, k]
                money = shipped * rates.lane[s] * rates.tiers[tier]
                money += shipped / max(load, 1) * trucks * rates.truck[s]
                money += helped[b, s, k] * rates.transshipment
                money += by_store[b, s, k] * rates.last_mile_store
                from_dc = online[b, s, k] + walk_in[b, s, k] + pickup[b, s, k]
                costs[b, first + s, k] = money + from_dc * rates.last_mile_dc[s]
