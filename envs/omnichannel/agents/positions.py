"""Inventory positions and demand rates, as all order-up-to rules compare them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from envs.compiler import compiled
from envs.omnichannel.types import (
    ONLINE,
    PICKUP,
    STORE,
    FloatArray,
    IntArray,
    Network,
    Stocks,
    View,
    sum_axis,
    sum_channels,
)

_NO_QUEUE = np.empty((0, 0, 0), np.int64)


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Inventory positions by row of the observation: the DCs, the stores, the network.

    Attributes:
        store: on hand + in transit + in inspection - what the store itself owes (walk-ins and
            pickups that wait). Online orders that wait count for the DC's echelon, because either
            may serve them.
        echelon: stock in and on its way to the DC and everything below it, minus open backorders.
            Source: Snyder & Shen, Fundamentals of Supply Chain Theory, 2nd ed., section 6.2.2.
    """

    rows: IntArray  # (B, N + 1, K) units; that of the network is the sum of the echelons
    num_dcs: int

    @property
    def echelon(self) -> IntArray:
        """The DCs' echelon positions, (B, W, K)."""
        return self.rows[:, : self.num_dcs]

    @property
    def store(self) -> IntArray:
        """The stores' positions, (B, S, K)."""
        return self.rows[:, self.num_dcs : -1]


def count_positions(stocks: Stocks, network: Network) -> Positions:
    """Returns the inventory positions of all DCs and stores, and of the network as a whole."""
    # Agents observe, propose and follow rules on the same view, which is counted once.
    if "positions" in vars(stocks):
        return cast(Positions, vars(stocks)["positions"])
    (copies, nodes, skus), queue = stocks.on_hand.shape, stocks.inspection_queue
    rows = np.zeros((copies, nodes + 1, skus), np.int64)
    _count_rows(
        rows,
        np.ascontiguousarray(stocks.on_hand),
        np.ascontiguousarray(stocks.in_transit),
        np.ascontiguousarray(stocks.in_inspection),
        _NO_QUEUE if queue is None else np.ascontiguousarray(queue),
        np.ascontiguousarray(stocks.backorders),
        network.parent,
        network.online_slots,
    )
    vars(stocks)["positions"] = positions = Positions(rows=rows, num_dcs=network.num_dcs)
    return positions


@compiled
def _count_rows(
    rows: IntArray,
    on_hand: IntArray,
    in_transit: IntArray,
    in_inspection: IntArray,
    inspection_queue: IntArray,
    backorders: IntArray,
    parent: IntArray,
    online_slots: int,
) -> None:
    """Adds up zeros `rows`, (B, N + 1, K), in place.

    Nodes and SKUs are one axis in the inner loops, which are too short otherwise.
    """
    copies, nodes, skus = on_hand.shape
    stores, cells = len(parent) * skus, nodes * skus
    first, slots = cells - stores, backorders.shape[1]
    flat_rows, flat_stock = rows.reshape(copies, cells + skus), on_hand.reshape(copies, cells)
    transit = in_transit.reshape(copies, in_transit.shape[1], cells)
    inspection = in_inspection.reshape(copies, in_inspection.shape[1], stores)
    queued = inspection_queue.shape[1] > 0
    orders, below = backorders.reshape(copies, slots, stores), np.empty(stores, np.int64)
    for b in range(copies):
        own, of_stores = flat_rows[b], flat_rows[b, first:cells]
        for i in range(cells):
            own[i] = flat_stock[b, i]
        for slot in range(transit.shape[1]):
            for i in range(cells):
                own[i] += transit[b, slot, i]
        for node in range(nodes if queued else 0):
            for k in range(skus):
                rows[b, node, k] += inspection_queue[b, node, k]
        for slot in range(inspection.shape[1]):
            for i in range(stores):
                of_stores[i] += inspection[b, slot, i]
        for slot in range(online_slots, slots):
            for i in range(stores):
                of_stores[i] -= orders[b, slot, i]
        for i in range(stores):
            below[i] = of_stores[i]
        for slot in range(online_slots):
            for i in range(stores):
                below[i] -= orders[b, slot, i]
        for i in range(stores):
            rows[b, parent[i // skus], i % skus] += below[i]
        for i in range(first):
            own[cells + i % skus] += own[i]


def count_online_waiting(stocks: Stocks, network: Network) -> IntArray:
    """Returns the online orders that wait, (B, S, K)."""
    return sum_axis(stocks.backorders[:, : network.online_slots], 1)


def compute_store_rate(view: View, online_share: FloatArray) -> FloatArray:
    """Returns units a period that the store itself is to serve, (B, S, K)."""
    rate = view.forecast[..., STORE] + online_share * view.forecast[..., ONLINE]
    return rate if view.forecast.shape[-1] == 2 else rate + view.forecast[..., PICKUP]


def count_surplus(view: View, network: Network, level: FloatArray) -> FloatArray:
    """Returns what stores have beyond their shares of their echelons' targets, units, (B, W, K).

    What is too much in one store serves none of the others, so an order that it holds back leaves
    them without. A store's share is that of its region's demand.

    Args:
        view: what is known.
        network: of the view.
        level: what the echelons order up to, units, (B, W, K).
    """
    region, parent = sum_channels(view.forecast), network.parent
    system = network.sum_by_dc(region)[:, parent]
    share = np.divide(region, system, out=np.zeros_like(region), where=system > 0)
    most = share * np.maximum(level, 0)[:, parent]
    return network.sum_by_dc(np.maximum(count_positions(view, network).store - most, 0))


def measure_covers(view: View, network: Network, online_share: FloatArray) -> FloatArray:
    """Returns what covers are made of: the stores' positions and rates, (B, 2, S, K).

    A position is that of the day on which a shipment sent today arrives: what is sold until then
    is taken off, because stores far away need more than near ones to last equally long after it.

    Args:
        view: what is known.
        network: of the view.
        online_share: of online orders that the stores serve, (B, S, K).
    """
    rate = compute_store_rate(view, online_share)
    position = count_positions(view, network).store - network.lane_lead_time[:, None] * rate
    return np.stack([position, rate], axis=1)


def compute_system_rate(view: View, network: Network) -> FloatArray:
    """Returns units a period demanded in all regions of each DC, (B, W, K)."""
    return network.sum_by_dc(sum_channels(view.forecast))
